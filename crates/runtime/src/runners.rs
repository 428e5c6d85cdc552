//! Begins attempts: as many at once as the machine can, and most handlers end where they begin.
//!
//! A task for each job costs more than a short handler does. So a few runners poll each attempt once, and only one
//! that has to wait becomes a task. A handler that blocks its thread holds up its runner and no other job: the next
//! runner takes them.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    task::{JoinSet, yield_now},
    time::Instant,
};

/// How long, and for how many attempts, a runner keeps its thread from other tasks.
const TURN: (Duration, u32) = (Duration::from_micros(200), 32);

type Beginning = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The attempts of one pool that are to begin, and the tasks of those that go on. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Runners(Arc<Inner>);

#[derive(Default)]
struct Inner {
    queue: Mutex<Queue>,
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Beginning>,
    runners: usize,
}

impl Runners {
    /// Runs an attempt, owned by this value.
    pub(crate) fn begin(&self, attempt: impl Future<Output = ()> + Send + 'static) {
        let attempt: Beginning = Box::pin(attempt);
        {
            let mut queue = self.queue();
            queue.waiting.push_back(attempt);
            if queue.runners >= Handle::current().metrics().num_workers() {
                return;
            }
            queue.runners += 1;
        }
        let runner = Runner { runners: self.clone(), counted: true };
        self.task(runner.run());
    }

    /// Ends every attempt where it stands.
    pub(crate) fn abort(&self) {
        let waiting = std::mem::take(&mut self.queue().waiting);
        drop(waiting);
        self.tasks().abort_all();
    }

    fn task(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that begins attempts until none waits.
struct Runner {
    runners: Runners,
    counted: bool,
}

impl Runner {
    async fn run(mut self) {
        let (mut began, mut begun) = (Instant::now(), 0);
        while let Some(mut attempt) = self.next() {
            if futures::poll!(&mut attempt).is_pending() {
                self.runners.task(attempt);
            }
            begun += 1;
            if begun >= TURN.1 || began.elapsed() >= TURN.0 {
                yield_now().await;
                (began, begun) = (Instant::now(), 0);
            }
        }
    }

    /// The next attempt; with none left this runner counts no more, decided under one lock.
    fn next(&mut self) -> Option<Beginning> {
        let mut queue = self.runners.queue();
        let next = queue.waiting.pop_front();
        if next.is_none() {
            queue.runners -= 1;
            self.counted = false;
        }
        drop(queue);
        next
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if self.counted {
            self.runners.queue().runners -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn count(done: &Arc<AtomicUsize>) -> impl Future<Output = ()> + Send + 'static {
        let done = Arc::clone(done);
        async move {
            done.fetch_add(1, Ordering::SeqCst);
        }
    }

    async fn until(done: &AtomicUsize, number: usize) {
        while done.load(Ordering::SeqCst) < number {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_that_blocks_its_thread_holds_up_no_other() {
        let (runners, done) = (Runners::default(), Arc::<AtomicUsize>::default());
        let (go, blocked) = std::sync::mpsc::channel::<()>();
        runners.begin(async move { blocked.recv().unwrap_or_default() });
        (0..100).for_each(|_| runners.begin(count(&done)));
        tokio::task::spawn_blocking({
            let done = Arc::clone(&done);
            move || while done.load(Ordering::SeqCst) < 100 {}
        })
        .await
        .unwrap();
        go.send(()).unwrap();
    }

    #[tokio::test]
    async fn those_that_wait_go_on_by_themselves_and_all_end_when_told() {
        let (runners, done) = (Runners::default(), Arc::<AtomicUsize>::default());
        let (told, wait) = tokio::sync::watch::channel(false);
        for _ in 0..100 {
            let (mut wait, done) = (wait.clone(), count(&done));
            runners.begin(async move {
                let _ = wait.wait_for(|told| *told).await;
                done.await;
            });
        }
        runners.begin(count(&done));
        until(&done, 1).await;
        told.send(true).unwrap();
        until(&done, 101).await;
    }

    #[tokio::test]
    async fn aborted_attempts_are_dropped_begun_or_not() {
        let (runners, alive) = (Runners::default(), Arc::new(()));
        for _ in 0..10 {
            let alive = Arc::clone(&alive);
            runners.begin(async move {
                std::future::pending::<()>().await;
                drop(alive);
            });
        }
        yield_now().await;
        runners.begin({
            let alive = Arc::clone(&alive);
            async move { drop(alive) }
        });
        runners.abort();
        while Arc::strong_count(&alive) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let done = Arc::<AtomicUsize>::default();
        runners.begin(count(&done));
        until(&done, 1).await;
    }
}
