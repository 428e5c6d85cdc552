//! Makes the plan's faults happen, and repairs what must be repaired later, without stopping the clock for others.
//!
//! A worker that ends by itself is replaced like a killed one, as any service manager does; the report names it.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{Fault, Fleet, Plan, Point, Stage, Step, When, report::Happened};
use crate::{pace, proxy::Trap, servers::PrivateServer};

/// How long after its death a worker is started anew.
const REPLACE: Duration = Duration::from_millis(300);
/// How long a named point is waited for.
const REACHED: Duration = Duration::from_secs(20);
const DRAIN: Duration = Duration::from_secs(60);

enum Repair {
    /// An empty place is filled, under the old name or a new one.
    Replace(Option<String>),
    Thaw(String),
    Resurrect(usize),
    ThawServer(usize),
    Mend,
}

pub(super) struct Injector<'a> {
    servers: &'a mut [PrivateServer],
    fleet: Fleet,
    plan: std::collections::VecDeque<Step>,
    jobs: u64,
    begun: Instant,
    /// When the last step happened.
    last: Instant,
    effects: u64,
    repairs: Vec<(Instant, Repair)>,
    happened: Vec<Happened>,
    missed: Vec<String>,
    ended: Vec<String>,
}

impl<'a> Injector<'a> {
    pub(super) fn new(stage: &'a mut Stage, fleet: Fleet, plan: Plan, jobs: u64) -> Self {
        let now = Instant::now();
        Self {
            servers: stage.servers(),
            fleet,
            plan: plan.steps.into(),
            jobs,
            begun: now,
            last: now,
            effects: 0,
            repairs: Vec::new(),
            happened: Vec::new(),
            missed: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// Whether nothing more will happen.
    pub(super) fn is_over(&self) -> bool {
        self.plan.is_empty() && self.repairs.is_empty()
    }

    /// Does what is due now.
    pub(super) async fn step(&mut self, effects: u64) -> io::Result<()> {
        if effects != u64::MAX {
            self.effects = effects;
        }
        self.repair(Instant::now()).await?;
        for name in self.fleet.sweep().await {
            self.ended.push(name);
            self.later(REPLACE, Repair::Replace(None));
        }
        while let Some(step) = self.plan.front().copied() {
            let due = match step.when {
                When::Share(share) => effects as f64 >= share * self.jobs as f64,
                When::After(time) => self.last.elapsed() >= time,
            };
            if !due {
                break;
            }
            self.plan.pop_front();
            self.inject(step).await?;
            self.last = Instant::now();
        }
        Ok(())
    }

    /// Repairs everything now.
    pub(super) async fn mend(&mut self) -> io::Result<()> {
        let end_of_time = Instant::now() + Duration::from_secs(365 * 24 * 3600);
        self.repair(end_of_time).await
    }

    /// The fleet, what happened, what could not, and who ended by himself.
    pub(super) fn into_parts(self) -> (Fleet, Vec<Happened>, Vec<String>, Vec<String>) {
        (self.fleet, self.happened, self.missed, self.ended)
    }

    async fn inject(&mut self, step: Step) -> io::Result<()> {
        let whom = match step.fault {
            Fault::KillServer(_) | Fault::RestartServer(_) | Fault::FreezeServer(_) => {
                self.server(step).await
            }
            Fault::Cut | Fault::HalfOpen(_) | Fault::Slow(_) => self.network(step),
            _ => self.worker(step).await,
        };
        match whom {
            Ok(whom) => {
                let at = self.begun.elapsed().as_secs_f64();
                self.happened.push(Happened {
                    at,
                    what: step.fault.to_string(),
                    whom,
                    effects: self.effects,
                });
            }
            Err(reason) => self.missed.push(format!("{}: {reason}", step.fault)),
        }
        Ok(())
    }

    async fn worker(&mut self, step: Step) -> Result<String, String> {
        if self.fleet.is_empty() {
            // Everybody died a moment ago: somebody comes back a little earlier.
            let next = self.repairs.iter().position(|(_, repair)| matches!(repair, Repair::Replace(_)));
            let name = match next.map(|at| self.repairs.remove(at).1) {
                Some(Repair::Replace(name)) => name,
                _ => None,
            };
            self.fleet.replace(name).await.map_err(|error| error.to_string())?;
        }
        let pick = step.pick;
        match step.fault {
            Fault::KillAllWorkers => {
                let names = self.fleet.kill_all().await;
                let count = names.len();
                names.into_iter().enumerate().for_each(|(n, name)| self.replace(pick + n, name));
                return Ok(format!("{count} workers"));
            }
            Fault::FreezeWorker(time) => {
                let name = self.fleet.name(pick).to_owned();
                self.fleet.process(pick).freeze();
                self.later(time, Repair::Thaw(name.clone()));
                return Ok(name);
            }
            Fault::StopWorker => {
                let name = self.fleet.name(pick).to_owned();
                self.fleet.process(pick).resume();
                let code = self.fleet.stop(pick, DRAIN).await;
                self.replace(pick, name.clone());
                return if code == Some(0) { Ok(name) } else { Err(format!("{name} ended with {code:?}")) };
            }
            Fault::KillWorkerAt(point) => self.await_point(pick, point).await?,
            _ => {}
        }
        let name = self.fleet.kill(pick).await;
        self.replace(pick, name.clone());
        Ok(name)
    }

    /// Holds the worker exactly at the point.
    async fn await_point(&mut self, pick: usize, point: Point) -> Result<(), String> {
        let ways = self.fleet.ways(pick);
        let (trap, way) = match point {
            Point::BeforeEffect => (Trap::before_probe_effect(), ways.last()),
            Point::AfterEffect => (Trap::after_commit(), ways.last()),
            Point::BeforeAck => (Trap::before_amqp_ack(), ways.first().filter(|_| ways.len() > 1)),
        };
        let way = way.ok_or("this broker has no such point, or the fleet is not proxied")?;
        match way.trap(trap).sprung(pace::stretched(REACHED)).await {
            true => Ok(()),
            false => Err(format!("the point was not reached within {REACHED:?}")),
        }
    }

    async fn server(&mut self, step: Step) -> Result<String, String> {
        if self.servers.is_empty() {
            return Err("this broker has no server".to_owned());
        }
        let at = step.pick % self.servers.len();
        let server = &mut self.servers[at];
        let whom = server.name().to_owned();
        match step.fault {
            Fault::KillServer(down) => {
                server.kill().await;
                self.later(down, Repair::Resurrect(at));
            }
            Fault::RestartServer(down) => {
                server.stop().await;
                self.later(down, Repair::Resurrect(at));
            }
            Fault::FreezeServer(time) => {
                server.freeze();
                self.later(time, Repair::ThawServer(at));
            }
            _ => {}
        }
        Ok(whom)
    }

    fn network(&mut self, step: Step) -> Result<String, String> {
        let server = step.pick % self.servers.len().max(1);
        let mut hit = 0;
        for way in self.fleet.ways_to(server) {
            match step.fault {
                Fault::HalfOpen(_) => way.half_open(),
                Fault::Slow(_) => way.slow(4096, Duration::from_millis(20)),
                _ => way.cut(),
            }
            hit += 1;
        }
        if let Fault::HalfOpen(time) | Fault::Slow(time) = step.fault {
            self.later(time, Repair::Mend);
        }
        match hit {
            0 => Err("the fleet is not proxied".to_owned()),
            _ => Ok(format!("ways to {}", self.servers[server].name())),
        }
    }

    fn replace(&mut self, pick: usize, name: String) {
        self.later(REPLACE, Repair::Replace(pick.is_multiple_of(2).then_some(name)));
    }

    fn later(&mut self, time: Duration, repair: Repair) {
        self.repairs.push((Instant::now() + time, repair));
    }

    async fn repair(&mut self, now: Instant) -> io::Result<()> {
        let all = std::mem::take(&mut self.repairs);
        let (due, later): (Vec<_>, Vec<_>) = all.into_iter().partition(|(at, _)| *at <= now);
        self.repairs = later;
        for (_, repair) in due {
            match repair {
                Repair::Replace(name) => self.fleet.replace(name).await?,
                Repair::Thaw(name) => {
                    let found = (0..self.fleet.len()).find(|at| self.fleet.name(*at) == name);
                    if let Some(at) = found {
                        self.fleet.process(at).resume();
                    }
                }
                Repair::Resurrect(at) => self.servers[at].resurrect().await?,
                Repair::ThawServer(at) => self.servers[at].thaw(),
                Repair::Mend => {
                    (0..self.servers.len()).flat_map(|at| self.fleet.ways_to(at)).for_each(|way| way.mend());
                }
            }
        }
        Ok(())
    }
}
