//! Chapter *claim*: who may run a delivery, under which token, as which attempt.
//!
//! The ledger's attempt decides, not the envelope's: brokers count what is not an attempt.

use std::collections::HashSet;

use backshift_core::{
    Bytes, JobId, State,
    store::{ClaimRequest, Claimed},
    wire::{BODY_NOT_KEPT, SENSITIVE},
};

use super::scene::{Scene, applied, completed, request, retry, running};
use crate::{
    conformance::case::{Failure, Outcome, Verdict, cases, ensure},
    payloads, wait,
};

cases! { Scene:
    s1_first_claim_runs_and_makes_the_row,
    s2_held_job_is_held,
    s3_redelivered_claim_takes_over,
    s4_finished_job_is_over,
    s5_answers_come_one_each_in_order,
    s6_other_payload_under_a_known_id_is_a_conflict,
    s7_claim_after_the_lease_counts_a_crash,
    s8_payload_bytes_are_kept,
    s9_sensitive_payload_is_not_kept,
    s10_anonymous_redelivery_finds_its_row,
    s11_attempt_of_the_ledger_decides,
    s12_one_of_many_claims_at_once_runs,
}

async fn s1_first_claim_runs_and_makes_the_row(scene: Scene) -> Verdict {
    let mut envelope = scene.envelope("{}");
    envelope.max_attempts = Some(9);
    envelope.headers.insert("traceparent".into(), "00-aa-bb-01".into());
    let start = scene.start(&envelope).await?;
    ensure!(start.lease.job == envelope.id, "the lease is on {}", start.lease.job);
    ensure!(start.attempt == 1 && start.starts == 1 && start.crashes == 0, "a first start: {start:?}");
    ensure!(start.max_attempts == Some(9), "the job's own limit became {:?}", start.max_attempts);
    let row = scene.row(envelope.id).await?;
    ensure!(row.state == State::Running && row.attempt == 1, "the row of a running job: {row:?}");
    ensure!(row.token == start.lease.token && row.token.0 >= 1, "token {} of {:?}", row.token, start);
    ensure!(row.kind == envelope.kind && row.queue == envelope.queue, "kind or queue changed: {row:?}");
    ensure!(row.broker == super::scene::BROKER, "the broker became {:?}", row.broker);
    ensure!(row.worker.as_deref() == Some(scene.holder.worker.as_str()), "held by {:?}", row.worker);
    ensure!(row.headers == envelope.headers, "the headers became {:?}", row.headers);
    ensure!(row.started_at.is_some() && row.finished_at.is_none(), "times of a running job: {row:?}");
    Ok(Outcome::Pass)
}

async fn s2_held_job_is_held(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    let first = running(scene.claim(&scene.patient(), &envelope).await?)?;
    match scene.claim(&scene.other()?, &envelope).await? {
        Claimed::Held(rest) => {
            ensure!(!rest.is_zero() && rest <= scene.patient().lease, "held for {rest:?}");
        }
        other => ensure!(false, "a job that another worker holds was answered with {other:?}"),
    }
    let row = scene.row(envelope.id).await?;
    ensure!(row.token == first.lease.token, "asking raised the token");
    Ok(Outcome::Pass)
}

async fn s3_redelivered_claim_takes_over(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    let first = scene.start(&envelope).await?;
    let second = running(scene.reclaim(&scene.other()?, &envelope).await?)?;
    ensure!(
        second.lease.token > first.lease.token,
        "token {} after {}",
        second.lease.token,
        first.lease.token
    );
    ensure!(second.attempt == 1, "a lost worker counted as attempt {}", second.attempt);
    ensure!(second.starts == 2, "starts {} at the second start", second.starts);
    Ok(Outcome::Pass)
}

async fn s4_finished_job_is_over(scene: Scene) -> Verdict {
    let (done, cancelled, buried) = (scene.envelope("a"), scene.envelope("b"), scene.envelope("c"));
    scene.complete(&done).await?;
    scene.bury(&buried).await?;
    let start = scene.start(&cancelled).await?;
    let end = backshift_core::Settlement::Ack(backshift_core::Ack::Cancelled);
    applied(scene.finish(start.lease, end).await?)?;
    for (envelope, state) in [(done, State::Completed), (buried, State::Dead), (cancelled, State::Cancelled)]
    {
        for claimed in
            [scene.claim(&scene.holder, &envelope).await?, scene.reclaim(&scene.holder, &envelope).await?]
        {
            ensure!(claimed == Claimed::Over(state), "a {state:?} job was answered with {claimed:?}");
        }
    }
    Ok(Outcome::Pass)
}

async fn s5_answers_come_one_each_in_order(scene: Scene) -> Verdict {
    let done = scene.envelope("done");
    scene.complete(&done).await?;
    let fresh: Vec<_> = (0..50).map(|n| scene.envelope(n.to_string())).collect();
    let mut batch: Vec<ClaimRequest> = fresh.iter().map(request).collect();
    batch.insert(7, request(&done));
    batch.push(request(&fresh[3]));
    let answers = scene.store.claim(&scene.patient(), batch.clone()).await?;
    ensure!(answers.len() == batch.len(), "{} answers to {} requests", answers.len(), batch.len());
    let mut jobs = HashSet::new();
    for (n, (answer, request)) in answers.iter().zip(&batch).enumerate() {
        match answer {
            Claimed::Over(State::Completed) if n == 7 => {}
            Claimed::Held(_) if n == 51 => {}
            Claimed::Run(start) if n != 7 && n != 51 => {
                ensure!(start.lease.job == request.envelope.id, "answer {n} is about {}", start.lease.job);
                ensure!(jobs.insert(start.lease.job), "two leases on {}", start.lease.job);
            }
            other => ensure!(false, "answer {n} is {other:?}"),
        }
    }
    ensure!(scene.store.claim(&scene.holder, Vec::new()).await?.is_empty(), "answers to no request");
    Ok(Outcome::Pass)
}

