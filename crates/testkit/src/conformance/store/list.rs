//! Chapter *list*: what people see when they look for jobs.
//!
//! The cursor is a job's id: rows that arrive while somebody pages come before the first page, never in between.

use std::collections::HashSet;

use backshift_core::{
    EffectState, JobFilter, JobId, JobRecord, Kind, Page, State, StoreError, wire::SENSITIVE,
};

use super::scene::{Scene, applied, completed};
use crate::conformance::case::{Failure, Outcome, Verdict, cases, ensure};

cases! { Scene:
    s40_pages_are_stable_while_rows_arrive,
    s41_filters_match_every_field,
    s42_page_after_a_missing_job_is_not_found,
    s43_page_is_bounded,
    s44_unknown_job_is_none,
    s180_words_are_found_where_they_stand,
    s181_a_search_says_how_far_it_looked,
    s190_jobs_that_are_over_are_told_from_the_others,
}

async fn s190_jobs_that_are_over_are_told_from_the_others(scene: Scene) -> Verdict {
    let [runs, done, dead, unwanted] = ["runs", "done", "dead", "unwanted"].map(|text| scene.envelope(text));
    scene.start(&runs).await?;
    scene.complete(&done).await?;
    scene.bury(&dead).await?;
    scene.store.accept(super::scene::BROKER, vec![unwanted.clone()]).await?;
    let asked = [runs.id, done.id, JobId::generate(), dead.id, unwanted.id];
    let over = async || -> Result<HashSet<JobId>, StoreError> {
        Ok(scene.store.over(&asked).await?.into_iter().collect())
    };
    let ended = HashSet::from([done.id, dead.id]);
    ensure!(
        over().await? == ended,
        "asked about {asked:?}, the store names {:?} and not {ended:?}",
        over().await?
    );
    scene.store.cancel(unwanted.id).await?;
    ensure!(over().await?.contains(&unwanted.id), "a job that was cancelled is not over");
    ensure!(scene.store.over(&[]).await?.is_empty(), "of no jobs, some are over");
    Ok(Outcome::Pass)
}

async fn s40_pages_are_stable_while_rows_arrive(scene: Scene) -> Verdict {
    let mut before = HashSet::new();
    for n in 0..25 {
        let envelope = scene.envelope(n.to_string());
        scene.start(&envelope).await?;
        before.insert(envelope.id);
    }
    let mut seen: Vec<JobId> = Vec::new();
    let mut newest = None;
    loop {
        let page = Page { after: seen.last().copied(), limit: 4 };
        let rows = scene.store.list(&JobFilter::default(), &page).await?;
        if rows.is_empty() {
            break;
        }
        ensure!(rows.len() <= 4, "{} rows on a page of 4", rows.len());
        for row in &rows {
            let key = (row.created_at, row.id);
            ensure!(newest.is_none_or(|last| key < last), "{key:?} comes after {newest:?}");
            newest = Some(key);
        }
        seen.extend(rows.iter().map(|row| row.id));
        scene.start(&scene.envelope("arrives meanwhile")).await?;
        ensure!(seen.len() < 100, "the pages have no end");
    }
    let different: HashSet<JobId> = seen.iter().copied().collect();
    ensure!(different.len() == seen.len(), "a row is on two pages");
    ensure!(different == before, "{} rows on the pages, 25 were there", seen.len());
    Ok(Outcome::Pass)
}

