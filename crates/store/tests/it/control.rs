//! Limits, places, breakers, cron and the inbox of effects, asked by many at once.

use std::time::Duration;

use backshift_core::{
    EffectState, JobFilter, Page, StoreError, Timestamp,
    store::{Admission, BreakerPolicy, Breakers, Effects, Jobs, Limits, Maintenance, Rate, Schedules},
};
use futures::future::join_all;

use crate::{
    on_both_databases,
    world::{World, completed, job, snoozed},
};

const POLICY: BreakerPolicy = BreakerPolicy {
    failures: 3,
    open_for: Duration::from_millis(50),
    open_at_most: Duration::from_millis(150),
};

async fn fail(world: &World) {
    world.store.report("smtp", POLICY, Err("421 busy".into())).await.unwrap();
}

async fn open_until(world: &World) -> Timestamp {
    world.store.breakers().await.unwrap()[0].open_until.unwrap()
}

/// Waits until the circuit is half open and returns what twelve callers were told at once.
async fn ask_when_half_open(world: &World) -> Vec<Admission> {
    while open_until(world).await >= Timestamp::now() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    join_all((0..12).map(|_| async { world.store.admit("smtp").await.unwrap() })).await
}

fn probes(answers: &[Admission]) -> usize {
    answers.iter().filter(|answer| **answer == Admission::Probe).count()
}

