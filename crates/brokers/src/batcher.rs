//! Turns many concurrent callers into few round trips: while one batch travels, the next one piles up.
//!
//! There is no timer. An idle queue sees a batch of one at once; a busy one sees whatever came meanwhile.

use std::{future::Future, sync::Arc};

use tokio::sync::{mpsc, oneshot};

/// Waiting callers at most; more wait for room.
const WAITING: usize = 1024;

type Call<T, R> = (Vec<T>, oneshot::Sender<Vec<R>>);

/// A door to the batches. Cheap to clone; the lanes end when the last door is gone.
pub(super) struct Batcher<T, R> {
    calls: mpsc::Sender<Call<T, R>>,
}

impl<T, R> Clone for Batcher<T, R> {
    fn clone(&self) -> Self {
        Self { calls: self.calls.clone() }
    }
}

impl<T: Send + 'static, R: Send + 'static> Batcher<T, R> {
    /// Starts `lanes` tasks; each works one batch of about `most` items at a time. `work` answers every item, in order.
    pub(super) fn start<W, F>(lanes: usize, most: usize, work: W) -> Self
    where
        W: Fn(Vec<T>) -> F + Send + Sync + 'static,
        F: Future<Output = Vec<R>> + Send + 'static,
    {
        let (calls, receiver) = mpsc::channel(WAITING);
        let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
        let work = Arc::new(work);
        for _ in 0..lanes {
            tokio::spawn(lane(Arc::clone(&receiver), Arc::clone(&work), most));
        }
        Self { calls }
    }

    /// Hands items over and waits for their answers; `None` = the lanes are gone.
    pub(super) async fn submit(&self, items: Vec<T>) -> Option<Vec<R>> {
        let (answer, answered) = oneshot::channel();
        self.calls.send((items, answer)).await.ok()?;
        answered.await.ok()
    }
}

async fn lane<T, R, W, F>(
    calls: Arc<tokio::sync::Mutex<mpsc::Receiver<Call<T, R>>>>,
    work: Arc<W>,
    most: usize,
) where
    W: Fn(Vec<T>) -> F,
    F: Future<Output = Vec<R>>,
{
    loop {
        let Some(batch) = collect(&calls, most).await else { return };
        let (items, callers) = split(batch);
        let mut answers = work(items).await.into_iter();
        for (count, caller) in callers {
            // A caller that went away does not need its answer; the work is done all the same.
            let _ = caller.send(answers.by_ref().take(count).collect());
        }
    }
}

/// Waits for one call and takes what else has piled up, up to about `most` items.
async fn collect<T, R>(
    calls: &tokio::sync::Mutex<mpsc::Receiver<Call<T, R>>>,
    most: usize,
) -> Option<Vec<Call<T, R>>> {
    let mut calls = calls.lock().await;
    let first = calls.recv().await?;
    let mut size = first.0.len();
    let mut batch = vec![first];
    while size < most {
        let Ok(call) = calls.try_recv() else { break };
        size += call.0.len();
        batch.push(call);
    }
    Some(batch)
}

/// How many answers a caller waits for, and where they go.
type Caller<R> = (usize, oneshot::Sender<Vec<R>>);

fn split<T, R>(batch: Vec<Call<T, R>>) -> (Vec<T>, Vec<Caller<R>>) {
    let mut items = Vec::new();
    let mut callers = Vec::with_capacity(batch.len());
    for (more, caller) in batch {
        callers.push((more.len(), caller));
        items.extend(more);
    }
    (items, callers)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn concurrent_callers_share_batches_and_get_their_own_answers() {
        let batches = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&batches);
        let batcher = Batcher::start(1, 500, move |items: Vec<u32>| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::task::yield_now().await;
                items.into_iter().map(|n| n * 2).collect()
            }
        });
        let callers = (0..100u32).map(|n| {
            let batcher = batcher.clone();
            tokio::spawn(async move { (n, batcher.submit(vec![n, n + 1]).await.unwrap()) })
        });
        for caller in callers.collect::<Vec<_>>() {
            let (n, answers) = caller.await.unwrap();
            assert_eq!(answers, [n * 2, (n + 1) * 2]);
        }
        assert!(batches.load(Ordering::SeqCst) < 50, "{} batches", batches.load(Ordering::SeqCst));
    }
}
