//! Large bodies of jobs whose broker keeps the message: the ledger does not keep them a second time.
//!
//! While such a job runs its row may have the whole body, because it was handed over or goes through the outbox. It is let go
//! when the job is over and when the broker has confirmed the message; until then it is the only one.

/// The largest payload that is kept of a job whose broker keeps the payload itself, as a literal for statements.
macro_rules! most_kept {
    () => {
        65536
    };
}

/// The body is too large to be kept twice; `$row` = the row's name with a dot, or nothing.
macro_rules! large {
    ($row:literal) => {
        concat!($row, "payload_size > ", $crate::ledger::large::most_kept!())
    };
}

/// The same of a job of a foreign broker whose end is not written yet: PostgreSQL's row `j`, SQLite's own.
macro_rules! large_abroad {
    (pg) => {
        concat!($crate::ledger::large::large!("j."), " AND j.abroad IS NOT NULL")
    };
    (sqlite) => {
        concat!($crate::ledger::large::large!(""), " AND broker <> 'embedded'")
    };
}

pub(crate) use large;
pub(crate) use large_abroad;
pub(crate) use most_kept;
