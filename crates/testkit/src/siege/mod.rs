//! A server of ours under clients that mean harm, measured by one that does not (`cargo xtask siege`).
//!
//! Everything is on loopback, where each address of 127/8 is a network of its own: the besiegers come from a few, the
//! honest client from others. They share the machine with the server, so a figure here holds the attack's own cost too:
//! only what exceeds both a multiple of the quiet figure and a floor counts against the server.

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

/// How the siege is laid.
#[derive(Debug, Clone)]
pub struct Siege {
    /// Besiegers of each kind that mostly wait.
    pub clients: usize,
    /// How long each attack is measured.
    pub time: Duration,
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
            time: Duration::from_secs(5),
            factor: 5.0,
            floor: Duration::from_millis(50),
            memory: 256 << 20,
            attacks: Attack::ALL.to_vec(),
        }
    }
}

/// What one attack did to the honest client.
#[derive(Debug, Clone)]
pub struct Line {
    /// The attack; `None` is the quiet before.
    pub attack: Option<Attack>,
    /// What was asked.
    pub asked: &'static str,
    /// How long its answers took.
    pub times: Times,
    /// The most that is well.
    pub limit: Duration,
    /// The server's memory afterwards, in bytes.
    pub memory: u64,
    /// How many connections the besiegers made.
    pub connections: u64,
}

/// Everything that was measured.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The quiet first, then each attack.
    pub lines: Vec<Line>,
    memory: u64,
}

impl Line {
    fn holds(&self, memory: u64) -> bool {
        self.times.failed == 0 && self.times.percentile(0.99) <= self.limit && self.memory <= memory
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
            "{:<16} {:<8} {:>7} {:>7} {:>9} {:>9} {:>9} {:>8} {:>12}",
            "attack", "asked", "answers", "failed", "p50 ms", "p99 ms", "limit ms", "RSS MiB", "connections"
        )?;
        let ms = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1000.0);
        for line in &self.lines {
            let name = line.attack.map_or("quiet", Attack::name);
            writeln!(
                f,
                "{name:<16} {:<8} {:>7} {:>7} {:>9} {:>9} {:>9} {:>8} {:>12} {}",
                line.asked,
                line.times.count(),
                line.times.failed,
                ms(line.times.percentile(0.5)),
                ms(line.times.percentile(0.99)),
                ms(line.limit),
                line.memory >> 20,
                line.connections,
                if line.holds(self.memory) { "held" } else { "BROKEN" }
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
        let mut limits = Vec::new();
        for ask in Ask::ALL {
            let times = honest.asks(ask, self.time).await;
            let limit = times.percentile(0.99).mul_f64(self.factor).max(self.floor);
            limits.push(limit);
            report.lines.push(self.line(&server, None, (ask, times, limit), 0)?);
        }
        for attack in &self.attacks {
            let ranks = Ranks::muster(*attack, Arc::clone(&server), self.clients);
            ranks.stand(self.time).await;
            for (ask, limit) in Ask::ALL.into_iter().zip(&limits).filter(|(ask, _)| attack.hurts(*ask)) {
                let times = honest.asks(ask, self.time).await;
                report.lines.push(self.line(
                    &server,
                    Some(*attack),
                    (ask, times, *limit),
                    ranks.connections(),
                )?);
            }
            ranks.disperse().await;
        }
        Ok(report)
    }

    fn line(
        &self,
        server: &Server,
        attack: Option<Attack>,
        (ask, times, limit): (Ask, Times, Duration),
        connections: u64,
    ) -> io::Result<Line> {
        let memory = server.memory()?;
        Ok(Line { attack, asked: ask.name(), times, limit, memory, connections })
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
