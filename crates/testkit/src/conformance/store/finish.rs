//! Chapter *finish*: only the holder of the highest token writes a result, and it writes it once.
//!
//! S21 is the promise "a worker that was presumed dead cannot finish somebody else's attempt".

use backshift_core::{
    Ack, Bytes, Completion, Lease, Reason, Settled, Settlement, State, Token, store::Finish,
};

use super::scene::{Scene, applied, completed, dead, retry, running};
use crate::conformance::case::{Outcome, Verdict, cases, ensure};

cases! { Scene:
    s20_completion_is_kept_with_output_and_note,
    s21_result_of_a_lower_token_is_refused,
    s22_counted_retry_raises_the_attempt,
    s23_uncounted_retry_keeps_the_attempt,
    s24_dead_job_keeps_reason_and_error,
    s25_finished_job_stays_as_it_is,
    s26_each_start_is_a_row_of_attempts,
    s27_transaction_that_did_not_commit_completes_nothing,
    s28_results_are_answered_one_each_in_order,
    s29_result_without_a_job_is_stale,
}

async fn s20_completion_is_kept_with_output_and_note(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    let start = scene.start(&envelope).await?;
    let output = Bytes::from_static(b"\xff250 2.0.0 Ok\0");
    let completion = Completion {
        output: Some(output.clone()),
        note: Some("suppressed".into()),
        strict: true,
        in_transaction: false,
    };
    applied(scene.finish(start.lease, Settlement::Ack(Ack::Completed(completion))).await?)?;
    let row = scene.row(envelope.id).await?;
    ensure!(row.state == State::Completed && row.finished_at.is_some(), "the row of a finished job: {row:?}");
    ensure!(row.output == Some(output), "the output became {:?}", row.output);
    ensure!(row.note.as_deref() == Some("suppressed"), "the note became {:?}", row.note);
    ensure!(row.lease_until.is_none(), "a finished job is still held until {:?}", row.lease_until);
    Ok(Outcome::Pass)
}

async fn s21_result_of_a_lower_token_is_refused(scene: Scene) -> Verdict {
    let results = |envelope: &backshift_core::Envelope| {
        [completed(), retry(envelope, 1, true), dead(Reason::Permanent), Settlement::Ack(Ack::Cancelled)]
    };
    let envelope = scene.envelope("x");
    let late = scene.start(&envelope).await?;
    let current = running(scene.reclaim(&scene.patient(), &envelope).await?)?;
    let before = scene.row(envelope.id).await?;
    for result in results(&envelope) {
        let settled = scene.finish(late.lease, result.clone()).await?;
        ensure!(settled == Settled::Stale, "the late result {result:?} was {settled:?}");
    }
    let after = scene.row(envelope.id).await?;
    ensure!(before == after, "a refused result changed the row:\n{before:?}\n{after:?}");
    applied(scene.finish(current.lease, completed()).await?)?;
    for result in results(&envelope) {
        let settled = scene.finish(late.lease, result).await?;
        ensure!(settled == Settled::Stale, "after the end, the late result was {settled:?}");
    }
    ensure!(scene.row(envelope.id).await?.state == State::Completed, "a late result reopened the job");
    Ok(Outcome::Pass)
}

async fn s22_counted_retry_raises_the_attempt(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    for attempt in 1..=3 {
        let start = scene.start(&envelope).await?;
        ensure!(start.attempt == attempt, "attempt {} at start {attempt}", start.attempt);
        applied(scene.finish(start.lease, retry(&envelope, attempt, true)).await?)?;
        let row = scene.row(envelope.id).await?;
        let waits = matches!(row.state, State::Retrying | State::Available);
        ensure!(waits, "after a failure with no delay the job is {:?}", row.state);
        ensure!(row.attempt == attempt + 1, "the next attempt is {}, not {}", row.attempt, attempt + 1);
        ensure!(row.error.as_deref() == Some("connection refused"), "the error became {:?}", row.error);
    }
    Ok(Outcome::Pass)
}

async fn s23_uncounted_retry_keeps_the_attempt(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    for starts in 1..=3 {
        let start = scene.start(&envelope).await?;
        ensure!(start.attempt == 1 && start.starts == starts, "snoozes counted: {start:?}");
        applied(scene.finish(start.lease, retry(&envelope, 1, false)).await?)?;
        let row = scene.row(envelope.id).await?;
        ensure!(row.attempt == 1 && !row.state.is_final(), "a snoozed job: {row:?}");
        ensure!(row.crashes == 0, "a snooze counted as a crash");
    }
    Ok(Outcome::Pass)
}