async fn s41_filters_match_every_field(scene: Scene) -> Verdict {
    let mut mail = scene.envelope("mail");
    mail.kind = Kind::new("email.send")?;
    let (running, done, dead) = (scene.envelope("running"), scene.envelope("done"), scene.envelope("dead"));
    let lease = scene.start(&mail).await?.lease;
    scene.store.intend(&lease, "smtp").await?;
    scene.store.conclude(&lease, "smtp", EffectState::Done, Some("250")).await?;
    applied(scene.finish(lease, completed()).await?)?;
    scene.start(&running).await?;
    scene.complete(&done).await?;
    scene.bury(&dead).await?;
    let mut elsewhere = scene.envelope("elsewhere");
    elsewhere.queue = crate::servers::unique_queue("other");
    scene.start(&elsewhere).await?;
    let here = JobFilter { queue: Some(scene.queue.clone()), ..JobFilter::default() };
    let with = |change: fn(&mut JobFilter)| {
        let mut filter = here.clone();
        change(&mut filter);
        filter
    };
    let both = |filter: &mut JobFilter| {
        filter.state = Some(State::Completed);
        filter.kind = Kind::new("email.send").ok();
    };
    expect(&scene, here.clone(), &[mail.id, running.id, done.id, dead.id]).await?;
    expect(&scene, with(|f| f.state = Some(State::Completed)), &[mail.id, done.id]).await?;
    expect(&scene, with(|f| f.state = Some(State::Running)), &[running.id]).await?;
    expect(&scene, with(|f| f.state = Some(State::Dead)), &[dead.id]).await?;
    expect(&scene, with(|f| f.kind = Kind::new("email.send").ok()), &[mail.id]).await?;
    expect(&scene, with(both), &[mail.id]).await?;
    expect(&scene, with(|f| f.effect = Some(EffectState::Done)), &[mail.id]).await?;
    expect(&scene, with(|f| f.effect = Some(EffectState::Ambiguous)), &[]).await?;
    Ok(Outcome::Pass)
}

async fn s42_page_after_a_missing_job_is_not_found(scene: Scene) -> Verdict {
    scene.start(&scene.envelope("x")).await?;
    let page = Page { after: Some(JobId::generate()), limit: 5 };
    let answer = scene.store.list(&JobFilter::default(), &page).await;
    ensure!(matches!(answer, Err(StoreError::NotFound(_))), "a page after a missing job: {answer:?}");
    Ok(Outcome::Pass)
}

async fn s43_page_is_bounded(scene: Scene) -> Verdict {
    let batch: Vec<_> = (0..520).map(|n| super::scene::request(&scene.envelope(n.to_string()))).collect();
    scene.store.claim(&scene.patient(), batch).await?;
    let rows = scene.store.list(&JobFilter::default(), &Page { after: None, limit: u32::MAX }).await?;
    ensure!(rows.len() == 500, "{} rows on one page", rows.len());
    Ok(Outcome::Pass)
}

async fn s44_unknown_job_is_none(scene: Scene) -> Verdict {
    let found = scene.store.find(JobId::generate()).await?;
    ensure!(found.is_none(), "a job that nobody accepted: {found:?}");
    let attempts = scene.store.attempts(JobId::generate()).await?;
    ensure!(attempts.is_empty(), "attempts of a job that nobody accepted: {attempts:?}");
    Ok(Outcome::Pass)
}

