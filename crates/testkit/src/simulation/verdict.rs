//! The end of a seed: the ledger, the broker and the effects against what the book saw.

use std::collections::BTreeMap;

use backshift_core::{
    AttemptRecord, JobId, JobRecord, Reason, State, Timestamp, store::CRASHES_BEFORE_ALONE,
    store::LONELY_CRASHES_BEFORE_DEAD, wire,
};

use super::{
    book::{Deed, Expected, Start, short},
    plan::Source,
    rules::Rule,
    script::Failing,
    world::{EVERY, SCHEDULE, World},
};

/// Compares everything; findings go into the book.
pub(super) fn judge(world: &World) {
    let rows: BTreeMap<JobId, JobRecord> =
        world.store.records().into_iter().map(|row| (row.id, row)).collect();
    let mut effects: BTreeMap<JobId, usize> = BTreeMap::new();
    for (id, _) in world.store.effects_committed() {
        *effects.entry(id).or_default() += 1;
    }
    let jobs = world.book.pages().jobs.clone();
    for (id, job) in &jobs {
        let count = effects.get(id).copied().unwrap_or_default();
        match rows.get(id) {
            Some(row) => judge_job(world, job, row, count),
            None if job.accepted => world.book.broken(Rule::Ended, format!("{} is lost", short(*id))),
            None => {}
        }
    }
    for row in rows.values() {
        judge_starts(world, row, jobs.get(&row.id));
        judge_dead_letter(world, row);
    }
    judge_ticks(world, rows.values());
    judge_rest(world, &rows);
}

fn judge_job(world: &World, job: &Expected, row: &JobRecord, effects: usize) {
    let (book, name) = (&world.book, short(row.id));
    if !row.state.is_final() {
        let facts =
            (row.state, row.attempt, row.token, row.run_at, &row.lease_until, &row.worker, &row.error);
        return book.broken(Rule::Ended, format!("{name} in {} is left as {facts:?}", job.queue));
    }
    let reason = row.reason.as_deref().and_then(Reason::parse);
    let crash_loop = row.crashes >= CRASHES_BEFORE_ALONE + LONELY_CRASHES_BEFORE_DEAD;
    let right = match (row.state, reason) {
        (State::Dead, Some(Reason::CrashLoop)) => crash_loop,
        (State::Dead, Some(Reason::TooLarge)) => job.too_large,
        (State::Cancelled, _) if job.may_be_cancelled => true,
        _ if job.too_large => false,
        end => job.script.ends(job.max_attempts).contains(&end),
    };
    if !right {
        let facts = (row.state, reason, row.attempt, &row.error);
        book.broken(Rule::RightEnd, format!("{name} ended as {facts:?}; its script: {:?}", job.script));
    }
    let due = usize::from(row.state == State::Completed && job.script.end.commits());
    if effects != due {
        book.broken(Rule::OneEffect, format!("{name} is {:?} with {effects} effects", row.state));
    }
    let outside = book.pages().outside.get(&row.id).copied().unwrap_or_default();
    let sent = job.script.end == super::script::End::Outside && row.state == State::Completed;
    if outside > 1 || (sent && outside == 0) {
        book.broken(Rule::OutsideOnce, format!("{name} is {:?} and was sent {outside} times", row.state));
    }
}

/// What the ledger says of each start, against what it did.
fn judge_starts(world: &World, row: &JobRecord, job: Option<&Expected>) {
    let (book, name) = (&world.book, short(row.id));
    let attempts = world.store.starts(row.id);
    let (starts, calm, doubled) = {
        let pages = book.pages();
        let starts = pages.starts.get(&row.id).cloned().unwrap_or_default();
        (starts, pages.calm.map(|(_, at)| at), pages.doubled.contains(&row.id))
    };
    // A second message that says *redelivered* takes the job from a holder that lives (S3); the fence holds. In the
    // calm only the dropped receipt of a rollback makes one.
    let rolls_back = job.is_some_and(|job| job.script.fails > 0 && job.script.how == Failing::Rollback);
    let contested = doubled && rolls_back && world.broker.was_redelivered(row.id);
    let mut last = 0;
    for attempt in &attempts {
        if attempt.token.0 <= last {
            book.broken(Rule::RisingToken, format!("{name}: token {} follows {last}", attempt.token));
        }
        last = attempt.token.0;
        let start = starts.get(&attempt.token.0);
        let outcome = attempt.outcome.as_deref().unwrap_or("nothing");
        if !is_true(outcome, start, job) {
            book.broken(
                Rule::TrueOutcome,
                format!("{name} token {last} is {outcome} and did {}", told(start)),
            );
        }
        if outcome == "crash" && !contested && calm.is_some_and(|calm| attempt.started_at >= calm) {
            let text = format!("{name} token {last} of {} lost its lease in the calm", attempt.worker);
            book.broken(Rule::KeptLease, text);
        }
    }
    let counts =
        |attempt: &&AttemptRecord| matches!(attempt.outcome.as_deref(), Some("error" | "panic" | "timeout"));
    let counted = attempts.iter().filter(counts).count();
    let failed = starts.values().filter(|start| start.failed()).count();
    let attempt = row.attempt as usize;
    if attempt != counted + 1 || counted > failed {
        let text =
            format!("{name} is at attempt {attempt} after {failed} failures, {counted} of them counted");
        book.broken(Rule::HonestCount, text);
    }
}

