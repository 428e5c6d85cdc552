//! One task per consumer writes its acks: `multiple` up to the contiguous watermark, stragglers singly.
//!
//! AMQP does not answer acks, and written bytes can be lost with a dying process. So each flush ends with a request
//! that the server answers in order (`basic.qos`, the same limit again), and settlements are answered after that.
//! Nobody who takes deliveries waits for it. The task ends, closing the channel, with the last receipt. Whoever keeps a
//! delivery because its copy cannot be published is told here when it has to let go.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backshift_core::{BrokerError, broker::Tie};
use futures::future::{OptionFuture, try_join_all};
use lapin::{
    Channel,
    options::{BasicAckOptions, BasicCancelOptions, BasicNackOptions, BasicQosOptions},
    types::ShortString,
};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    error::unavailable,
    watermark::{Frames, LONGEST_WAIT, Watermark},
};

/// Settles the deliveries of one channel. Cheap to clone; at most the prefetch is under way.
#[derive(Clone)]
pub(super) struct Acks(Arc<Door>);

/// Closed by the last who could settle.
struct Door(Arc<Desk>);

/// What piles up until the task takes it.
struct Desk {
    channel: Channel,
    pile: Mutex<Pile>,
    /// The consumer that the server knows on this channel; `None` = messages are asked for one by one.
    subscription: Mutex<Option<ShortString>>,
    /// Nothing more is taken, or the channel is lost: what cannot be settled now goes back.
    over: CancellationToken,
    /// Something is due, or will be.
    called: Notify,
    /// So many acks are worth a flush: fewer cost frames, more starve the consumer.
    enough: usize,
    /// So many stragglers are too many to wait for.
    many: usize,
}

#[derive(Default)]
struct Pile {
    watermark: Watermark,
    back: Vec<u64>,
    /// The highest tag that was handed out.
    delivered: u64,
    /// Nobody can settle any more.
    closed: bool,
    /// The channel is lost: the server has put everything back already.
    lost: bool,
}

impl Acks {
    /// Starts the task for a channel that has one consumer.
    pub(super) fn start(channel: Channel, prefetch: u16) -> Self {
        let desk = Desk {
            channel: channel.clone(),
            pile: Mutex::default(),
            subscription: Mutex::default(),
            over: CancellationToken::new(),
            called: Notify::new(),
            enough: usize::from(prefetch / 10).max(1),
            many: usize::from(prefetch / 4),
        };
        let desk = Arc::new(desk);
        tokio::spawn(run(channel, prefetch, Arc::clone(&desk)));
        Self(Arc::new(Door(desk)))
    }

    /// Notes that a delivery is out.
    pub(super) fn delivered(&self, tag: u64) {
        let mut pile = self.0.0.pile();
        pile.delivered = pile.delivered.max(tag);
    }

    /// Acks one delivery; resolves when the server has it.
    pub(super) fn ack(&self, tag: u64) -> impl Future<Output = Result<(), BrokerError>> + use<> {
        let (answer, answered) = oneshot::channel();
        self.0.0.put(|pile| pile.watermark.settled(tag, Instant::now(), Some(answer)));
        async move { answered.await.unwrap_or_else(|_| Err(lost())) }
    }

    /// The server pushes deliveries to this consumer from here on.
    pub(super) fn subscribed(&self, tag: ShortString) {
        *self.0.0.subscription() = Some(tag);
    }

    pub(super) fn is_subscribed(&self) -> bool {
        self.0.0.subscription().is_some()
    }

    /// Ends the subscription; resolves when the server pushes nothing more. What it pushed before is still to be taken.
    pub(super) async fn unsubscribe(&self) -> lapin::Result<()> {
        let tag = self.0.0.subscription().take();
        match tag {
            Some(tag) => self.0.0.channel.basic_cancel(tag, BasicCancelOptions::default()).await,
            None => Ok(()),
        }
    }

