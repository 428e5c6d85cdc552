//! One task per consumer writes its acks: `multiple` up to the contiguous watermark, stragglers singly.
//!
//! AMQP does not answer acks, and written bytes can be lost with a dying process. So each flush ends with a request
//! that the server answers in order (`basic.qos`, the same limit again), and settlements are answered after that.
//! Nobody who takes deliveries waits for it. The task ends, closing the channel, with the last receipt.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use backshift_core::BrokerError;
use lapin::{
    Channel,
    options::{BasicAckOptions, BasicNackOptions, BasicQosOptions},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::error::unavailable;

/// How long an ack waits for the deliveries before it, so that one frame settles many.
const STRAGGLER_WAITS: Duration = Duration::from_millis(3);

/// Settles the deliveries of one channel. Cheap to clone; at most the prefetch is under way.
#[derive(Clone)]
pub(super) struct Acks(mpsc::UnboundedSender<Settle>);

struct Settle {
    tag: u64,
    back: bool,
    answer: Option<Answer>,
}

type Answer = oneshot::Sender<Result<(), BrokerError>>;

impl Acks {
    /// Starts the task for a channel that has one consumer.
    pub(super) fn start(channel: Channel, prefetch: u16) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(run(channel, prefetch, receiver));
        Self(sender)
    }

    /// Acks one delivery and waits until the server has it.
    pub(super) async fn ack(&self, tag: u64) -> Result<(), BrokerError> {
        let (answer, answered) = oneshot::channel();
        self.send(Settle { tag, back: false, answer: Some(answer) });
        answered.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Gives one delivery back to its queue, uncounted.
    pub(super) fn give_back(&self, tag: u64) {
        self.send(Settle { tag, back: true, answer: None });
    }

    fn send(&self, settle: Settle) {
        // Fails only after the channel is lost: then the server has put the delivery back already.
        let _ = self.0.send(settle);
    }
}

fn lost() -> BrokerError {
    unavailable("the channel of this delivery is gone: the server hands it out again")
}

async fn run(channel: Channel, prefetch: u16, mut receiver: mpsc::UnboundedReceiver<Settle>) {
    let (mut watermark, mut answers) = (Watermark::default(), BTreeMap::<u64, Answer>::new());
    let mut batch = Vec::new();
    loop {
        let deadline = watermark.oldest_straggler().map(|at| at + STRAGGLER_WAITS);
        tokio::select! {
            taken = receiver.recv_many(&mut batch, 1024) => if taken == 0 { break },
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
        }
        let mut back = Vec::new();
        for Settle { tag, back: returned, answer } in batch.drain(..) {
            match returned {
                true => back.push(tag),
                false => watermark.settled(tag, Instant::now()),
            }
            if let Some(answer) = answer {
                answers.insert(tag, answer);
            }
        }
        let frames = watermark.frames(&back, Instant::now(), usize::from(prefetch) / 4);
        if let Err(error) = write(&channel, prefetch, &frames, &mut answers).await {
            tracing::debug!(%error, "acks could not be written: the deliveries come again");
            receiver.close();
            return;
        }
    }
    // Stragglers that still waited when the last receipt went.
    let frames = watermark.frames(&[], Instant::now() + STRAGGLER_WAITS, 0);
    if write(&channel, prefetch, &frames, &mut answers).await.is_ok() {
        let _ = channel.close(200, "done".into()).await;
    }
}

async fn write(
    channel: &Channel,
    prefetch: u16,
    frames: &Frames,
    answers: &mut BTreeMap<u64, Answer>,
) -> lapin::Result<()> {
    let upto = frames.upto.map(|(tag, multiple)| channel.basic_ack(tag, BasicAckOptions { multiple }));
    let singles = frames.singles.iter().map(|tag| channel.basic_ack(*tag, BasicAckOptions::default()));
    let back = BasicNackOptions { multiple: false, requeue: true };
    let backs = frames.back.iter().map(|tag| channel.basic_nack(*tag, back));
    // All are queued in this order at the first poll; waiting for each one in turn would cost a wake-up a frame.
    let (upto, singles, backs) = tokio::join!(
        futures::future::OptionFuture::from(upto),
        futures::future::try_join_all(singles),
        futures::future::try_join_all(backs),
    );
    upto.transpose().and(singles.map(drop)).and(backs.map(drop))?;
    if frames.settled.is_empty() {
        return Ok(());
    }
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    for tag in &frames.settled {
        if let Some(answer) = answers.remove(tag) {
            let _ = answer.send(Ok(()));
        }
    }
    Ok(())
}

/// What is to be written now.
#[derive(Debug, Default, PartialEq)]
struct Frames {
    /// The highest tag below which everything is settled, and whether the frame covers more than it.
    upto: Option<(u64, bool)>,
    singles: Vec<u64>,
    back: Vec<u64>,
    /// Whose answers are due when the server has the frames.
    settled: Vec<u64>,
}

/// Which tags are settled. Tags count 1, 2, 3 … on a channel.
#[derive(Debug, Default)]
struct Watermark {
    /// Everything up to here is settled at the server.
    below: u64,
    /// Settled by us, not yet written.
    waiting: BTreeMap<u64, Instant>,
    /// Above the watermark, but already settled at the server: naming such a tag again would end the channel.
    written: BTreeSet<u64>,
}

impl Watermark {
    fn settled(&mut self, tag: u64, now: Instant) {
        self.waiting.insert(tag, now);
    }

    fn oldest_straggler(&self) -> Option<Instant> {
        self.waiting.values().min().copied()
    }

    /// Decides what to write; `many` = so many stragglers are too many to wait for.
    fn frames(&mut self, back: &[u64], now: Instant, many: usize) -> Frames {
        let mut frames = Frames { back: back.to_vec(), ..Frames::default() };
        let mut covered = 0;
        loop {
            let next = self.below + 1;
            if self.waiting.remove(&next).is_some() {
                covered += 1;
                frames.upto = Some((next, covered > 1));
                frames.settled.push(next);
            } else if !self.written.remove(&next) {
                break;
            }
            self.below = next;
        }
        let all = self.waiting.len() > many;
        let late = |at: &Instant| all || *at + STRAGGLER_WAITS <= now;
        frames.singles = self.waiting.iter().filter(|(_, at)| late(at)).map(|(tag, _)| *tag).collect();
        for tag in &frames.singles {
            self.waiting.remove(tag);
        }
        self.written.extend(&frames.singles);
        self.written.extend(back);
        frames.settled.extend(&frames.singles);
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 8;

    fn frames(watermark: &mut Watermark, tags: &[u64], now: Instant) -> Frames {
        tags.iter().for_each(|tag| watermark.settled(*tag, now));
        watermark.frames(&[], now, MANY)
    }

    #[test]
    fn what_is_contiguous_goes_in_one_frame() {
        let (mut watermark, now) = (Watermark::default(), Instant::now());
        let written = frames(&mut watermark, &[2, 1, 3, 5], now);
        assert_eq!((written.upto, written.singles), (Some((3, true)), vec![]));
        let written = frames(&mut watermark, &[4], now);
        assert_eq!(written.upto, Some((5, true)));
        assert_eq!(frames(&mut watermark, &[6], now).upto, Some((6, false)));
    }

    #[test]
    fn a_gap_is_never_covered_and_stragglers_go_alone_after_a_while() {
        let (mut watermark, now) = (Watermark::default(), Instant::now());
        let written = frames(&mut watermark, &[2, 4], now);
        assert_eq!((written.upto, written.singles), (None, vec![]));
        let written = watermark.frames(&[], now + STRAGGLER_WAITS, MANY);
        assert_eq!((written.upto, written.singles, written.settled), (None, vec![2, 4], vec![2, 4]));
        // 1 and 3 arrive: 4 is settled already, so the frame names 3 and not 4.
        assert_eq!(frames(&mut watermark, &[1, 3], now).upto, Some((3, true)));
        assert_eq!(frames(&mut watermark, &[5], now).upto, Some((5, false)));
    }

    #[test]
    fn many_stragglers_do_not_wait() {
        let (mut watermark, now) = (Watermark::default(), Instant::now());
        let tags: Vec<u64> = (2..=10).collect();
        assert_eq!(frames(&mut watermark, &tags, now).singles, tags);
    }

    #[test]
    fn what_went_back_is_passed_over_and_never_acked() {
        let (mut watermark, now) = (Watermark::default(), Instant::now());
        watermark.settled(1, now);
        watermark.settled(3, now);
        let written = watermark.frames(&[2], now, MANY);
        assert_eq!((written.upto, written.back), (Some((1, false)), vec![2]));
        assert_eq!(watermark.frames(&[], now, MANY).upto, Some((3, false)));
    }
}
