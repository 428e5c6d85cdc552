//! Recovery time: how long nobody works on a job after its worker, or the server, is gone.
//!
//! Trials, not one trial: the rescuer looks at intervals, so that a single time says nothing about the worst.

use std::{
    io,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use super::{Evidence, Fleet, Probes, Producer, Stage, WorkerProgram, evidence::PROBE_EFFECTS};
use crate::{servers::PrivateServer, wait};

/// How long one trial may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How long the jobs of a trial run: longer than they need to come back.
const SLEEP: Duration = Duration::from_secs(3);

/// After a restart of PostgreSQL nobody is called dead for 15 s; what happens then is not a killed worker's case.
const YOUNG: u64 = 16;
const UPTIME: &str = "SELECT extract(epoch FROM now() - pg_postmaster_start_time())::bigint";

/// Times of many trials, in seconds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Times {
    /// What was measured.
    pub what: String,
    /// One for each trial, sorted.
    pub seconds: Vec<f64>,
}

impl Times {
    /// No trials yet.
    pub fn of(what: String) -> Self {
        Self { what, seconds: Vec::new() }
    }

    /// The smallest time that is not exceeded by this share of the trials (nearest rank).
    pub fn percentile(&self, share: f64) -> f64 {
        let rank = (share * self.seconds.len() as f64).ceil() as usize;
        self.seconds.get(rank.saturating_sub(1)).or(self.seconds.last()).copied().unwrap_or(f64::INFINITY)
    }

    /// Adds a trial.
    pub fn add(&mut self, time: Duration) {
        let time = time.as_secs_f64();
        let at = self.seconds.partition_point(|other| *other <= time);
        self.seconds.insert(at, time);
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let p = |share| self.percentile(share);
        let Self { what, seconds } = self;
        write!(
            f,
            "{what:<44}{:>5} trials  p50 {:.2} s  p90 {:.2} s  p99 {:.2} s  max {:.2} s",
            seconds.len(),
            p(0.5),
            p(0.9),
            p(0.99),
            p(1.0)
        )
    }
}

/// Two workers, and probes that sleep.
#[derive(Debug)]
pub struct Recovery {
    // The processes end before their servers do.
    fleet: Fleet,
    stage: Stage,
    probes: Probes,
    evidence: Evidence,
    trials: usize,
}

impl Recovery {
    /// Brings up schema and workers; the program must be the binary of the probes.
    ///
    /// # Errors
    /// They cannot be brought up.
    pub async fn new(stage: Stage, program: WorkerProgram, probes: Probes) -> io::Result<Self> {
        probes.prepare(stage.site()).await?;
        let evidence = Evidence::new(stage.site(), PROBE_EFFECTS);
        let fleet = Fleet::start(program, stage.site(), 2, false).await?;
        Ok(Self { fleet, stage, probes, evidence, trials: 0 })
    }

    /// Kills a worker while two share `jobs` running ones, so many times: from the kill until the last of its jobs
    /// runs again on the other one.
    ///
    /// # Errors
    /// A trial takes more than a minute.
    pub async fn killed_worker(&mut self, trials: usize, jobs: usize) -> io::Result<Times> {
        if self.stage.ground().name == "postgres" {
            self.until("the server stays young", UPTIME.to_owned(), YOUNG).await?;
        }
        let mut times = Times::of(format!("{}: killed worker's jobs run again", self.stage.ground()));
        while times.seconds.len() < trials {
            self.trials += 1;
            let key = format!("trial-{}", self.trials);
            self.probes.sleepers(self.stage.site(), &key, jobs, SLEEP).await?;
            self.until("the jobs do not start", self.starts(&key), jobs as u64).await?;
            let victim = self.trials % self.fleet.len();
            let held = self.evidence.number(format!(
                "{} AND worker = '{}'",
                self.starts(&key),
                self.fleet.name(victim)
            ));
            let held = held.await?;
            let killed = SystemTime::now();
            self.fleet.kill(victim).await;
            self.until("the jobs do not start again", self.starts(&key), jobs as u64 + held).await?;
            if held > 0 {
                let again = self.evidence.last_start(&key).await?;
                times.add(again.duration_since(killed).unwrap_or_default());
            }
            self.fleet.replace(None).await?;
            self.rest().await?;
        }
        Ok(times)
    }

    /// Waits for the end of the trial's jobs: one whose worker is killed three times runs alone from then on, and the
    /// next trials would measure how long its neighbours have to wait for it.
    async fn rest(&self) -> io::Result<()> {
        match wait::until(LIMIT, || async { self.evidence.count_open().await.is_ok_and(|open| open == 0) })
            .await
        {
            true => Ok(()),
            false => Err(io::Error::other(format!("the jobs of a trial do not end within {LIMIT:?}"))),
        }
    }

    /// Kills one of the servers (0 is the broker's) so many times, leaves it dead for these times in turn, and
    /// measures from the moment it answers again until a job that is enqueued right then is done.
    ///
    /// # Errors
    /// A trial takes more than a minute, or the server does not come back.
    pub async fn killed_server(
        &mut self,
        server: usize,
        trials: usize,
        down: &[Duration],
    ) -> io::Result<Times> {
        let Some(name) = self.stage.servers().get(server).map(PrivateServer::name) else {
            return Err(io::Error::other("this broker has no such server"));
        };
        let mut times = Times::of(format!("{}: {name} is back, consuming again", self.stage.ground()));
        for trial in 0..trials {
            self.trials += 1;
            let key = format!("trial-{}", self.trials);
            let server = &mut self.stage.servers()[server];
            server.kill().await;
            tokio::time::sleep(down[trial % down.len()]).await;
            server.resurrect().await?;
            let back = SystemTime::now();
            self.probes.sleepers(self.stage.site(), &key, 1, Duration::ZERO).await?;
            self.until("nothing is consumed", self.starts(&key), 1).await?;
            let begun = self.evidence.last_start(&key).await?;
            times.add(begun.duration_since(back).unwrap_or_default());
        }
        Ok(times)
    }

    /// What the workers printed.
    pub fn outputs(&self) -> Vec<(String, String)> {
        self.fleet.outputs()
    }

    fn starts(&self, key: &str) -> String {
        format!("SELECT count(*) FROM backshift_probe_attempts WHERE key = '{key}'")
    }

    async fn until(&self, problem: &str, count: String, wanted: u64) -> io::Result<()> {
        let reached = wait::until(LIMIT, || async {
            self.evidence.number(count.clone()).await.is_ok_and(|count| count >= wanted)
        });
        match reached.await {
            true => Ok(()),
            false => Err(io::Error::other(format!("{problem} within {LIMIT:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let mut times = Times::of(String::new());
        (1..=100).rev().for_each(|n| times.add(Duration::from_millis(n * 10)));
        assert_eq!([0.5, 0.99, 1.0].map(|share| times.percentile(share)), [0.5, 0.99, 1.0]);
        assert_eq!(Times::default().percentile(0.99), f64::INFINITY, "no trial is no success");
    }
}