async fn s180_words_are_found_where_they_stand(scene: Scene) -> Verdict {
    let user = uuid::Uuid::now_v7();
    let mut mail = scene.envelope(r#"{"to":"Anna@Example.com","city":"Köln \\ 100%"}"#);
    (mail.kind, mail.user_id) = (Kind::new("email.send")?, Some(user));
    let (dead, mut secret) = (scene.envelope(r#"{"order":4711}"#), scene.envelope("4711 is secret"));
    secret.headers.insert(SENSITIVE.to_owned(), "true".to_owned());
    scene.complete(&mail).await?;
    scene.bury(&dead).await?;
    scene.complete(&secret).await?;
    let why = scene.store.find(dead.id).await?.and_then(|job| job.error).unwrap_or_default();
    ensure!(!why.is_empty(), "a dead job has an error");
    let here = JobFilter { queue: Some(scene.queue.clone()), ..JobFilter::default() };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let anywhere = |all: &[&str]| JobFilter { words: words(all), ..here.clone() };
    let payload = |all: &[&str]| JobFilter { payload: words(all), ..here.clone() };
    let error = |all: &[&str]| JobFilter { error: words(all), ..here.clone() };
    expect(&scene, anywhere(&["anna@EXAMPLE"]), &[mail.id]).await?;
    expect(&scene, anywhere(&["Köln", "EMAIL.send"]), &[mail.id]).await?;
    expect(&scene, anywhere(&[&why.to_uppercase()]), &[dead.id]).await?;
    expect(&scene, anywhere(&["anna", "4711"]), &[]).await?;
    expect(&scene, payload(&["4711"]), &[dead.id]).await?;
    for text in ["\\\\ 100%", "100%", "köln"] {
        expect(&scene, payload(&[text]), &[mail.id]).await?;
    }
    for nothing in ["%4711", "_711", "'; DROP", "\0"] {
        expect(&scene, payload(&[nothing]), &[]).await?;
    }
    expect(&scene, payload(&[&why]), &[]).await?;
    expect(&scene, error(&[&why]), &[dead.id]).await?;
    expect(&scene, error(&["4711"]), &[]).await?;
    expect(&scene, JobFilter { user: Some(user), ..here.clone() }, &[mail.id]).await?;
    let at = scene.store.find(dead.id).await?.map(|job| job.created_at);
    expect(&scene, JobFilter { since: at, until: at, ..here.clone() }, &[]).await?;
    let past = JobFilter { until: at.map(|at| at + std::time::Duration::from_secs(3600)), ..here.clone() };
    expect(&scene, past, &[mail.id, dead.id, secret.id]).await?;
    let future = JobFilter { since: at.map(|at| at + std::time::Duration::from_secs(3600)), ..here };
    expect(&scene, future, &[]).await?;
    Ok(Outcome::Pass)
}

async fn s181_a_search_says_how_far_it_looked(scene: Scene) -> Verdict {
    let mut all = HashSet::new();
    for n in 0..7 {
        let envelope = scene.envelope(n.to_string());
        if n % 2 == 0 {
            scene.complete(&envelope).await?
        } else {
            scene.bury(&envelope).await?
        };
        all.insert(envelope.id);
    }
    let of = |state| JobFilter { queue: Some(scene.queue.clone()), state, ..JobFilter::default() };
    for state in
        [None, Some(State::Completed), Some(State::Dead), Some(State::Available), Some(State::Running)]
    {
        let mut seen: Vec<JobId> = Vec::new();
        let mut after = None;
        loop {
            let found = scene.store.search(&of(state), &Page { after, limit: 2 }).await?;
            let listed = scene.store.list(&of(state), &Page { after, limit: 2 }).await?;
            let ids = |jobs: &[JobRecord]| jobs.iter().map(|job| job.id).collect::<Vec<_>>();
            ensure!(ids(&found.jobs) == ids(&listed), "{state:?}: a search finds other jobs than the list");
            seen.extend(ids(&found.jobs));
            let full = found.jobs.len() == 2;
            ensure!(!full || found.looked.is_none(), "{state:?}: a full page says that it stopped early");
            after = match (full, found.looked) {
                (true, _) => seen.last().copied(),
                // Others' jobs may have been looked at.
                (false, Some(looked)) => Some(looked.last),
                (false, None) => break,
            };
            ensure!(seen.len() <= all.len(), "{state:?}: the pages have no end");
        }
        let wanted = match state {
            None => 7,
            Some(State::Completed) => 4,
            Some(State::Dead) => 3,
            Some(_) => 0,
        };
        ensure!(seen.len() == wanted, "{state:?}: {} found, not {wanted}", seen.len());
    }
    Ok(Outcome::Pass)
}

async fn expect(scene: &Scene, filter: JobFilter, wanted: &[JobId]) -> Result<(), Failure> {
    let rows = scene.store.list(&filter, &Page::default()).await?;
    let found = scene.store.search(&filter, &Page::default()).await?;
    ensure!(found.jobs == rows, "{filter:?}: a search finds others than the list");
    let got: HashSet<JobId> = rows.iter().map(|row| row.id).collect();
    ensure!(got == wanted.iter().copied().collect(), "{filter:?} found {got:?}, not {wanted:?}");
    Ok(())
}
