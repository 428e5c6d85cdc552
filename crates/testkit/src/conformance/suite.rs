//! Runs every case of a suite in isolation, a few at once, each with a deadline.
//!
//! A harness that cannot make a scene fails the case: what cannot be reached is never silently left out.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};

use super::{
    broker,
    case::{Case, Failure, Outcome, Verdict},
    engine,
    harness::{BrokerHarness, EngineHarness, StoreHarness},
    report::{Line, Report},
    store,
};
use crate::{pace, watchdog};

/// The times of a case are stretched by this much more when it was too slow for them.
const LONGER: [f64; 4] = [1.0, 2.0, 4.0, 8.0];

/// Which cases run, how many at once, and for how long at most.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Only cases whose `subject::name` contains one of these; empty = all.
    pub only: Vec<String>,
    /// How many cases run at once.
    pub at_once: usize,
    /// A case that runs longer has failed, on an idle machine.
    pub deadline: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self { only: Vec::new(), at_once: 6, deadline: Duration::from_secs(60) }
    }
}

/// Tries every rule of `docs/spec/broker.md`.
pub async fn broker_suite(harness: impl BrokerHarness, plan: &Plan) -> Report {
    let harness = Arc::new(harness);
    let name = harness.name();
    let scene = move |stretch| broker::Scene::open(Arc::clone(&harness), stretch);
    run("broker", &name, broker::cases(), plan, scene).await
}

/// Tries every rule of `docs/spec/store.md`.
pub async fn store_suite(harness: impl StoreHarness, plan: &Plan) -> Report {
    let harness = Arc::new(harness);
    let name = harness.name();
    let scene = move |stretch| store::Scene::open(Arc::clone(&harness), stretch);
    run("store", &name, store::cases(), plan, scene).await
}

/// Tries every rule of `docs/spec/engine.md`.
pub async fn engine_suite(harness: impl EngineHarness, plan: &Plan) -> Report {
    let harness = Arc::new(harness);
    let name = harness.name();
    let scene = move |stretch| engine::Scene::open(Arc::clone(&harness), stretch);
    run("engine", &name, engine::cases(), plan, scene).await
}

/// The rules that have a case, such as `B3`.
pub fn broker_rules() -> Vec<String> {
    broker::cases().iter().map(|case| case.rule()).collect()
}

/// The rules that have a case, such as `S3`.
pub fn store_rules() -> Vec<String> {
    store::cases().iter().map(|case| case.rule()).collect()
}

/// The rules that have a case, such as `E3`.
pub fn engine_rules() -> Vec<String> {
    engine::cases().iter().map(|case| case.rule()).collect()
}

async fn run<S, F, R>(
    suite: &'static str,
    subject: &str,
    cases: Vec<&'static Case<S>>,
    plan: &Plan,
    scene: F,
) -> Report
where
    S: Send + 'static,
    F: Fn(f64) -> R,
    R: Future<Output = Result<S, Failure>> + Send + 'static,
{
    let wanted = |case: &&&'static Case<S>| {
        let name = format!("{subject}::{}", case.name());
        plan.only.is_empty() || plan.only.iter().any(|part| name.contains(part))
    };
    let chosen: Vec<_> = cases.iter().filter(wanted).copied().collect();
    let one = |case: &'static Case<S>| {
        let (scene, deadline) = (&scene, plan.deadline);
        async move {
            let begun = Instant::now();
            let mut verdict = Err(Failure::new("not tried"));
            for longer in LONGER {
                // Half of a case's time is spent waiting for what must not happen within some leases.
                let stretch = longer * pace::factor().sqrt();
                let limit = deadline.mul_f64(longer * pace::factor());
                // A runtime whose threads all stand still reaches no deadline of its own.
                let _watched = watchdog::watch(format!("{subject}::{}", case.name()), limit * 2);
                verdict = tried(scene(stretch), case, limit).await;
                if !verdict.as_ref().is_err_and(Failure::is_overtaken) {
                    break;
                }
            }
            line(suite, subject, case, verdict).took(begun.elapsed())
        }
    };
    Report { lines: stream::iter(chosen).map(one).buffered(plan.at_once.max(1)).collect().await }
}

async fn tried<S: Send + 'static>(
    scene: impl Future<Output = Result<S, Failure>> + Send + 'static,
    case: &'static Case<S>,
    deadline: Duration,
) -> Verdict {
    let task = tokio::spawn(async move {
        let scene = scene.await?;
        (case.run)(scene).await
    });
    let stop = task.abort_handle();
    match tokio::time::timeout(deadline, task).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(error)) => Err(Failure::new(format!("the case panicked: {error}"))),
        Err(_) => {
            stop.abort();
            Err(Failure::new(format!("no end after {deadline:?}")))
        }
    }
}

fn line<S>(suite: &'static str, subject: &str, case: &Case<S>, verdict: Verdict) -> Line {
    let (result, detail) = match verdict {
        Ok(Outcome::Pass) => ("pass", None),
        Ok(Outcome::Unsupported) => ("unsupported-as-declared", None),
        Ok(Outcome::NotTested(reason)) => ("not-tested", Some(reason.to_owned())),
        Err(failure) => ("fail", Some(failure.to_string())),
    };
    Line {
        suite,
        subject: subject.to_owned(),
        rule: case.rule(),
        name: case.name(),
        result,
        detail,
        milliseconds: 0,
    }
}