async fn s6_other_payload_under_a_known_id_is_a_conflict(scene: Scene) -> Verdict {
    let first = scene.envelope("first");
    let start = scene.start(&first).await?;
    let mut other = first.clone();
    other.payload = "other".into();
    let claimed = scene.claim(&scene.other()?, &other).await?;
    ensure!(claimed == Claimed::Conflict, "another payload was answered with {claimed:?}");
    let row = scene.row(first.id).await?;
    ensure!(row.payload == Some("first".into()), "the first payload became {:?}", row.payload);
    applied(scene.finish(start.lease, completed()).await?)?;
    Ok(Outcome::Pass)
}

async fn s7_claim_after_the_lease_counts_a_crash(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    let first = running(scene.claim(&scene.holder, &envelope).await?)?;
    let other = scene.other()?;
    let again = wait::until_some(wait::PATIENCE, || async {
        scene.claim(&other, &envelope).await.ok().filter(|claimed| matches!(claimed, Claimed::Run(_)))
    });
    let again = again.await.ok_or_else(|| Failure::new("a lease that nobody extends did not end"))?;
    let second = running(again)?;
    ensure!(second.lease.token > first.lease.token, "the token did not rise");
    ensure!(second.crashes == 1 && second.attempt == 1, "a crash is no attempt: {second:?}");
    Ok(Outcome::Pass)
}

async fn s8_payload_bytes_are_kept(scene: Scene) -> Verdict {
    for (name, bytes) in payloads::awkward() {
        let envelope = scene.envelope(bytes.clone());
        scene.start(&envelope).await?;
        let row = scene.row(envelope.id).await?;
        ensure!(
            row.payload_size == bytes.len() as u64,
            "«{name}» has {} bytes, not {}",
            bytes.len(),
            row.payload_size
        );
        ensure!(row.payload.as_ref() == Some(&bytes), "payload «{name}» is kept as {:?}", row.payload);
    }
    Ok(Outcome::Pass)
}

async fn s9_sensitive_payload_is_not_kept(scene: Scene) -> Verdict {
    for mark in [SENSITIVE, BODY_NOT_KEPT] {
        marked_payload_is_not_kept(&scene, mark).await?;
    }
    Ok(Outcome::Pass)
}

async fn marked_payload_is_not_kept(scene: &Scene, mark: &str) -> Result<(), Failure> {
    let mut envelope = scene.envelope("the code is 123456");
    envelope.headers.insert(mark.into(), "true".into());
    let start = scene.start(&envelope).await?;
    let row = scene.row(envelope.id).await?;
    ensure!(row.payload.is_none(), "a sensitive payload is kept: {:?}", row.payload);
    ensure!(row.payload_size == 18, "its size became {}", row.payload_size);
    let mut other = envelope.clone();
    other.payload = "the code is 654321".into();
    let claimed = scene.claim(&scene.other()?, &other).await?;
    ensure!(claimed == Claimed::Conflict, "another payload marked {mark} was answered with {claimed:?}");
    applied(scene.finish(start.lease, completed()).await?)?;
    Ok(())
}

async fn s10_anonymous_redelivery_finds_its_row(scene: Scene) -> Verdict {
    let delivery = |redelivered| {
        let envelope = scene.envelope("no id on the wire");
        ClaimRequest { redelivered, anonymous: true, ..request(&envelope) }
    };
    let one = running(scene.ask(&scene.patient(), delivery(false)).await?)?;
    let two = running(scene.ask(&scene.patient(), delivery(false)).await?)?;
    ensure!(one.lease.job != two.lease.job, "two messages with equal bodies are two jobs");
    let first = running(scene.ask(&scene.patient(), delivery(true)).await?)?;
    let second = running(scene.ask(&scene.patient(), delivery(true)).await?)?;
    let before: HashSet<JobId> = [one.lease.job, two.lease.job].into();
    let after: HashSet<JobId> = [first.lease.job, second.lease.job].into();
    ensure!(before == after, "redeliveries of {before:?} became {after:?}");
    ensure!(first.starts == 2 && second.starts == 2, "starts {} and {}", first.starts, second.starts);
    Ok(Outcome::Pass)
}

async fn s11_attempt_of_the_ledger_decides(scene: Scene) -> Verdict {
    let envelope = scene.envelope("x");
    let start = scene.start(&envelope).await?;
    applied(scene.finish(start.lease, retry(&envelope, start.attempt, true)).await?)?;
    let mut lying = envelope.clone();
    lying.attempt = 77;
    let second = scene.start(&lying).await?;
    ensure!(second.attempt == 2, "one counted failure, but attempt {}", second.attempt);
    Ok(Outcome::Pass)
}

async fn s12_one_of_many_claims_at_once_runs(scene: Scene) -> Verdict {
    let envelope = scene.envelope(Bytes::from_static(b"race"));
    let mut tasks = Vec::new();
    for _ in 0..16 {
        let (store, holder, request) = (scene.store.clone(), scene.patient(), request(&envelope));
        tasks.push(tokio::spawn(async move { store.claim(&holder, vec![request]).await }));
    }
    let mut runs = 0;
    for task in tasks {
        for answer in task.await?? {
            match answer {
                Claimed::Run(_) => runs += 1,
                Claimed::Held(_) => {}
                other => ensure!(false, "a racing claim was answered with {other:?}"),
            }
        }
    }
    ensure!(runs == 1, "{runs} of 16 claims at once may run");
    Ok(Outcome::Pass)
}