    /// Whether nobody but the caller can settle anything: no delivery is out.
    pub(super) fn is_last(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Whether the server has taken everything back that was not settled.
    pub(super) fn tie(&self) -> Tie {
        let channel = self.0.0.channel.clone();
        Tie::new(move || !channel.status().connected())
    }

    /// The consumer takes nothing more: nobody is to keep a delivery that he cannot settle.
    pub(super) fn rest(&self) {
        self.0.0.over.cancel();
    }

    /// The channel turned out to be gone.
    pub(super) fn lose(&self) {
        self.0.0.lose();
    }

    /// Resolves when deliveries that cannot be settled are to go back.
    pub(super) fn over(&self) -> &CancellationToken {
        &self.0.0.over
    }

    /// Gives one delivery back to its queue, uncounted.
    pub(super) fn give_back(&self, tag: u64) {
        self.0.0.put(|pile| pile.back.push(tag));
    }
}

impl Desk {
    fn put(&self, put: impl FnOnce(&mut Pile)) {
        let mut pile = self.pile();
        if pile.lost {
            return;
        }
        let before = pile.watermark.waiting;
        put(&mut pile);
        // The first one starts the clock, the one that makes it worth a flush ends the wait.
        let call = before == 0 || pile.is_ripe(self.enough);
        drop(pile);
        if call {
            self.called.notify_one();
        }
    }

    fn subscription(&self) -> MutexGuard<'_, Option<ShortString>> {
        self.subscription.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pile(&self) -> MutexGuard<'_, Pile> {
        self.pile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is due now, or when to look again.
    fn due(&self, now: Instant) -> Due {
        let mut pile = self.pile();
        let deadline = pile.watermark.since.map(|since| since + LONGEST_WAIT);
        let late = deadline.is_some_and(|deadline| deadline <= now);
        let Pile { watermark, back, closed, .. } = &mut *pile;
        if *closed && watermark.waiting == 0 && back.is_empty() {
            return Due::Over;
        }
        if *closed {
            return Due::Frames(watermark.frames(back, now + LONGEST_WAIT, 0));
        }
        if !late && !pile.is_ripe(self.enough) {
            return Due::At(deadline);
        }
        let Pile { watermark, back, .. } = &mut *pile;
        let frames = watermark.frames(back, now, self.many);
        match frames.is_empty() {
            true => Due::At(watermark.since.map(|since| since + LONGEST_WAIT)),
            false => Due::Frames(frames),
        }
    }

    fn lose(&self) {
        let lost = Pile { lost: true, ..Pile::default() };
        // Dropped outside of the lock: every answer that was waited for says so.
        let _before = std::mem::replace(&mut *self.pile(), lost);
        self.over.cancel();
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.0.pile().closed = true;
        self.0.called.notify_one();
    }
}

impl Pile {
    fn is_ripe(&self, enough: usize) -> bool {
        !self.back.is_empty() || self.watermark.fresh >= enough || self.watermark.is_last(self.delivered)
    }
}

enum Due {
    Frames(Frames),
    /// Not before then, unless somebody calls.
    At(Option<Instant>),
    Over,
}

fn lost() -> BrokerError {
    unavailable("the channel of this delivery is gone: the server hands it out again")
}

async fn run(channel: Channel, prefetch: u16, desk: Arc<Desk>) {
    loop {
        match desk.due(Instant::now()) {
            Due::Over => break,
            Due::At(None) => desk.called.notified().await,
            Due::At(Some(deadline)) => tokio::select! {
                biased;
                () = desk.called.notified() => {}
                () = sleep_until(deadline) => {}
            },
            Due::Frames(frames) => {
                if let Err(error) = write(&channel, prefetch, frames).await {
                    tracing::debug!(%error, "acks could not be written: the deliveries come again");
                    return desk.lose();
                }
            }
        }
    }
    let _ = channel.close(200, "done".into()).await;
}

async fn write(channel: &Channel, prefetch: u16, frames: Frames) -> lapin::Result<()> {
    let upto = frames.upto.map(|(tag, multiple)| channel.basic_ack(tag, BasicAckOptions { multiple }));
    let singles = frames.singles.iter().map(|tag| channel.basic_ack(*tag, BasicAckOptions::default()));
    let back = BasicNackOptions { multiple: false, requeue: true };
    let backs = frames.back.iter().map(|tag| channel.basic_nack(*tag, back));
    let acks = frames.upto.is_some() || !frames.singles.is_empty();
    let request = acks.then(|| channel.basic_qos(prefetch, BasicQosOptions::default()));
    // All are queued in this order at the first poll; waiting for each one in turn would cost a wake-up a frame.
    let (upto, singles, backs, answered) = tokio::join!(
        OptionFuture::from(upto),
        try_join_all(singles),
        try_join_all(backs),
        OptionFuture::from(request),
    );
    upto.transpose().and(singles.map(drop)).and(backs.map(drop))?;
    answered.transpose()?;
    for answer in frames.answers {
        let _ = answer.send(Ok(()));
    }
    Ok(())
}
