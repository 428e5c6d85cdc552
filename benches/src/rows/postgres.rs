//! P7 to P10, X6, X10: enqueueing, pick-up, a deep backlog, an old snapshot, extras and retries on PostgreSQL.

use anyhow::Result;
use futures::FutureExt;

use crate::{
    harness::{Arm, Bench, Goal, Row},
    ours::{
        postgres::{Drain, Sort},
        postgres_depth::Depth,
        postgres_enqueue::{Enqueue, PickUp},
    },
    raw::{
        postgres::{Finished, Loops},
        postgres_enqueue::{Inserts, Notified},
    },
};

const fn row(
    id: &'static str,
    what: &'static str,
    ours: &'static str,
    theirs: &'static str,
    goal: Goal,
) -> Row {
    Row { id, what, ours, theirs: Some(theirs), goal }
}

pub(crate) const ENQUEUE: Bench = Bench {
    name: "postgres-enqueue",
    about: "64 callers enqueue at once, each waits until its own job is on disk",
    arms: |_| async { Ok(vec![boxed(Enqueue::new().await?), boxed(Inserts::new().await?)]) }.boxed(),
    rows: &[row(
        "P7",
        "64 callers against 64 connections with one INSERT a job",
        "ours",
        "raw-inserts",
        Goal::AtLeast(3.0),
    )],
};

pub(crate) const PICK_UP: Bench = Bench {
    name: "postgres-pick-up",
    about: "how soon an idle worker begins a job after enqueue was called",
    arms: |_| pick_up().boxed(),
    rows: &[
        row(
            "P10",
            "pick-up p99 against INSERT, NOTIFY and fetch by hand",
            "ours-p99",
            "raw-p99",
            Goal::AtMost(2.0),
        ),
        row("P10m", "the same, median", "ours-p50", "raw-p50", Goal::AtMost(1.3)),
    ],
};

pub(crate) const DEPTH: Bench = Bench {
    name: "postgres-depth",
    about: "200,000 jobs of a backlog of 5 million, and of backlogs of 20,000",
    arms: |_| {
        async {
            Ok(vec![
                boxed(Depth::new("deep", 5_000_000.0).await?),
                boxed(Depth::new("short", 20_000.0).await?),
            ])
        }
        .boxed()
    },
    rows: &[row("P9", "drain at a depth of 5 million against 20,000", "deep", "short", Goal::AtLeast(0.90))],
};

pub(crate) const SNAPSHOT: Bench = Bench {
    name: "postgres-snapshot",
    about: "200,000 jobs while another session holds a snapshot from before the first claim",
    arms: |_| snapshot().boxed(),
    rows: &[
        row(
            "P8",
            "drain beside a pinned snapshot against a clean one",
            "pinned",
            "clean",
            Goal::AtLeast(0.80),
        ),
        row("P8r", "the same for the hand-written batch loop", "raw-pinned", "raw-clean", Goal::Reported),
    ],
};

pub(crate) const EXTRAS: Bench = Bench {
    name: "postgres-extras",
    about: "200,000 jobs with everything switched on, and with every tenth failing once",
    arms: |_| extras().boxed(),
    rows: &[
        row(
            "X6",
            "metrics, tracing, unique keys, progress and a rate limit against none",
            "extras",
            "plain",
            Goal::AtLeast(0.85),
        ),
        row("X10", "every tenth job fails once against none", "failing", "plain", Goal::AtLeast(0.70)),
    ],
};

fn boxed(arm: impl Arm + 'static) -> Box<dyn Arm> {
    Box::new(arm)
}

async fn pick_up() -> Result<Vec<Box<dyn Arm>>> {
    Ok(vec![
        boxed(PickUp::new("ours-p50", 0.5).await?),
        boxed(Notified::new("raw-p50", 0.5).await?),
        boxed(PickUp::new("ours-p99", 0.99).await?),
        boxed(Notified::new("raw-p99", 0.99).await?),
    ])
}

async fn snapshot() -> Result<Vec<Box<dyn Arm>>> {
    Ok(vec![
        boxed(Drain::new("clean", Sort::Plain).await?),
        boxed(Drain::new("pinned", Sort::Pinned).await?),
        boxed(Loops::batched("raw-clean", Finished::Kept).await?),
        boxed(Loops::batched("raw-pinned", Finished::Kept).await?.pinned()),
    ])
}

async fn extras() -> Result<Vec<Box<dyn Arm>>> {
    // What the recorder and the subscriber cost belongs to the extras; without them middleware would be for nothing.
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    metrics::set_global_recorder(recorder).map_err(|error| anyhow::anyhow!("{error}"))?;
    tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_writer(std::io::sink).init();
    Ok(vec![
        boxed(Drain::new("plain", Sort::Plain).await?),
        boxed(Drain::new("extras", Sort::Extras).await?),
        boxed(Drain::new("failing", Sort::Failing).await?),
    ])
}
