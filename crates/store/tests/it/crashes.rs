//! Workers that end without a result: their jobs come back, counted as crashes and never as attempts.

use std::time::{Duration, Instant};

use backshift_core::{
    Settled, State, Timestamp,
    store::{Beat, Jobs, Ledger, Maintenance, Pulse, Rescued},
};

use crate::{
    on_both_databases,
    world::{completed, holder, job, worker},
};

const NOBODY: Rescued = Rescued { returned: 0, dead: 0 };
const ONE: Rescued = Rescued { returned: 1, dead: 0 };

on_both_databases! {
    async fn a_job_comes_back_when_its_lease_is_over_and_the_late_result_is_refused(world) {
        let (envelope, start) = world.running("w1").await;
        assert_eq!(world.store.rescue().await.unwrap(), NOBODY, "never by age");
        world.end_lease(envelope.id).await;
        assert_eq!(world.store.rescue().await.unwrap(), ONE);
        assert_eq!(world.finish(start.lease, completed()).await, Settled::Stale);
        let (_, again) = world.claim("w2").await.unwrap();
        assert_eq!((again.attempt, again.starts, again.crashes), (1, 2, 1));
        assert_eq!(world.finish(start.lease, completed()).await, Settled::Stale);
        let starts = world.store.attempts(envelope.id).await.unwrap();
        assert_eq!(starts[0].outcome.as_deref(), Some("crash"));
        assert_eq!(world.finish(again.lease, completed()).await, Settled::Applied);
    }

    async fn from_the_third_crash_it_runs_alone_and_after_twenty_more_it_is_dead(world) {
        let id = world.enqueue(job("ready")).await.id();
        for crash in 0..22 {
            let alone = crash >= 3;
            let claimed = if alone {
                assert!(world.claim("w").await.is_none(), "crash {crash}: not among others");
                world.claim_alone("w").await
            } else {
                assert!(world.claim_alone("w").await.is_none(), "crash {crash}");
                world.claim("w").await
            };
            let (_, start) = claimed.unwrap();
            assert_eq!((start.crashes, start.attempt, start.runs_alone()), (crash, 1, alone));
            world.end_lease(id).await;
            assert_eq!(world.store.rescue().await.unwrap(), ONE, "crash {crash}");
        }
        world.claim_alone("w").await.unwrap();
        world.end_lease(id).await;
        assert_eq!(world.store.rescue().await.unwrap(), Rescued { returned: 0, dead: 1 });
        let record = world.store.find(id).await.unwrap().unwrap();
        assert_eq!((record.state, record.reason.as_deref()), (State::Dead, Some("crash-loop")));
        assert_eq!((record.crashes, record.token.0), (23, 23));
        assert_eq!(world.store.retry(id).await.unwrap(), State::Available);
        assert_eq!(world.claim("w").await.unwrap().1.crashes, 0, "fresh");
    }

    async fn a_dead_workers_jobs_come_back_before_their_lease_is_over(world) {
        if world.is_postgres() {
            // Right after the server's start nobody is called dead.
            let young = "SELECT now() - pg_postmaster_start_time() < interval '16 seconds'";
            while world.db().sql(young).one::<bool>().await.unwrap() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        let guard = world.store.announce(&worker("mortal")).await.unwrap();
        let living = world.store.announce(&worker("living")).await.unwrap();
        let (envelope, _) = world.running("mortal").await;
        world.running("living").await;
        assert!(guard.stands() && living.stands());
        assert_eq!(world.store.rescue().await.unwrap(), NOBODY);
        let killed = Instant::now();
        drop(guard);
        while world.store.rescue().await.unwrap() != ONE {
            // Well before the end of its lease, which is 30 s.
            assert!(killed.elapsed() < Duration::from_secs(20), "the job did not come back");
        }
        assert_eq!(world.state(envelope.id).await, State::Available);
    }

    async fn a_new_process_of_the_same_name_returns_its_predecessors_jobs(world) {
        let first = world.store.announce(&worker("phoenix")).await.unwrap();
        let (envelope, _) = world.running("phoenix").await;
        drop(first);
        let again = world.store.announce(&worker("phoenix")).await.unwrap();
        assert_eq!(world.state(envelope.id).await, State::Available);
        let shown = world.store.workers().await.unwrap();
        assert_eq!(shown.iter().map(|w| w.name.as_str()).collect::<Vec<_>>(), ["phoenix"]);
        drop(again);
    }

    async fn a_beat_keeps_the_lease_and_brings_back_what_changed(world) {
        world.enqueue_all(vec![job("ready"), job("ready"), job("ready")]).await;
        let claimed = world.claim_many("w", 3).await;
        world.end_lease(claimed[0].0.id).await;
        world.store.cancel(claimed[1].0.id).await.unwrap();
        world.finish(claimed[2].1.lease, completed()).await;
        let progress = Some((40, "half\0way".to_owned()));
        let beats = claimed.iter().map(|(_, start)| Beat { lease: start.lease, progress: progress.clone() }).collect();
        let pulses = world.store.beat(&holder("w"), beats).await.unwrap();
        assert!(matches!(pulses[0], Pulse::Until(until) if until > Timestamp::now() + Duration::from_secs(20)));
        assert_eq!(pulses[1..], [Pulse::CancelRequested, Pulse::Lost]);
        assert_eq!(world.store.rescue().await.unwrap(), NOBODY);
        let record = world.store.find(claimed[0].0.id).await.unwrap().unwrap();
        assert_eq!(record.progress, Some((40, "half\u{FFFD}way".into())));
        assert!(world.store.beat(&holder("w"), Vec::new()).await.unwrap().is_empty());
    }

    async fn a_job_that_was_asked_to_stop_does_not_run_again_after_a_crash(world) {
        let (envelope, _) = world.running("w").await;
        assert_eq!(world.store.cancel(envelope.id).await.unwrap(), State::Running);
        world.end_lease(envelope.id).await;
        assert_eq!(world.store.rescue().await.unwrap(), NOBODY);
        assert_eq!(world.state(envelope.id).await, State::Cancelled);
    }
}
