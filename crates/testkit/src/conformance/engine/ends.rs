//! Chapter *ends*: what each way of ending an attempt means for the job.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use backshift_core::{
    Bytes, EnqueueOptions, Job, JobContext, JobError, JobRecord, Registry, Standing, State,
};
use serde::{Deserialize, Serialize};

use super::scene::{Scene, kind, run};
use crate::{
    conformance::case::{Outcome, Verdict, cases, ensure},
    payloads, wait,
};

cases! { Scene:
    e1_completed_job_runs_once,
    e2_failing_job_runs_again_and_counts,
    e3_attempts_have_an_end,
    e4_snooze_counts_nothing,
    e5_panic_is_an_attempt_and_no_end_of_the_worker,
    e6_permanent_error_is_not_tried_again,
    e7_time_out_stops_the_handler,
    e8_payload_that_does_not_fit_is_kept_whole,
    e9_malformed_bytes_are_kept_whole,
    e10_unknown_kind_is_parked,
    e11_handler_gets_the_bytes_and_headers_as_sent,
    e12_output_note_and_progress_are_kept,
}

async fn e1_completed_job_runs_once(scene: Scene) -> Verdict {
    let worker = scene.start(|context, journal| async move {
        journal.note(&context);
        Ok(())
    })?;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(scene.enqueue("{}").await?);
    }
    for id in &ids {
        let row = scene.reaches(*id, State::Completed).await?;
        ensure!(row.attempt == 1 && row.crashes == 0, "one attempt was enough: {row:?}");
    }
    tokio::time::sleep(scene.lease * 2).await;
    let entries = scene.journal.entries();
    ensure!(entries.len() == 20, "{} effects of 20 jobs", entries.len());
    let drained = worker.drain().await?;
    ensure!(drained.returned == 0 && drained.unconfirmed == 0, "an idle worker's drain: {drained:?}");
    Ok(Outcome::Pass)
}

async fn e2_failing_job_runs_again_and_counts(scene: Scene) -> Verdict {
    let _worker = scene.start(|context, journal| async move {
        journal.note(&context);
        if context.attempt() < 3 { Err(JobError::retry("not yet")) } else { Ok(()) }
    })?;
    let id = scene.enqueue("{}").await?;
    let row = scene.reaches(id, State::Completed).await?;
    ensure!(row.attempt == 3, "completed at attempt {}", row.attempt);
    ensure!(scene.journal.attempts() == [1, 2, 3], "the handler saw attempts {:?}", scene.journal.attempts());
    let outcomes: Vec<_> =
        scene.store.attempts(id).await?.into_iter().filter_map(|row| row.outcome).collect();
    ensure!(outcomes == ["error", "error", "completed"], "the attempts ended as {outcomes:?}");
    Ok(Outcome::Pass)
}

async fn e3_attempts_have_an_end(scene: Scene) -> Verdict {
    let _worker = scene.start(|context, journal| async move {
        journal.note(&context);
        Err(JobError::retry("never works"))
    })?;
    let usual = scene.enqueue("{}").await?;
    let row = scene.reaches(usual, State::Dead).await?;
    ensure!(row.reason.as_deref() == Some("attempts-exhausted"), "dead because of {:?}", row.reason);
    ensure!(
        row.error.as_deref().is_some_and(|text| text.contains("never works")),
        "the error is {:?}",
        row.error
    );
    ensure!(scene.journal.attempts() == [1, 2, 3], "attempts {:?} of 3", scene.journal.attempts());
    let own = scene.enqueue_with("{}", |options: &mut EnqueueOptions| options.max_attempts = Some(1)).await?;
    scene.reaches(own, State::Dead).await?;
    ensure!(scene.journal.attempts() == [1, 2, 3, 1], "the job's own limit of 1 was not kept");
    Ok(Outcome::Pass)
}

async fn e4_snooze_counts_nothing(scene: Scene) -> Verdict {
    let _worker = scene.start(|context, journal| async move {
        journal.note(&context);
        match context.starts() {
            1..=5 => Err(JobError::snooze(Duration::from_millis(50), "not now")),
            _ => Ok(()),
        }
    })?;
    let id = scene.enqueue("{}").await?;
    let row = scene.reaches(id, State::Completed).await?;
    ensure!(row.attempt == 1 && row.crashes == 0, "five snoozes counted: {row:?}");
    ensure!(scene.journal.attempts() == [1; 6], "the handler saw attempts {:?}", scene.journal.attempts());
    Ok(Outcome::Pass)
}

