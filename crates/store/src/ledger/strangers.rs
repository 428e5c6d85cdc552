//! Which kinds wait for a worker that knows them, and how many jobs of each.
//!
//! Jobs that were put aside stand sorted by queue and kind, so one step of the index leads from one kind to the next: a
//! million jobs of a misspelt name hide no other kind and are not counted through. Those that must run alone, because they
//! ended their worker too often, have no such order; they are few, and of many only the first are looked at.

use std::collections::BTreeMap;

use backshift_core::{Kind, QueueName, StoreError, Timestamp, store::ParkedKind};

use crate::{Database, Sql};

macro_rules! aside_pg {
    ($name:literal, $table:literal, $aside:literal) => {
        concat!(
            $name,
            " AS ((SELECT queue, aside FROM ",
            $table,
            " WHERE ",
            $aside,
            " ORDER BY queue, aside LIMIT 1) \
             UNION ALL SELECT n.queue, n.aside FROM ",
            $name,
            " l CROSS JOIN LATERAL (SELECT queue, aside FROM ",
            $table,
            " WHERE ",
            $aside,
            " AND (queue, aside) > (l.queue, l.aside) ORDER BY queue, aside LIMIT 1) n)"
        )
    };
}

macro_rules! counted_pg {
    ($name:literal, $table:literal, $aside:literal) => {
        concat!(
            "SELECT l.queue, l.aside, c.jobs, c.since FROM (SELECT * FROM ",
            $name,
            " LIMIT $1) l \
             CROSS JOIN LATERAL (SELECT count(*) AS jobs, min(run_at) AS since FROM (SELECT run_at FROM ",
            $table,
            " WHERE ",
            $aside,
            " AND queue = l.queue AND aside = l.aside LIMIT $2) some_jobs) c WHERE c.jobs > 0"
        )
    };
}

macro_rules! aside_lite {
    ($name:literal, $index:literal, $aside:literal) => {
        concat!(
            $name,
            "(id) AS (SELECT (SELECT rowid FROM background_jobs INDEXED BY ",
            $index,
            " WHERE ",
            $aside,
            " ORDER BY queue, aside LIMIT 1) UNION ALL SELECT COALESCE((SELECT b.rowid FROM background_jobs b INDEXED BY ",
            $index,
            " WHERE ",
            $aside,
            " AND b.queue = j.queue AND b.aside > j.aside ORDER BY b.aside LIMIT 1), \
             (SELECT b.rowid FROM background_jobs b INDEXED BY ",
            $index,
            " WHERE ",
            $aside,
            " AND b.queue > j.queue ORDER BY b.queue, b.aside LIMIT 1)) FROM ",
            $name,
            " l JOIN background_jobs j ON j.rowid = l.id)"
        )
    };
}

macro_rules! counted_lite {
    ($name:literal, $index:literal, $aside:literal) => {
        concat!(
            "SELECT j.queue, j.aside, (SELECT count(*) FROM (SELECT 1 FROM background_jobs INDEXED BY ",
            $index,
            " WHERE ",
            $aside,
            " AND queue = j.queue AND aside = j.aside LIMIT $2)), \
             (SELECT min(run_at) FROM (SELECT run_at FROM background_jobs INDEXED BY ",
            $index,
            " WHERE ",
            $aside,
            " AND queue = j.queue AND aside = j.aside LIMIT $2)) \
             FROM (SELECT id FROM ",
            $name,
            " WHERE id IS NOT NULL LIMIT $1) l JOIN background_jobs j ON j.rowid = l.id"
        )
    };
}

/// `$1` kinds at most, `$2` jobs counted of each.
pub(crate) const PARKED: Sql = Sql {
    pg: concat!(
        "WITH RECURSIVE ",
        aside_pg!("line", "job_line", "ready AND NOT alone AND aside IS NOT NULL"),
        ", ",
        aside_pg!("abroad", "background_jobs", "aside IS NOT NULL"),
        " ",
        counted_pg!("line", "job_line", "ready AND NOT alone AND aside IS NOT NULL"),
        " UNION ALL ",
        counted_pg!("abroad", "background_jobs", "aside IS NOT NULL AND status = 'available'"),
        " UNION ALL SELECT queue, aside, count(*), min(run_at) FROM (SELECT queue, aside, run_at FROM job_line \
         WHERE ready AND alone LIMIT $2) suspects WHERE aside IS NOT NULL GROUP BY queue, aside"
    ),
    sqlite: concat!(
        "WITH RECURSIVE ",
        aside_lite!(
            "line",
            "background_jobs_aside",
            "aside IS NOT NULL AND status = 'available' AND broker = 'embedded' AND crashes < 3"
        ),
        ", ",
        aside_lite!(
            "abroad",
            "background_jobs_parked",
            "aside IS NOT NULL AND status = 'available' AND broker <> 'embedded'"
        ),
        " ",
        counted_lite!(
            "line",
            "background_jobs_aside",
            "aside IS NOT NULL AND status = 'available' AND broker = 'embedded' AND crashes < 3"
        ),
        " UNION ALL ",
        counted_lite!(
            "abroad",
            "background_jobs_parked",
            "aside IS NOT NULL AND status = 'available' AND broker <> 'embedded'"
        ),
        " UNION ALL SELECT queue, aside, count(*), min(run_at) FROM (SELECT queue, aside, run_at FROM background_jobs \
         INDEXED BY background_jobs_claim_alone WHERE crashes >= 3 AND status = 'available' AND broker = 'embedded' \
         LIMIT $2) suspects WHERE aside IS NOT NULL GROUP BY queue, aside"
    ),
};

pub(crate) const STATEMENTS: &[Sql] = &[PARKED];

/// By queue and kind.
pub(crate) async fn parked(db: &Database) -> Result<Vec<ParkedKind>, StoreError> {
    let query = db.sql(PARKED).bind(ParkedKind::LISTED).bind(ParkedKind::COUNTED);
    let mut kinds: BTreeMap<(QueueName, Kind), ParkedKind> = BTreeMap::new();
    for (queue, kind, jobs, since) in query.all::<(String, String, i64, Timestamp)>().await? {
        // A row that somebody wrote by hand may hold any text.
        let (Ok(queue), Ok(kind)) = (QueueName::new(&queue), Kind::new(&kind)) else { continue };
        let none = ParkedKind { queue: queue.clone(), kind: kind.clone(), jobs: 0, since };
        let parked = kinds.entry((queue, kind)).or_insert(none);
        parked.jobs = (parked.jobs + jobs.unsigned_abs()).min(u64::from(ParkedKind::COUNTED));
        parked.since = parked.since.min(since);
    }
    Ok(kinds.into_values().take(ParkedKind::LISTED as usize).collect())
}