async fn s24_dead_job_keeps_reason_and_error(scene: Scene) -> Verdict {
    for reason in [Reason::Permanent, Reason::AttemptsExhausted, Reason::Ambiguous, Reason::TooLarge] {
        let envelope = scene.envelope("x");
        let start = scene.start(&envelope).await?;
        applied(scene.finish(start.lease, dead(reason)).await?)?;
        let row = scene.row(envelope.id).await?;
        ensure!(row.state == State::Dead && row.finished_at.is_some(), "the row of a dead job: {row:?}");
        ensure!(row.reason.as_deref() == Some(reason.as_str()), "the reason became {:?}", row.reason);
        ensure!(row.error.as_deref() == Some("no such mailbox"), "the error became {:?}", row.error);
        ensure!(row.payload == Some("x".into()), "a dead job lost its payload: {:?}", row.payload);
    }
    Ok(Outcome::Pass)
}

async fn s25_finished_job_stays_as_it_is(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    let start = scene.complete(&envelope).await?;
    let before = scene.row(envelope.id).await?;
    // The same result again may be answered either way; another result must not be applied.
    scene.finish(start.lease, completed()).await?;
    let settled = scene.finish(start.lease, retry(&envelope, 1, true)).await?;
    ensure!(settled == Settled::Stale, "a retry of a completed job was {settled:?}");
    let after = scene.row(envelope.id).await?;
    ensure!(before == after, "a second result changed the row:\n{before:?}\n{after:?}");
    Ok(Outcome::Pass)
}

async fn s26_each_start_is_a_row_of_attempts(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    let first = scene.start(&envelope).await?;
    let second = running(scene.reclaim(&scene.patient(), &envelope).await?)?;
    applied(scene.finish(second.lease, retry(&envelope, 1, true)).await?)?;
    let third = scene.start(&envelope).await?;
    applied(scene.finish(third.lease, completed()).await?)?;
    let rows = scene.store.attempts(envelope.id).await?;
    let tokens: Vec<Token> = rows.iter().map(|row| row.token).collect();
    let wanted = [first.lease.token, second.lease.token, third.lease.token];
    ensure!(tokens == wanted, "tokens of the attempts, oldest first: {tokens:?}, not {wanted:?}");
    let ends: Vec<_> = rows.iter().skip(1).map(|row| row.outcome.as_deref()).collect();
    ensure!(ends == [Some("error"), Some("completed")], "outcomes {ends:?}");
    ensure!(rows[0].outcome.as_deref() != Some("completed"), "a lost attempt shows as completed");
    ensure!(rows.iter().map(|row| row.attempt).eq([1, 1, 2]), "attempt numbers of {rows:?}");
    ensure!(rows.iter().skip(1).all(|row| row.ended_at.is_some()), "an ended attempt has no end: {rows:?}");
    Ok(Outcome::Pass)
}

async fn s27_transaction_that_did_not_commit_completes_nothing(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    let start = scene.start(&envelope).await?;
    let claimed = Completion { in_transaction: true, ..Completion::default() };
    let settled = scene.finish(start.lease, Settlement::Ack(Ack::Completed(claimed))).await?;
    ensure!(
        settled == Settled::Stale,
        "a completion that did not take place is answered {settled:?}: it would be acked"
    );
    let row = scene.row(envelope.id).await?;
    ensure!(row.state != State::Completed, "the job is completed, but its transaction never committed");
    Ok(Outcome::Pass)
}

async fn s28_results_are_answered_one_each_in_order(scene: Scene) -> Verdict {
    let mut batch = Vec::new();
    let mut ids = Vec::new();
    for n in 0..30_i64 {
        let envelope = scene.envelope(n.to_string());
        let mut lease = scene.start(&envelope).await?.lease;
        if n % 5 == 0 {
            lease.token = Token(lease.token.0 - 1);
        }
        ids.push(envelope.id);
        batch.push(Finish { lease, settlement: completed(), durable: true });
    }
    let answers = scene.store.finish(batch).await?;
    ensure!(answers.len() == 30, "{} answers to 30 results", answers.len());
    for (n, (answer, id)) in answers.into_iter().zip(ids).enumerate() {
        let stale = n % 5 == 0;
        ensure!((answer == Settled::Stale) == stale, "answer {n} is {answer:?}");
        let state = scene.row(id).await?.state;
        ensure!((state == State::Running) == stale, "job {n} is {state:?}");
    }
    ensure!(scene.store.finish(Vec::new()).await?.is_empty(), "answers to no result");
    Ok(Outcome::Pass)
}

async fn s29_result_without_a_job_is_stale(scene: Scene) -> Verdict {
    let unknown = scene.envelope("x").id;
    let lease = Lease { job: unknown, token: Token(1), until: super::scene::now(), claim: None };
    let settled = scene.finish(lease, completed()).await?;
    ensure!(settled == Settled::Stale, "the result of a job that nobody knows was {settled:?}");
    ensure!(scene.store.find(unknown).await?.is_none(), "a result made a row");
    Ok(Outcome::Pass)
}