async fn e5_panic_is_an_attempt_and_no_end_of_the_worker(scene: Scene) -> Verdict {
    let worker = scene.start(|context, journal| async move {
        journal.note(&context);
        assert!(context.envelope().payload != "panics" || context.attempt() > 1, "a planned panic");
        Ok(())
    })?;
    let id = scene.enqueue("panics").await?;
    let other = scene.enqueue("works").await?;
    scene.reaches(other, State::Completed).await?;
    let row = scene.reaches(id, State::Completed).await?;
    ensure!(row.attempt == 2, "after one panic it completed at attempt {}", row.attempt);
    let first = scene.store.attempts(id).await?.into_iter().next();
    let outcome = first.as_ref().and_then(|row| row.outcome.as_deref());
    ensure!(outcome == Some("panic"), "the first attempt ended as {first:?}");
    worker.drain().await?;
    Ok(Outcome::Pass)
}

async fn e6_permanent_error_is_not_tried_again(scene: Scene) -> Verdict {
    let _worker = scene.start(|context, journal| async move {
        journal.note(&context);
        Err(JobError::permanent("no such user"))
    })?;
    let id = scene.enqueue("{\"n\":9007199254740993 }").await?;
    let row = scene.reaches(id, State::Dead).await?;
    ensure!(row.reason.as_deref() == Some("permanent"), "dead because of {:?}", row.reason);
    ensure!(scene.journal.attempts() == [1], "attempts {:?}", scene.journal.attempts());
    let letters = wait::until_some(wait::PATIENCE, || async {
        let letters = scene.namespace.dead_letters(&scene.queue).await.ok()?;
        letters.into_iter().find(|letter| letter.id == Some(id))
    });
    let Some(letter) = letters.await else {
        ensure!(false, "it is not in the broker's own dead-letter place");
        return Ok(Outcome::Pass);
    };
    ensure!(letter.payload == "{\"n\":9007199254740993 }", "its payload became {:?}", letter.payload);
    Ok(Outcome::Pass)
}

