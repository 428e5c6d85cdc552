//! The embedded broker: Backshift on a SQLite file beside the loop that an expert would write.

use futures::FutureExt;

use crate::{
    harness::{Arm, Bench, Goal, Row},
    ours::sqlite as ours,
    peers::sqlite::Apalis,
    raw::sqlite as raw,
};

/// Slots of the worker, and rows of a transaction of the raw loop.
const BATCH: usize = 256;

/// S1.
pub(crate) const DRAIN: Bench = Bench {
    name: "sqlite-drain",
    about: "draining a filled SQLite file",
    arms: |_| {
        async {
            let arms: Vec<Box<dyn Arm>> = vec![
                Box::new(ours::Drain { name: "backshift", jobs: 300_000, slots: BATCH }),
                Box::new(raw::Drain { name: "raw", jobs: 300_000, batch: BATCH }),
            ];
            Ok(arms)
        }
        .boxed()
    },
    rows: &[Row {
        id: "S1",
        what: "drain, against the raw one-transaction loop",
        ours: "backshift",
        theirs: Some("raw"),
        goal: Goal::AtLeast(0.75),
    }],
};

/// S2 and S3.
pub(crate) const ENQUEUE: Bench = Bench {
    name: "sqlite-enqueue",
    about: "enqueueing durably into a SQLite file",
    arms: |_| {
        async {
            let arms: Vec<Box<dyn Arm>> = vec![
                Box::new(ours::Enqueue { name: "1-caller", jobs: 5_000, callers: 1, batch: 1 }),
                Box::new(ours::Enqueue { name: "64-callers", jobs: 120_000, callers: 64, batch: 1 }),
                Box::new(raw::Insert { name: "raw-1", jobs: 5_000, batch: 1, bare: false }),
                Box::new(ours::Enqueue { name: "1000-a-call", jobs: 300_000, callers: 1, batch: 1000 }),
                Box::new(raw::Insert { name: "raw-1000", jobs: 300_000, batch: 1000, bare: false }),
                Box::new(raw::Insert { name: "raw-1000-bare", jobs: 1_000_000, batch: 1000, bare: true }),
            ];
            Ok(arms)
        }
        .boxed()
    },
    rows: &[
        Row {
            id: "S3",
            what: "64 concurrent durable enqueues, against one caller",
            ours: "64-callers",
            theirs: Some("1-caller"),
            goal: Goal::AtLeast(15.0),
        },
        Row {
            id: "S3-raw",
            what: "one durable enqueue at a time, against a raw insert and commit",
            ours: "1-caller",
            theirs: Some("raw-1"),
            goal: Goal::Reported,
        },
        Row {
            id: "S2",
            what: "enqueue_many(1000), against raw inserts into the same table",
            ours: "1000-a-call",
            theirs: Some("raw-1000"),
            goal: Goal::AtLeast(0.85),
        },
        Row {
            id: "S2-bare",
            what: "enqueue_many(1000), against raw inserts into a bare table",
            ours: "1000-a-call",
            theirs: Some("raw-1000-bare"),
            goal: Goal::AtLeast(0.45),
        },
    ],
};

/// S4.
pub(crate) const LIFE: Bench = Bench {
    name: "sqlite-life",
    about: "the whole life of a job on a SQLite file",
    arms: |_| {
        async {
            let arms: Vec<Box<dyn Arm>> = vec![
                Box::new(ours::LifeCycle { name: "backshift", jobs: 150_000, batch: 100, slots: BATCH }),
                Box::new(raw::Insert { name: "raw-bare", jobs: 500_000, batch: 100, bare: true }),
            ];
            Ok(arms)
        }
        .boxed()
    },
    rows: &[Row {
        id: "S4",
        what: "enqueue, handler, done in batches of 100, against raw inserts into a bare table",
        ours: "backshift",
        theirs: Some("raw-bare"),
        goal: Goal::AtLeast(0.30),
    }],
};

/// S5.
pub(crate) const PEERS: Bench = Bench {
    name: "sqlite-peers",
    about: "draining a filled SQLite file beside other job systems",
    arms: |_| {
        async {
            let arms: Vec<Box<dyn Arm>> = vec![
                Box::new(ours::Drain { name: "backshift", jobs: 200_000, slots: BATCH }),
                Box::new(Apalis { jobs: 20_000 }),
            ];
            Ok(arms)
        }
        .boxed()
    },
    rows: &[Row {
        id: "S5",
        what: "drain, against apalis-sqlite",
        ours: "backshift",
        theirs: Some("apalis-sqlite"),
        goal: Goal::AtLeast(20.0),
    }],
};
