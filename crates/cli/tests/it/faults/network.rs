//! The way between a worker and its servers: cut, half open, slow.
//!
//! Only the worker's way leads through the proxy; the account is read past it.

use backshift_testkit::{proxy::Proxy, wait};
use std::time::Duration;

use super::{Load, nothing_left};
use crate::scene::{PATIENCE, Place, Worker, stretched, stretched_ms};

const QUEUE: &str = "network";
const JOBS: usize = 60;

/// Places of the flags that name a server.
const BROKER: usize = 1;
const STORE: usize = 3;

struct Scene {
    place: Place,
    proxy: Proxy,
    worker: Worker,
    load: Load,
}

impl Scene {
    /// A worker that is under way, and reaches one of its servers through the proxy.
    async fn set(place: Place, server: usize) -> Self {
        // A claim whose answer is lost waits for the end of its lease.
        let place = place.with(&[("BACKSHIFT_WORKER_LEASE", &stretched(3_000))]);
        place.migrate().await;
        let (proxy, through) = Proxy::before(&place.flags[server]).await;
        let mut flags: Vec<&str> = place.flags.iter().map(String::as_str).collect();
        flags[server] = &through;
        let load = Load::accepted(&place, QUEUE, JOBS, "sleep", stretched_ms(60)).await;
        let worker = place.worker_by(&format!("{QUEUE}:4"), &flags).await;
        load.wait_effects(&place, 4, &worker).await;
        Self { place, proxy, worker, load }
    }

    async fn ends_well(self) {
        self.load.settles(&self.place, &self.worker).await;
        assert_eq!(self.worker.drained().await, Some(0));
        nothing_left(&self.place, QUEUE).await;
    }
}

/// Again and again, and work goes on after each.
async fn cut(place: Place, server: usize) {
    let scene = Scene::set(place, server).await;
    for _ in 0..6 {
        let before = scene.load.starts(&scene.place).await;
        scene.proxy.cut();
        let on = wait::until(PATIENCE, || async {
            let (starts, effects) =
                (scene.load.starts(&scene.place).await, scene.load.effects(&scene.place).await);
            starts > before || effects == JOBS
        });
        assert!(on.await, "nothing starts after a cut\n{}", scene.worker.output());
    }
    scene.ends_well().await;
}

/// Nothing moves and nobody is told, until the worker has noticed by itself.
async fn half_open(place: Place, server: usize) {
    let scene = Scene::set(place, server).await;
    scene.proxy.half_open();
    scene.worker.answers(503, &[]).await;
    scene.proxy.cut();
    scene.proxy.mend();
    scene.ends_well().await;
}

/// A long way is not a fault: everything takes longer, and nothing starts twice.
async fn slow(place: Place, server: usize) {
    let scene = Scene::set(place, server).await;
    scene.proxy.slow(1024, Duration::from_millis(10));
    scene.load.wait_effects(&scene.place, JOBS, &scene.worker).await;
    let starts = scene.load.starts(&scene.place).await;
    assert_eq!(starts, JOBS, "a slow way starts jobs twice\n{}", scene.worker.output());
    scene.proxy.mend();
    scene.ends_well().await;
}

/// A test of each weather on each way.
macro_rules! on_each_way {
    ($($name:ident: $weather:path;)+) => {
        mod to_postgres_as_the_broker {
            $(#[tokio::test]
            async fn $name() {
                let Some(place) = super::Place::postgres().await else { return };
                $weather(place, super::BROKER).await;
            })+
        }
        mod to_rabbitmq {
            $(#[tokio::test]
            async fn $name() {
                let Some(place) = super::Place::rabbitmq().await else { return };
                $weather(place, super::BROKER).await;
            })+
        }
        mod to_the_ledger_of_rabbitmq {
            $(#[tokio::test]
            async fn $name() {
                let Some(place) = super::Place::rabbitmq().await else { return };
                $weather(place, super::STORE).await;
            })+
        }
    };
}

on_each_way! {
    a_way_that_is_cut_again_and_again_burns_no_attempt: super::cut;
    a_way_that_is_half_open_is_noticed_and_burns_no_attempt: super::half_open;
    a_slow_way_starts_nothing_twice: super::slow;
}