/// Counts the handlers that were stopped where they stood.
struct Stopped(Arc<AtomicUsize>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

async fn e7_time_out_stops_the_handler(scene: Scene) -> Verdict {
    let (journal, stopped) = (scene.journal.clone(), Arc::<AtomicUsize>::default());
    let count = Arc::clone(&stopped);
    let handler = move |context: JobContext| {
        let (journal, count) = (journal.clone(), Arc::clone(&count));
        async move {
            if context.attempt() == 1 {
                let _stopped = Stopped(count);
                return std::future::pending().await;
            }
            journal.note(&context);
            Ok(())
        }
    };
    let options =
        backshift_core::JobOptions { timeout: Some(Duration::from_millis(200)), ..Default::default() };
    let registry = Registry::default().with_raw(&kind(), options, handler);
    let _worker = run(scene.builder_of(registry, &scene.broker)?.pool(scene.queue.clone(), 1))?;
    let id = scene.enqueue("{}").await?;
    let row = scene.reaches(id, State::Completed).await?;
    ensure!(row.attempt == 2, "a time-out is an attempt: {row:?}");
    let ends = scene.store.attempts(id).await?.into_iter().map(|row| row.outcome.unwrap_or_default());
    let ends: Vec<String> = ends.collect();
    // A start whose lease a slow store did not confirm in time is released, uncounted, and stopped all the same.
    let counted: Vec<&str> = ends.iter().map(String::as_str).filter(|end| *end != "released").collect();
    ensure!(counted == ["timeout", "completed"], "the attempts ended as {ends:?}");
    let stopped = stopped.load(Ordering::SeqCst);
    let hung = ends.iter().take_while(|end| *end != "timeout").count() + 1;
    ensure!((1..=hung).contains(&stopped), "{stopped} handlers were stopped, at most {hung} hung: {ends:?}");
    ensure!(scene.journal.attempts() == [2], "it worked in attempts {:?}", scene.journal.attempts());
    Ok(Outcome::Pass)
}

/// A job with a number in it.
#[derive(Serialize, Deserialize)]
struct Typed {
    number: u64,
}

impl Job for Typed {
    const KIND: &'static str = "conformance.case";
}

async fn e8_payload_that_does_not_fit_is_kept_whole(scene: Scene) -> Verdict {
    let journal = scene.journal.clone();
    let handler = move |job: Typed, context: JobContext| {
        let journal = journal.clone();
        async move {
            journal.note(&context);
            if job.number == 9_007_199_254_740_993 { Ok(()) } else { Err(JobError::permanent(job.number)) }
        }
    };
    let registry = Registry::default().with::<Typed>(handler);
    let _worker = run(scene.builder_of(registry, &scene.broker)?.pool(scene.queue.clone(), 4))?;
    for payload in
        ["", "{\"number\":", "{}", "{\"number\":null}", "{\"number\":\"7\"}", "\u{feff}{\"number\":1}"]
    {
        let id = scene.enqueue(payload).await?;
        let row = scene.reaches(id, State::Dead).await?;
        ensure!(
            row.reason.as_deref() == Some("malformed"),
            "{payload:?} is dead because of {:?}",
            row.reason
        );
        ensure!(
            row.payload.as_deref() == Some(payload.as_bytes()),
            "{payload:?} is kept as {:?}",
            row.payload
        );
        ensure!(row.attempt == 1, "{payload:?} was tried {} times", row.attempt);
    }
    ensure!(scene.journal.entries().is_empty(), "a handler got a payload that does not fit");
    let id = scene.enqueue("{\"number\":9007199254740993,\"unknown\":[1.10]}").await?;
    scene.reaches(id, State::Completed).await?;
    Ok(Outcome::Pass)
}

async fn e9_malformed_bytes_are_kept_whole(scene: Scene) -> Verdict {
    let raw = Bytes::from_static(b"\xff\xfe not JSON \0\xce");
    let put = scene.namespace.publish_malformed(&scene.queue, raw.clone()).await;
    if !put.map_err(crate::conformance::Failure::new)? {
        return Ok(Outcome::NotTested("no foreign producer can put other bytes into this broker"));
    }
    let _worker = scene.start(|context, journal| async move {
        journal.note(&context);
        Ok(())
    })?;
    let kept = wait::until(wait::PATIENCE, || async {
        let letters = scene.namespace.dead_letters(&scene.queue).await.unwrap_or_default();
        letters.iter().any(|letter| letter.payload == raw && letter.reason == "malformed")
    });
    ensure!(kept.await, "the raw bytes are not among the dead letters");
    let id = scene.enqueue("{}").await?;
    scene.reaches(id, State::Completed).await?;
    ensure!(scene.journal.entries().len() == 1, "a handler got bytes that are no job");
    Ok(Outcome::Pass)
}

async fn e10_unknown_kind_is_parked(scene: Scene) -> Verdict {
    let _worker = run(scene.builder_of(Registry::default(), &scene.broker)?.pool(scene.queue.clone(), 2))?;
    let id = scene.enqueue("{}").await?;
    let parked = wait::until_some(wait::PATIENCE, || async {
        let parked = |row: &JobRecord| row.standing() == Some(Standing::Parked);
        scene.store.find(id).await.ok().flatten().filter(parked)
    });
    let Some(row) = parked.await else {
        ensure!(false, "nobody says that it is parked: {:?}", scene.store.find(id).await?);
        return Ok(Outcome::Pass);
    };
    ensure!(!row.state.is_final(), "an unknown kind ended as {:?}", row.state);
    ensure!(row.attempt == 1 && row.crashes == 0, "parking counted: {row:?}");
    Ok(Outcome::Pass)
}

async fn e11_handler_gets_the_bytes_and_headers_as_sent(scene: Scene) -> Verdict {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let _worker = scene.start(move |context, journal| {
        let (payload, headers) = (context.envelope().payload.clone(), context.headers().clone());
        if let Ok(mut seen) = sink.lock() {
            seen.push((context.id(), payload, headers));
        }
        async move {
            journal.note(&context);
            Ok(())
        }
    })?;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut sent = Vec::new();
    for (name, bytes) in payloads::awkward() {
        let mut options = EnqueueOptions::default();
        options.headers.insert("traceparent".into(), trace.into());
        let envelope = scene.client.envelope(kind(), scene.queue.clone(), bytes.clone(), options);
        sent.push((name, scene.client.enqueue_raw(envelope).await?.id(), bytes));
    }
    scene.journal_has(sent.len()).await?;
    let seen = seen.lock().map(|seen| seen.clone()).unwrap_or_default();
    for (name, id, bytes) in sent {
        let Some((_, payload, headers)) = seen.iter().find(|(other, ..)| *other == id) else {
            ensure!(false, "payload «{name}» reached no handler");
            continue;
        };
        ensure!(*payload == bytes, "payload «{name}» reached the handler as {payload:?}");
        let parent = headers.get("traceparent").map(String::as_str);
        ensure!(parent.is_some_and(|parent| parent.contains(&trace[3..35])), "the trace became {parent:?}");
    }
    Ok(Outcome::Pass)
}

async fn e12_output_note_and_progress_are_kept(scene: Scene) -> Verdict {
    let _worker = scene.start(|context, journal| async move {
        context.progress(70, "copying");
        context.output(b"\xff\x00result".as_slice());
        context.note("suppressed");
        journal.note(&context);
        Ok(())
    })?;
    let id = scene.enqueue("{}").await?;
    let row = scene.reaches(id, State::Completed).await?;
    ensure!(row.output.as_deref() == Some(b"\xff\x00result"), "the output became {:?}", row.output);
    ensure!(row.note.as_deref() == Some("suppressed"), "the note became {:?}", row.note);
    Ok(Outcome::Pass)
}
