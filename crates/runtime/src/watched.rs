//! Asks what is watched for its trouble, on a thread of its own: it is not our code and may hang, and the asker also keeps the
//! worker's sign of life.
//!
//! Nobody waits for an answer: a look takes what was said since the last look, so what it shows is one look old. An answer that
//! does not come is a trouble too, and so is a panic; until it comes nothing is asked again, so each has one thread at most.

use std::{sync::Arc, thread, time::Duration};

use backshift_core::{
    Timestamp,
    store::{Harm, Trouble, Watched},
};
use tokio::{
    runtime::Handle,
    sync::oneshot::{self, error::TryRecvError},
    time::Instant,
};

/// An answer that takes longer is taken for none.
const PATIENCE: Duration = Duration::from_secs(10);

/// Something that is watched, and what it said last.
pub(crate) struct Asked {
    watched: Arc<dyn Watched>,
    /// Its number among those that are watched: a trouble of one place has one name, so that it has one beginning.
    place: usize,
    said: Option<Trouble>,
    open: Option<(Instant, oneshot::Receiver<Option<Trouble>>)>,
}

impl Asked {
    pub(crate) fn new(place: usize, watched: Arc<dyn Watched>) -> Self {
        Self { watched, place, said: None, open: None }
    }

    /// What it said last; asks again. Never waits.
    pub(crate) fn look(&mut self, now: Timestamp) -> Option<Trouble> {
        if let Some((since, answer)) = &mut self.open {
            let answer = answer.try_recv();
            match answer {
                Ok(said) => self.said = said,
                Err(TryRecvError::Empty) if since.elapsed() < PATIENCE => return self.said.clone(),
                Err(TryRecvError::Empty) => {
                    return Some(
                        self.own(now, "it has not answered since it was asked for its trouble: it blocks"),
                    );
                }
                Err(TryRecvError::Closed) => {
                    let said = "it panicked when it was asked for its trouble; the log has the place";
                    self.said = Some(self.own(now, said));
                }
            }
        }
        self.open = self.ask(now);
        self.said.clone()
    }

    fn ask(&self, now: Timestamp) -> Option<(Instant, oneshot::Receiver<Option<Trouble>>)> {
        let (watched, runtime) = (Arc::clone(&self.watched), Handle::try_current().ok());
        let (say, answer) = oneshot::channel();
        // Not a blocking thread of the runtime: the runtime waits for those when it ends.
        let thread = thread::Builder::new().name(format!("watched-{}", self.place + 1)).spawn(move || {
            let _inside = runtime.as_ref().map(Handle::enter);
            // The asker may have gone meanwhile.
            let _ = say.send(watched.trouble(now));
        });
        // Without a thread it is asked at the next look.
        thread.ok().map(|_| (Instant::now(), answer))
    }

    fn own(&self, now: Timestamp, said: &str) -> Trouble {
        Trouble {
            part: format!("watched part {}", self.place + 1),
            said: said.into(),
            harm: Harm::Failing,
            since: now,
            next: None,
            queue: None,
            kinds: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    struct Panics;

    impl Watched for Panics {
        fn trouble(&self, _: Timestamp) -> Option<Trouble> {
            panic!("the code of somebody else");
        }
    }

    struct Says;

    impl Watched for Says {
        fn trouble(&self, now: Timestamp) -> Option<Trouble> {
            let (part, said) = ("printer".into(), "no paper".into());
            Some(Trouble {
                part,
                said,
                harm: Harm::Held,
                since: now,
                next: None,
                queue: None,
                kinds: Vec::new(),
            })
        }
    }

    /// Blocks until the test lets go.
    struct Blocks {
        questions: AtomicUsize,
        gate: Barrier,
    }

    impl Watched for Blocks {
        fn trouble(&self, _: Timestamp) -> Option<Trouble> {
            self.questions.fetch_add(1, Ordering::SeqCst);
            self.gate.wait();
            None
        }
    }

    /// Looks until it says something, or nothing any more.
    fn until(asked: &mut Asked, something: bool) -> Option<Trouble> {
        loop {
            let said = asked.look(Timestamp::UNIX_EPOCH);
            if said.is_some() == something {
                return said;
            }
            thread::yield_now();
        }
    }

    #[tokio::test]
    async fn a_watched_part_that_panics_is_a_trouble_and_the_next_one_is_asked() {
        let mut all = [Asked::new(0, Arc::new(Panics)), Asked::new(1, Arc::new(Says))];
        let parts = all.each_mut().map(|one| until(one, true).unwrap().part);
        assert_eq!(parts, ["watched part 1", "printer"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watched_part_that_blocks_keeps_nobody_and_is_a_trouble_until_it_answers() {
        let blocks = Arc::new(Blocks { questions: AtomicUsize::new(0), gate: Barrier::new(2) });
        let mut asked = Asked::new(0, Arc::clone(&blocks) as Arc<dyn Watched>);
        for _ in 0..1000 {
            assert_eq!(asked.look(Timestamp::UNIX_EPOCH), None, "not yet");
        }
        while blocks.questions.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        assert_eq!(asked.look(Timestamp::UNIX_EPOCH), None);
        assert_eq!(blocks.questions.load(Ordering::SeqCst), 1, "no second one before the answer");
        tokio::time::advance(PATIENCE).await;
        assert!(until(&mut asked, true).unwrap().said.contains("it blocks"));
        blocks.gate.wait();
        assert_eq!(until(&mut asked, false), None);
    }
}