on_both_databases! {
    async fn an_allowance_is_never_exceeded(world) {
        let rate = Rate { count: 5, per: Duration::from_secs(3600) };
        let answers = join_all((0..30).map(|_| async { world.store.reserve("k", rate).await.unwrap() })).await;
        assert_eq!(answers.iter().filter(|wait| wait.is_none()).count(), 5);
        for wait in answers.into_iter().flatten() {
            assert!(wait > Duration::from_secs(600) && wait <= Duration::from_secs(720), "{wait:?}");
        }
        assert_eq!(world.store.reserve("other", rate).await.unwrap(), None);
        let fast = Rate { count: 1, per: Duration::from_millis(20) };
        assert_eq!(world.store.reserve("fast", fast).await.unwrap(), None);
        while world.store.reserve("fast", fast).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let none = Rate { count: 0, per: Duration::from_secs(1) };
        assert!(matches!(world.store.reserve("k", none).await, Err(StoreError::Rejected(_))));
    }

    async fn a_crowd_takes_ahead_and_never_more_than_the_allowance(world) {
        let rate = Rate { count: 2000, per: Duration::from_secs(24 * 3600) };
        let mut granted = 0;
        for _ in 0..30 {
            let crowd = (0..100).map(|_| async { world.store.reserve("crowd", rate).await.unwrap() });
            granted += join_all(crowd).await.iter().filter(|wait| wait.is_none()).count();
        }
        assert!((1800..=2000).contains(&granted), "{granted} of 2000 were granted");
    }

    async fn places_are_taken_given_back_and_freed_by_a_lost_lease(world) {
        world.enqueue_all((0..6).map(|_| job("ready")).collect()).await;
        let leases: Vec<_> = world.claim_many("w", 6).await.into_iter().map(|(_, start)| start.lease).collect();
        let taken = join_all(leases.iter().map(|lease| world.store.occupy("k", 2, lease))).await;
        let taken: Vec<bool> = taken.into_iter().map(Result::unwrap).collect();
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 2, "{taken:?}");
        let (inside, outside): (Vec<_>, Vec<_>) = leases.iter().zip(&taken).partition(|(_, taken)| **taken);
        let (first, second) = (inside[0].0, inside[1].0);
        let (third, fourth) = (outside[0].0, outside[1].0);
        assert!(world.store.occupy("k", 2, first).await.unwrap(), "it has its place already");
        world.store.vacate("k", first).await.unwrap();
        assert!(world.store.occupy("k", 2, third).await.unwrap());
        assert!(!world.store.occupy("k", 2, fourth).await.unwrap());
        world.end_lease(second.job).await;
        assert!(world.store.occupy("k", 2, fourth).await.unwrap());
    }

    async fn a_breaker_opens_probes_once_doubles_and_closes(world) {
        assert_eq!(world.store.admit("smtp").await.unwrap(), Admission::Go);
        fail(world).await;
        fail(world).await;
        assert_eq!(world.store.admit("smtp").await.unwrap(), Admission::Go);
        world.store.report("smtp", POLICY, Ok(())).await.unwrap();
        fail(world).await;
        fail(world).await;
        assert_eq!(world.store.admit("smtp").await.unwrap(), Admission::Go, "three in a row");
        let long = BreakerPolicy { open_for: Duration::from_secs(60), open_at_most: Duration::from_secs(60), ..POLICY };
        world.store.report("other", BreakerPolicy { failures: 1, ..long }, Err("down".into())).await.unwrap();
        assert!(matches!(world.store.admit("other").await.unwrap(), Admission::Wait(w) if w > Duration::from_secs(50)));
        world.store.report("other", long, Ok(())).await.unwrap();
        assert!(matches!(world.store.admit("other").await.unwrap(), Admission::Wait(_)), "a late success closes nothing");
    }

    async fn half_open_exactly_one_caller_holds_the_probe(world) {
        for _ in 0..3 {
            fail(world).await;
        }
        assert_eq!(probes(&ask_when_half_open(world).await), 1);
        let before = Timestamp::now();
        fail(world).await;
        let shut = open_until(world).await.duration_since(before);
        assert!(shut >= jiff::SignedDuration::from_millis(100), "doubled: {shut:?}");
        assert_eq!(probes(&ask_when_half_open(world).await), 1);
        let before = Timestamp::now();
        fail(world).await;
        let shut = open_until(world).await.duration_since(before);
        assert!(shut >= jiff::SignedDuration::from_millis(150) && shut < jiff::SignedDuration::from_millis(1500));
        assert_eq!(probes(&ask_when_half_open(world).await), 1);
        world.store.report("smtp", POLICY, Ok(())).await.unwrap();
        let shown = world.store.breakers().await.unwrap();
        assert_eq!((shown[0].state.as_str(), shown[0].returning), ("returning", Some(2)));
        assert_eq!(shown[0].error.as_deref(), Some("421 busy"));
    }

    async fn many_callers_at_once_get_no_more_than_a_step_while_a_circuit_returns(world) {
        for _ in 0..3 {
            fail(world).await;
        }
        assert_eq!(probes(&ask_when_half_open(world).await), 1);
        world.store.report("smtp", POLICY, Ok(())).await.unwrap();
        let mut steps = Vec::new();
        while steps.len() < 3 {
            let shown = || async { world.store.breakers().await.unwrap()[0].returning };
            let before = shown().await;
            let asked = join_all((0..20).map(|_| world.store.admit("smtp"))).await;
            let asked: Vec<Admission> = asked.into_iter().map(Result::unwrap).collect();
            assert!(!asked.contains(&Admission::Go), "a circuit that returns lets nobody pass unseen: {asked:?}");
            let (step, admitted) = (shown().await, probes(&asked));
            if admitted == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            // An interval may end while they ask.
            let most = before.into_iter().chain(step.filter(|_| before != step)).sum::<u32>() as usize;
            assert!(admitted <= most, "{admitted} calls of a step of {most}");
            steps.extend(step);
            for _ in 0..admitted {
                world.store.report("smtp", POLICY, Ok(())).await.unwrap();
            }
        }
        assert_eq!(steps.last().copied().unwrap() / steps[0], 4, "{steps:?}");
    }

    async fn a_tick_is_moved_by_one_instance(world) {
        let now = Timestamp::now();
        let last = world.store.last_tick("nightly", now).await.unwrap();
        assert_eq!(last.as_microsecond(), now.as_microsecond());
        let next = last + Duration::from_secs(60);
        assert_eq!(world.store.last_tick("nightly", next).await.unwrap(), last, "registered once");
        let moved = join_all((0..8).map(|_| world.store.advance("nightly", last, next))).await;
        assert_eq!(moved.into_iter().filter(|moved| *moved.as_ref().unwrap()).count(), 1);
        assert_eq!(world.store.schedules().await.unwrap(), [("nightly".to_owned(), next)]);
    }

    async fn an_effect_that_was_begun_is_ambiguous_at_the_next_start(world) {
        let (envelope, start) = world.running("w").await;
        let first = world.store.intend(&start.lease, "mail").await.unwrap();
        assert_eq!((first.before, first.tries), (EffectState::None, 1));
        assert_eq!(world.store.find(envelope.id).await.unwrap().unwrap().effect, EffectState::Intended);
        world.end_lease(envelope.id).await;
        world.store.rescue().await.unwrap();
        let (_, again) = world.claim("w").await.unwrap();
        assert!(matches!(world.store.intend(&start.lease, "mail").await, Err(StoreError::Stale)), "fenced");
        let second = world.store.intend(&again.lease, "mail").await.unwrap();
        assert_eq!((second.before, second.tries), (EffectState::Intended, 2));
        let ambiguous = JobFilter { effect: Some(EffectState::Ambiguous), ..JobFilter::default() };
        let listed = world.store.list(&ambiguous, &Page::default()).await.unwrap();
        assert_eq!(listed.iter().map(|row| row.id).collect::<Vec<_>>(), [envelope.id]);
        let late = world.store.conclude(&start.lease, "mail", EffectState::Done, None).await;
        assert!(matches!(late, Err(StoreError::Stale)));
        world.store.conclude(&again.lease, "mail", EffectState::Done, Some("250 ok")).await.unwrap();
        let third = world.store.intend(&again.lease, "mail").await.unwrap();
        assert_eq!((third.before, third.tries, third.receipt.as_deref()), (EffectState::Done, 2, Some("250 ok")));
        assert_eq!(world.store.find(envelope.id).await.unwrap().unwrap().effect, EffectState::Done);
        world.store.intend(&again.lease, "webhook").await.unwrap();
        assert_eq!(world.store.find(envelope.id).await.unwrap().unwrap().effect, EffectState::Intended);
    }

    async fn an_effect_that_did_not_happen_may_be_begun_again(world) {
        let (envelope, start) = world.running("w").await;
        world.store.intend(&start.lease, "mail").await.unwrap();
        world.store.conclude(&start.lease, "mail", EffectState::None, None).await.unwrap();
        world.finish(start.lease, snoozed(&envelope, Duration::ZERO)).await;
        let (_, again) = world.claim("w").await.unwrap();
        let status = world.store.intend(&again.lease, "mail").await.unwrap();
        assert_eq!((status.before, status.tries), (EffectState::None, 2));
        world.finish(again.lease, completed()).await;
        assert!(matches!(world.store.intend(&again.lease, "mail").await, Err(StoreError::Stale)), "over");
    }
}
