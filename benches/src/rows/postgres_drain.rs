//! P1, P2, P4, P5: how fast a full queue in PostgreSQL is worked off.

use anyhow::Result;
use futures::FutureExt;

use crate::{
    harness::{Arm, Bench, Goal, Row},
    ours::postgres::{Drain, Sort},
    peers::postgres::Peer,
    raw::postgres::{Finished, Loops},
};

/// The bench.
pub(crate) const BENCH: Bench = Bench {
    name: "postgres-drain",
    about: "200,000 jobs that do nothing wait in PostgreSQL; how fast they are done",
    arms: |_| arms().boxed(),
    rows: &[
        Row {
            id: "P1",
            what: "drain against a hand-written batch loop that keeps finished rows, as we do",
            ours: "ours",
            theirs: Some("raw-batch"),
            goal: Goal::AtLeast(0.80),
        },
        Row {
            id: "P1d",
            what: "drain against the same loop when it deletes finished rows",
            ours: "ours",
            theirs: Some("raw-batch-delete"),
            goal: Goal::Reported,
        },
        Row {
            id: "P4",
            what: "drain against a loop that takes one job at a time on each of ten connections",
            ours: "ours",
            theirs: Some("raw-one-by-one"),
            goal: Goal::AtLeast(12.0),
        },
        Row {
            id: "P2",
            what: "drain against the crate graphile_worker, tuned as its own bench",
            ours: "ours",
            theirs: Some("graphile"),
            goal: Goal::AtLeast(1.4),
        },
        Row {
            id: "P5",
            what: "drain against River (Go), tuned as its own bench, 500 workers",
            ours: "ours",
            theirs: Some("river"),
            goal: Goal::AtLeast(2.0),
        },
    ],
};

async fn arms() -> Result<Vec<Box<dyn Arm>>> {
    Ok(vec![
        Box::new(Drain::new("ours", Sort::Plain).await?),
        Box::new(Loops::batched("raw-batch", Finished::Kept).await?),
        Box::new(Loops::batched("raw-batch-delete", Finished::Deleted).await?),
        Box::new(Loops::one_by_one("raw-one-by-one").await?),
        Box::new(Peer::graphile().await?),
        Box::new(Peer::river().await?),
    ])
}
