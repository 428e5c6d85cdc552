//! Wall time and processor time of one measurement.

use std::time::Instant;

use super::{Sample, Server, Unit, cpu::own_seconds};

/// Runs from [`Stopwatch::start`] until it is stopped with what was done.
pub(crate) struct Stopwatch {
    began: Instant,
    own: f64,
    server: Server,
    server_seconds: Option<f64>,
}

impl Stopwatch {
    /// Starts counting; `server` is the one whose processor time belongs to the work.
    pub(crate) fn start(server: Server) -> Self {
        Self { own: own_seconds(), server, server_seconds: server.seconds(), began: Instant::now() }
    }

    /// A rate: `jobs` are done on the server *now*.
    pub(crate) fn stop(self, jobs: u64) -> Sample {
        let seconds = self.began.elapsed().as_secs_f64();
        let per_thousand = |cpu: f64| cpu * 1000.0 / jobs.max(1) as f64;
        let server_cpu = self.server.seconds().zip(self.server_seconds).map(|(now, then)| now - then);
        Sample {
            jobs,
            seconds,
            value: jobs as f64 / seconds,
            unit: Unit::PerSecond,
            client_cpu: per_thousand(own_seconds() - self.own),
            server_cpu: server_cpu.map(per_thousand),
        }
    }

    /// A figure other than a rate, such as a p99 in milliseconds.
    pub(crate) fn figure(self, jobs: u64, value: f64, unit: Unit) -> Sample {
        Sample { value, unit, ..self.stop(jobs) }
    }
}