fn told(start: Option<&Start>) -> String {
    match start {
        None => "nothing: no handler began".into(),
        Some(start) => {
            let time = start.ended.map(|ended| ended - start.began);
            format!("{:?} in {time:?}", start.deed)
        }
    }
}

/// Whether a start can have come to this outcome.
fn is_true(outcome: &str, start: Option<&Start>, job: Option<&Expected>) -> bool {
    let deed = start.map(|start| start.deed);
    let timed_out = start.is_some_and(Start::timed_out);
    match outcome {
        "completed" => matches!(deed, Some(Deed::Done | Deed::Committed)),
        "error" => matches!(deed, Some(Deed::Error | Deed::RolledBack)),
        "panic" => deed == Some(Deed::Panic),
        "timeout" => timed_out,
        "released" => deed != Some(Deed::Committed),
        "dead" => match deed {
            Some(Deed::Buried | Deed::Error | Deed::Panic) => true,
            Some(_) => timed_out,
            None => job.is_some_and(|job| job.too_large),
        },
        "cancelled" => deed == Some(Deed::Cancelled) || job.is_some_and(|job| job.may_be_cancelled),
        "crash" => true,
        // Only a job that did not end, which is a finding already.
        _ => true,
    }
}

fn judge_dead_letter(world: &World, row: &JobRecord) {
    if world.source(&row.queue) != Source::Foreign {
        return;
    }
    let dead = world.broker.dead(&row.queue);
    let mut letters = dead.iter().filter(|message| message.letter.reason != Reason::IdConflict);
    let there = letters.any(|message| message.job.as_ref().is_ok_and(|job| job.id == row.id));
    if there != (row.state == State::Dead) {
        let text = format!("{} is {:?}; in the broker's place: {there}", short(row.id), row.state);
        world.book.broken(Rule::DeadLetter, text);
    }
}

/// Every tick from the first to the last, once.
fn judge_ticks<'a>(world: &World, rows: impl Iterator<Item = &'a JobRecord>) {
    let tick = |row: &JobRecord| row.headers.get(wire::TICK)?.parse::<Timestamp>().ok();
    let mut ticks: Vec<i64> = rows.filter_map(tick).map(|tick| tick.as_second()).collect();
    ticks.sort_unstable();
    let registered = 1_767_225_600;
    let last = world.store.last_tick_of(SCHEDULE).map_or(registered, |last| last.as_second());
    for pair in ticks.windows(2).filter(|pair| pair[0] == pair[1]) {
        let text = format!("the tick at {} s has two jobs", pair[0] - registered);
        world.book.broken(Rule::Ticks, text);
    }
    let due = (registered + EVERY..=last).step_by(EVERY as usize);
    for missed in due.filter(|due| ticks.binary_search(due).is_err()) {
        world.book.broken(Rule::Ticks, format!("the tick at {} s has no job", missed - registered));
    }
}

/// What is left in the broker, and rates.
fn judge_rest(world: &World, rows: &BTreeMap<JobId, JobRecord>) {
    for line in &world.plan.queues {
        if !world.broker.is_empty(&line.queue) {
            world.book.broken(Rule::NothingLeft, format!("{} still holds messages", line.queue));
        }
    }
    let rubbish = std::mem::take(&mut world.book.pages().rubbish);
    for (queue, bytes) in rubbish {
        let dead = world.broker.dead(&queue);
        let mut found = dead.iter().map(|message| match &message.job {
            Ok(job) => &job.payload,
            Err(malformed) => &malformed.raw,
        });
        if !found.any(|found| *found == bytes) {
            world.book.broken(Rule::DeadLetter, format!("{bytes:?} is not in the broker's place"));
        }
    }
    let pages = world.book.pages();
    let Some((calm, _)) = pages.calm else { return };
    let rated = |id: &JobId| rows.get(id).is_some_and(|row| row.kind.as_str() == super::handlers::RATED);
    let starts = pages.starts.iter().filter(|(id, _)| rated(id)).flat_map(|(_, starts)| starts.values());
    let mut times: Vec<_> = starts.map(|start| start.began).filter(|began| *began >= calm).collect();
    drop(pages);
    times.sort_unstable();
    let rate = super::handlers::RATE;
    // A burst and what the time earns: no window may hold more.
    let most = 2 * rate.count as usize;
    for window in times.windows(most + 1) {
        let time = window[most] - window[0];
        if time < rate.per {
            world.book.broken(Rule::Rate, format!("{} starts of a rated kind in {time:?}", most + 1));
        }
    }
}
