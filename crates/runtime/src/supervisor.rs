//! Owns the parts of a worker: starts them, restarts one that crashed with back-off, and ends them.
//!
//! Dropped, it ends every part at once: that is what a killed process looks like to the rest of the world.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::pool::Pool;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The parts of one worker.
pub(crate) struct Supervisor {
    parts: JoinSet<()>,
    fetchers: JoinSet<()>,
    pools: Vec<Arc<Pool>>,
}

impl Supervisor {
    pub(crate) fn new(pools: Vec<Arc<Pool>>) -> Self {
        Self { parts: JoinSet::new(), fetchers: JoinSet::new(), pools }
    }

    /// Runs a part until `end`; a part that panics or returns earlier is started anew. It is made of a copy of `own`.
    pub(crate) fn keep<C, F>(
        &mut self,
        name: &'static str,
        end: &CancellationToken,
        own: &C,
        make: impl Fn(C) -> F + Send + 'static,
    ) where
        C: Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (end, own) = (end.clone(), own.clone());
        self.parts.spawn(async move {
            let mut pause = FIRST_PAUSE;
            while !end.is_cancelled() {
                let part = AssertUnwindSafe(make(own.clone())).catch_unwind();
                tokio::select! {
                    biased;
                    () = end.cancelled() => return,
                    over = part => {
                        let panicked = over.is_err();
                        tracing::error!(part = name, panicked, ?pause, "a part of the worker ended; starting it anew");
                        metrics::counter!("backshift_parts_restarted_total", "part" => name).increment(1);
                    }
                }
                tokio::select! { biased; () = end.cancelled() => return, () = sleep(pause) => {} }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
    }

    /// Runs a fetcher, which ends by itself after `quiet`: a claim in flight is not cut off.
    pub(crate) fn keep_fetcher<C, F>(
        &mut self,
        quiet: &CancellationToken,
        own: &C,
        make: impl Fn(C) -> F + Send + 'static,
    ) where
        C: Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (quiet, own) = (quiet.clone(), own.clone());
        self.fetchers.spawn(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                let panicked = AssertUnwindSafe(make(own.clone())).catch_unwind().await.is_err();
                if quiet.is_cancelled() {
                    return;
                }
                tracing::error!(
                    part = "fetcher",
                    panicked,
                    ?pause,
                    "a part of the worker ended; starting it anew"
                );
                metrics::counter!("backshift_parts_restarted_total", "part" => "fetcher").increment(1);
                tokio::select! { biased; () = quiet.cancelled() => return, () = sleep(pause) => {} }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
    }

    /// Waits until every fetcher has ended: nothing more is taken or claimed after that.
    pub(crate) async fn fetchers_ended(&mut self) {
        while self.fetchers.join_next().await.is_some() {}
    }

    /// Waits until every part has ended.
    pub(crate) async fn ended(&mut self) {
        self.fetchers_ended().await;
        while self.parts.join_next().await.is_some() {}
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.pools.iter().for_each(|pool| pool.abort_tasks());
    }
}
