//! The embedded broker under a long queue, and with nothing to do; the engine without any broker.

use futures::FutureExt;

use crate::{
    harness::{Arm, Bench, Goal, Row},
    ours::{
        engine::{Engine, Spawned},
        sqlite_depth::Depth,
        sqlite_idle::{PickUp, Waiting},
    },
};

const SLOTS: usize = 256;

/// S6. Filling five million rows takes a minute and 3 GiB of disk.
pub(crate) const DEPTH: Bench = Bench {
    name: "sqlite-depth",
    about: "draining a long queue in a SQLite file",
    arms: |_| {
        async {
            let depth = |name, backlog, jobs| Depth { name, backlog, jobs, slots: SLOTS, file: None };
            let arms: Vec<Box<dyn Arm>> = vec![
                Box::new(depth("20-thousand", 20_000, 200_000)),
                Box::new(depth("5-million", 5_000_000, 200_000)),
            ];
            Ok(arms)
        }
        .boxed()
    },
    rows: &[Row {
        id: "S6",
        what: "drain of 5 million jobs, against 20 thousand",
        ours: "5-million",
        theirs: Some("20-thousand"),
        goal: Goal::AtLeast(0.90),
    }],
};

/// S7.
pub(crate) const IDLE: Bench = Bench {
    name: "sqlite-idle",
    about: "an idle worker on a SQLite file",
    arms: |_| {
        async {
            let arms: Vec<Box<dyn Arm>> = vec![
                Box::new(PickUp { name: "pick-up-p99", samples: 400, slots: 10 }),
                Box::new(Waiting { name: "waiting", seconds: 10, slots: 10 }),
            ];
            Ok(arms)
        }
        .boxed()
    },
    rows: &[
        Row {
            id: "S7",
            what: "enqueue (synced) to first line of the handler, p99 in ms",
            ours: "pick-up-p99",
            theirs: None,
            goal: Goal::AtMost(1.0),
        },
        Row {
            id: "S7-idle",
            what: "processor time of waiting, ms a second (3 = 0.3 % of a core)",
            ours: "waiting",
            theirs: None,
            goal: Goal::AtMost(3.0),
        },
    ],
};

/// X1.
pub(crate) const ENGINE: Bench = Bench {
    name: "engine",
    about: "the runtime alone, on a list in memory",
    arms: |_| {
        async {
            let engine = |name, processor| Engine { name, jobs: 400_000, slots: SLOTS, processor };
            let arms: Vec<Box<dyn Arm>> = vec![
                Box::new(engine("processor-time", true)),
                Box::new(engine("backshift", false)),
                Box::new(Spawned { name: "channel-and-spawn", jobs: 1_000_000, slots: SLOTS }),
            ];
            Ok(arms)
        }
        .boxed()
    },
    rows: &[
        Row {
            id: "X1",
            what: "processor time of a job that does nothing, microseconds",
            ours: "processor-time",
            theirs: None,
            goal: Goal::AtMost(1.5),
        },
        Row {
            id: "X1-bare",
            what: "rate, against a channel and a task a job",
            ours: "backshift",
            theirs: Some("channel-and-spawn"),
            goal: Goal::AtLeast(0.5),
        },
    ],
};
