//! A search looks at a bounded number of jobs, says how far it looked, and finds everything in the end.

use backshift_core::{
    ErrorClass, ErrorReport, JobFilter, Kind, Page, Reason, State,
    record::Looked,
    settle::{DeadLetter, Settlement},
    store::Jobs,
};
use backshift_store::{Dialect, Executor, Sql, ledger};

use crate::{
    on_both_databases,
    world::{World, job},
};

/// Completed jobs from one number to another by one statement, a second apart, the oldest first; the payload of each names its number.
const FILL: Sql = Sql {
    pg: "INSERT INTO background_jobs (id, job_type, status, queue, broker, token, created_at, finished_at, payload, payload_size) \
         SELECT gen_random_uuid(), CASE WHEN n = 1 THEN 'rare' ELSE 'usual' END, 'completed', 'q', 'postgres', 1, \
         now() - (200000 - n) * interval '1 second', now(), convert_to('{\"n\":\"' || n || '.\"}', 'UTF8'), length('{\"n\":\"' || n || '.\"}') \
         FROM generate_series($1::bigint, $2::bigint) n",
    sqlite: "WITH RECURSIVE s(n) AS (SELECT $1 UNION ALL SELECT n + 1 FROM s WHERE n < $2) \
             INSERT INTO background_jobs (id, job_type, status, queue, broker, token, created_at, updated_at, run_at, finished_at, payload, \
             payload_size) SELECT printf('019aa3c1-7f2e-7c40-9d1b-%012x', n), CASE WHEN n = 1 THEN 'rare' ELSE 'usual' END, 'completed', \
             'q', 'embedded', 1, (1795000000 + n) * 1000000, 1, 1, 1, CAST('{\"n\":\"' || n || '.\"}' AS BLOB), \
             length('{\"n\":\"' || n || '.\"}') FROM s",
};

async fn filled(world: &World, jobs: i64) {
    // In steps: one statement of so many rows takes longer on a busy machine than a statement may.
    for first in (1..=jobs).step_by(10_000) {
        let last = jobs.min(first + 9_999);
        world.db().sql(FILL).bind(first).bind(last).run().await.unwrap();
    }
}

/// Goes on until everything was looked at: how many jobs were found, and how often it stopped after how many.
async fn whole(world: &World, filter: &JobFilter) -> (usize, Vec<u32>) {
    let (mut found, mut stops, mut after) = (0, Vec::new(), None);
    loop {
        let page = world.store.search(filter, &Page { after, limit: 50 }).await.unwrap();
        found += page.jobs.len();
        let Some(Looked { jobs, last, .. }) = page.looked else { return (found, stops) };
        stops.push(jobs);
        after = Some(last);
        assert!(stops.len() < 100, "a search that has no end");
    }
}

on_both_databases! {
    async fn a_rare_job_behind_many_is_found_in_bounded_steps(world) {
        filled(world, 70_000).await;
        let kind = JobFilter { kind: Kind::new("rare").ok(), ..JobFilter::default() };
        assert_eq!(whole(world, &kind).await, (1, vec![30_000, 30_000]));
        let word = |word: &str| vec![word.to_owned()];
        let payload = JobFilter { payload: word("\"1.\""), ..JobFilter::default() };
        let first = world.store.search(&payload, &Page::default()).await.unwrap();
        assert_eq!((first.jobs.len(), first.looked.map(|looked| looked.jobs)), (0, Some(5000)));
        let newest = JobFilter { payload: word("70000."), ..JobFilter::default() };
        let found = world.store.search(&newest, &Page::default()).await.unwrap();
        assert_eq!(found.jobs.len(), 1);
        let error = JobFilter { error: word("nowhere"), ..JobFilter::default() };
        assert_eq!(world.store.search(&error, &Page::default()).await.unwrap().looked.map(|looked| looked.jobs), Some(20_000));
    }

    async fn what_waits_runs_or_is_dead_is_found_behind_many_that_are_done(world) {
        let (buried, start) = world.running("d").await;
        let error = ErrorReport::new(ErrorClass::Error, "mailbox busy");
        let letter = DeadLetter { reason: Reason::Permanent, error, attempt: 1 };
        world.finish(start.lease, Settlement::DeadLetter(letter)).await;
        let (dead, waits) = (buried.id, world.enqueue(job("w")).await.id());
        filled(world, 40_000).await;
        let newer = "UPDATE background_jobs SET created_at = (SELECT MAX(created_at) FROM background_jobs) WHERE id IN \
                     (SELECT id FROM background_jobs WHERE queue = 'q' \
                     AND created_at < (SELECT MAX(created_at) FROM background_jobs) LIMIT 10000)";
        while world.db().sql(newer).run().await.unwrap() > 0 {}
        for (state, id) in [(State::Dead, dead), (State::Available, waits)] {
            let filter = JobFilter { state: Some(state), ..JobFilter::default() };
            let found = world.store.search(&filter, &Page::default()).await.unwrap();
            assert_eq!((found.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), found.looked), (vec![id], None), "{state:?}");
        }
        for state in [State::Running, State::Retrying, State::Scheduled, State::Cancelled] {
            let filter = JobFilter { state: Some(state), ..JobFilter::default() };
            let found = world.store.search(&filter, &Page::default()).await.unwrap();
            assert_eq!((found.jobs.len(), found.looked), (0, None), "{state:?}");
        }
    }
}

#[tokio::test]
async fn dead_and_unclear_jobs_are_read_from_their_own_index() {
    let world = World::sqlite().await;
    // Statements of lists: sweeps put others together that begin alike.
    let others = [" LIMIT ", "json_each", "COUNT("];
    let list = |text: &String| {
        text.contains("FROM background_jobs WHERE true") && !others.iter().any(|other| text.contains(other))
    };
    let texts: Vec<String> = ledger::statements(Dialect::Sqlite).into_iter().filter(list).collect();
    let of = |words: &str| texts.iter().filter(|text| text.contains(words)).cloned().collect::<Vec<_>>();
    for words in ["status = 'dead'", "status = 'cancelled'", "effect = 'ambiguous'"] {
        assert!(!of(words).is_empty(), "{words}");
        for text in of(words) {
            let explain = format!("EXPLAIN QUERY PLAN {text} ORDER BY created_at DESC, id DESC LIMIT 50");
            let plan: Vec<(i64, i64, i64, String)> = world.db().text(explain).all().await.unwrap();
            let read = &plan[0].3;
            let own = ["background_jobs_kept", "background_jobs_effect"].iter().any(|own| read.contains(own));
            assert!(own, "{words}: {read}");
        }
    }
}
