//! Waiting for conditions, with a deadline: tests never sleep for luck.
//!
//! The condition is asked again after 10 ms at first and 50 ms later; it must be cheap and free of effects. Every
//! deadline is one of an idle machine: it is stretched by [`pace`] when it is over.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use crate::pace;

/// How long the suites wait for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until the condition holds and says whether it did before the deadline.
pub async fn until<F, R>(deadline: Duration, mut condition: F) -> bool
where
    F: FnMut() -> R,
    R: Future<Output = bool>,
{
    until_some(deadline, || {
        let answer = condition();
        async move { answer.await.then_some(()) }
    })
    .await
    .is_some()
}

/// Waits until the question has an answer; `None` = the deadline passed.
pub async fn until_some<T, F, R>(deadline: Duration, mut question: F) -> Option<T>
where
    F: FnMut() -> R,
    R: Future<Output = Option<T>>,
{
    let begun = Instant::now();
    let mut pause = Duration::from_millis(10);
    loop {
        if let Some(answer) = question().await {
            return Some(answer);
        }
        if begun.elapsed() >= deadline && begun.elapsed() >= pace::stretched(deadline) {
            return None;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// What the future comes to; `None` = the deadline passed.
pub async fn within<F: Future>(deadline: Duration, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let begun = Instant::now();
    loop {
        let left = pace::stretched(deadline).saturating_sub(begun.elapsed());
        if let Ok(output) = tokio::time::timeout(left, &mut future).await {
            return Some(output);
        }
        // Slower meanwhile than when the waiting began?
        if begun.elapsed() >= pace::stretched(deadline) {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn waits_for_the_condition_and_gives_up_at_the_deadline() {
        let asked = AtomicU32::new(0);
        let third = || async { asked.fetch_add(1, Ordering::Relaxed) >= 2 };
        assert!(until(PATIENCE, third).await);
        assert!(!until(Duration::from_millis(20), || async { false }).await);
    }
}
