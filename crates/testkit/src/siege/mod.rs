//! A server of ours under clients that mean harm, measured by one that does not (`cargo xtask siege`).
//!
//! Everything is on loopback, where each address of 127/8 is a network of its own: the besiegers come from a few, the
//! honest client from others. They share the machine with the server, so a figure here holds the attack's own cost too:
//! only what exceeds both a multiple of the quiet figure and a floor counts against the server. The quiet is measured anew
//! before each attack, and the median of several rounds counts: a machine that others use too is never equally quiet.

mod attack;
mod honest;
mod server;

use std::{
    fmt, io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

pub use attack::Attack;
use attack::Ranks;
pub use honest::Times;
use honest::{Ask, Honest};
use server::Server;

/// Between two rounds.
const REST: Duration = Duration::from_secs(2);

/// How the siege is laid.
#[derive(Debug, Clone)]
pub struct Siege {
    /// Besiegers of each kind that mostly wait.
    pub clients: usize,
    /// How long each attack is measured, and the quiet before it.
    pub time: Duration,
    /// How many times each attack is laid; the median counts.
    pub rounds: usize,
    /// How many times the quiet p99 is still well.
    pub factor: f64,
    /// Below this a p99 is well whatever the quiet one is, which is less than a millisecond.
    pub floor: Duration,
    /// The most memory that the server may take.
    pub memory: u64,
    /// The attacks.
    pub attacks: Vec<Attack>,
}

impl Default for Siege {
    fn default() -> Self {
        Self {
            clients: 2000,
            time: Duration::from_secs(3),
            rounds: 3,
            factor: 5.0,
            floor: Duration::from_millis(50),
            memory: 256 << 20,
            attacks: Attack::ALL.to_vec(),
        }
    }
}

/// What one attack did to one kind of request of the honest client, in the median round.
#[derive(Debug, Clone)]
pub struct Line {
    /// The attack.
    pub attack: Attack,
    /// What was asked.
    pub asked: &'static str,
    /// How long answers took just before the attack.
    pub quiet: Times,
    /// How long its answers took.
    pub times: Times,
    /// The most that is well.
    pub limit: Duration,
    /// p99 by the quiet p99 of every round.
    pub ratios: Vec<f64>,
    /// Requests of all rounds without the right answer.
    pub failed: usize,
    /// The most memory of the server in any round, in bytes.
    pub memory: u64,
    /// How many connections the besiegers made in that round.
    pub connections: u64,
}

/// Everything that was measured.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Each attack.
    pub lines: Vec<Line>,
    memory: u64,
}

impl Line {
    fn holds(&self, memory: u64) -> bool {
        self.failed == 0 && self.p99() <= self.limit && self.memory <= memory
    }

    fn p99(&self) -> Duration {
        self.times.percentile(0.99)
    }

    /// How much of what is well it took.
    fn part(&self) -> f64 {
        self.p99().as_secs_f64() / self.limit.as_secs_f64()
    }

    /// Of several rounds the one in the middle, with what counts in all of them.
    fn median(mut rounds: Vec<Self>) -> Option<Self> {
        let ratio = |line: &Self| line.p99().as_secs_f64() / line.quiet.percentile(0.99).as_secs_f64();
        let ratios = rounds.iter().map(ratio).collect();
        let failed = rounds.iter().map(|line| line.failed).sum();
        let memory = rounds.iter().map(|line| line.memory).max()?;
        rounds.sort_by(|one, other| one.part().total_cmp(&other.part()));
        let middle = rounds.len() / 2;
        Some(Self { ratios, failed, memory, ..rounds.swap_remove(middle) })
    }
}

impl Report {
    /// Whether nobody honest was kept out or waited too long, and the memory stayed in its bound.
    pub fn holds(&self) -> bool {
        !self.lines.is_empty() && self.lines.iter().all(|line| line.holds(self.memory))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<14} {:<7} {:>7} {:>6} {:>9} {:>8} {:>8} {:>8} {:>7} {:>11}        p99 by quiet p99",
            "attack",
            "asked",
            "answers",
            "failed",
            "quiet p99",
            "p50 ms",
            "p99 ms",
            "limit",
            "RSS MiB",
            "connections"
        )?;
        let ms = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1000.0);
        for line in &self.lines {
            let ratios: Vec<String> = line.ratios.iter().map(|ratio| format!("{ratio:.1}")).collect();
            writeln!(
                f,
                "{:<14} {:<7} {:>7} {:>6} {:>9} {:>8} {:>8} {:>8} {:>7} {:>11} {:<6} {}",
                line.attack.name(),
                line.asked,
                line.times.count(),
                line.failed,
                ms(line.quiet.percentile(0.99)),
                ms(line.times.percentile(0.5)),
                ms(line.p99()),
                ms(line.limit),
                line.memory >> 20,
                line.connections,
                if line.holds(self.memory) { "held" } else { "BROKEN" },
                ratios.join(" ")
            )?;
        }
        Ok(())
    }
}

impl Siege {
    /// Starts a server of this binary and besieges it, one attack after another.
    ///
    /// # Errors
    ///
    /// The server cannot be started or ends by itself.
    pub async fn lay(&self, binary: &Path) -> io::Result<Report> {
        let server = Arc::new(Server::start(binary).await?);
        let honest = Honest::new(Arc::clone(&server)).await?;
        let mut report = Report { lines: Vec::new(), memory: self.memory };
        for attack in &self.attacks {
            let mut rounds = Vec::new();
            for _ in 0..self.rounds.max(1) {
                rounds.push(self.round(&server, &honest, *attack).await?);
            }
            for ask in 0..rounds.first().map_or(0, Vec::len) {
                let of_ask = rounds.iter().filter_map(|lines| lines.get(ask).cloned()).collect();
                report.lines.extend(Line::median(of_ask));
            }
        }
        Ok(report)
    }

    /// The quiet, and then the attack; a line for each thing that is asked.
    async fn round(&self, server: &Arc<Server>, honest: &Honest, attack: Attack) -> io::Result<Vec<Line>> {
        let asks: Vec<Ask> = Ask::ALL.into_iter().filter(|ask| attack.hurts(*ask)).collect();
        // What the attack before has left waiting is worked off.
        tokio::time::sleep(REST).await;
        let mut quiet = Vec::new();
        for ask in &asks {
            quiet.push(honest.asks(*ask, self.time).await);
        }
        let ranks = Ranks::muster(attack, Arc::clone(server), self.clients);
        ranks.stand(self.time).await;
        let mut lines = Vec::new();
        for (ask, quiet) in asks.into_iter().zip(quiet) {
            let times = honest.asks(ask, self.time).await;
            let limit = quiet.percentile(0.99).mul_f64(self.factor).max(self.floor);
            let (asked, failed, memory) = (ask.name(), times.failed + quiet.failed, server.memory()?);
            let (ratios, connections) = (Vec::new(), ranks.connections());
            lines.push(Line { attack, asked, quiet, times, limit, ratios, failed, memory, connections });
        }
        ranks.disperse().await;
        Ok(lines)
    }
}

/// Waits until something is true, for a bounded time.
async fn until(patience: Duration, mut condition: impl AsyncFnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < patience {
        if condition().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}
