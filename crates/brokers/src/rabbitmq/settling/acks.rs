//! One task per consumer writes its acks: `multiple` up to the contiguous watermark, stragglers singly.
//!
//! AMQP does not answer acks, and written bytes can be lost with a dying process. So each flush ends with a request
//! that the server answers in order (`basic.qos`, the same limit again), and settlements are answered after that. The limit
//! holds for the next subscription, so this task makes those too. Nobody who takes deliveries waits for it. The task ends,
//! closing the channel, with the last receipt. Whoever keeps a delivery because its copy cannot be published is told here when
//! it has to let go.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backshift_core::{BrokerError, broker::Tie};
use futures::future::{OptionFuture, try_join_all};
use lapin::{
    Channel,
    options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions},
    types::{FieldTable, ShortString},
};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::watermark::{Frames, LONGEST_WAIT, Watermark};
use crate::rabbitmq::{
    error::unavailable,
    window::{Limits, Step, Subscription, Window},
};

/// Settles the deliveries of one channel. Cheap to clone; at most the prefetch is under way.
#[derive(Clone)]
pub(crate) struct Acks(Arc<Door>);

/// Closed by the last who could settle.
struct Door(Arc<Desk>);

/// What piles up until the task takes it.
struct Desk {
    channel: Channel,
    pile: Mutex<Pile>,
    window: Mutex<Window>,
    /// There may be room for another subscription.
    room: Notify,
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
    wanted: Option<Wanted>,
    /// The highest tag that was handed out.
    delivered: u64,
    /// Nobody can settle any more.
    closed: bool,
    /// The channel is lost: the server has put everything back already.
    lost: bool,
}

/// A subscription that somebody asks for.
struct Wanted {
    queue: ShortString,
    tag: ShortString,
    prefetch: u16,
    answer: oneshot::Sender<lapin::Result<lapin::Consumer>>,
}

impl Acks {
    /// Starts the task for a channel; at most so many deliveries will be out.
    pub(crate) fn start(channel: Channel, prefetch: usize) -> Self {
        let desk = Desk {
            channel: channel.clone(),
            pile: Mutex::default(),
            window: Mutex::default(),
            room: Notify::new(),
            over: CancellationToken::new(),
            called: Notify::new(),
            enough: (prefetch / 10).max(1),
            many: prefetch / 4,
        };
        let desk = Arc::new(desk);
        tokio::spawn(run(channel, Arc::clone(&desk)));
        Self(Arc::new(Door(desk)))
    }

    /// Notes that a delivery of this subscription is out.
    pub(crate) fn delivered(&self, tag: u64, subscription: u64) {
        self.0.0.window().taken(subscription);
        let mut pile = self.0.0.pile();
        pile.delivered = pile.delivered.max(tag);
    }

    /// Acks one delivery; resolves when the server has it.
    pub(crate) fn ack(&self, tag: u64) -> impl Future<Output = Result<(), BrokerError>> + use<> {
        let (answer, answered) = oneshot::channel();
        self.0.0.put(|pile| pile.watermark.settled(tag, Instant::now(), Some(answer)));
        async move { answered.await.unwrap_or_else(|_| Err(lost())) }
    }

    /// Lets the server push at most so many deliveries at once, beside those of other subscriptions.
    pub(crate) async fn subscribe(
        &self,
        queue: ShortString,
        tag: ShortString,
        prefetch: u16,
    ) -> lapin::Result<(Arc<Subscription>, lapin::Consumer)> {
        let (answer, answered) = oneshot::channel();
        let wanted = Wanted { queue, tag: tag.clone(), prefetch, answer };
        self.0.0.put(|pile| pile.wanted = Some(wanted));
        let gone = || std::io::Error::from(std::io::ErrorKind::NotConnected).into();
        let stream = answered.await.unwrap_or_else(|_| Err(gone()))?;
        let subscription = self.0.0.window().begun(tag, prefetch.into());
        Ok((subscription, stream))
    }

    /// Ends a subscription; resolves when the server pushes nothing more to it. What it pushed before is still to be taken.
    /// Whoever asks meanwhile waits for the same answer, and asks again if there is none.
    pub(crate) async fn end(&self, subscription: &Subscription) -> lapin::Result<()> {
        let desk = &self.0.0;
        desk.window().ending(subscription.number, true);
        let _unless_ended = Ending(desk, subscription);
        let ask = || desk.channel.basic_cancel(subscription.tag.clone(), BasicCancelOptions::default());
        subscription.ended.get_or_try_init(ask).await.map(drop)
    }

    /// Ends the subscription of a delivery that is being handed over.
    pub(crate) async fn leave(&self, subscription: u64) -> lapin::Result<()> {
        let subscription = self.0.0.window().subscription(subscription);
        match subscription {
            Some(subscription) => self.end(&subscription).await,
            None => Ok(()),
        }
    }

    /// A delivery begins to be handed over: its slot counts as occupied already.
    pub(crate) fn leaves(&self) {
        self.0.0.window().leaves();
    }

    /// A delivery of this subscription is not with us any more.
    pub(crate) fn settled(&self, subscription: u64, left: bool) {
        let mut window = self.0.0.window();
        if left {
            window.left();
        }
        let room = window.settled(subscription);
        drop(window);
        if room || left {
            self.0.0.room.notify_one();
        }
    }

    /// Everything that came of a subscription is taken. Whether it was us who ended it.
    pub(crate) fn drained(&self, subscription: u64) -> bool {
        self.0.0.window().drained(subscription)
    }

    /// What is to be done so that as many deliveries are with us as may be.
    pub(crate) fn step(&self, limits: Limits, occupied: usize) -> Option<Step> {
        self.0.0.window().step(limits, occupied)
    }

    /// Waits until there may be something to do.
    pub(crate) async fn room(&self) {
        self.0.0.room.notified().await;
    }

    /// The subscriptions of which messages may still come.
    pub(crate) fn open(&self) -> Vec<Arc<Subscription>> {
        self.0.0.window().open()
    }

    /// Whether the server has taken everything back that was not settled.
    pub(crate) fn tie(&self) -> Tie {
        let channel = self.0.0.channel.clone();
        Tie::new(move || !channel.status().connected())
    }

    /// The consumer takes nothing more: nobody is to keep a delivery that he cannot settle.
    pub(crate) fn rest(&self) {
        self.0.0.over.cancel();
    }

    /// The channel turned out to be gone.
    pub(crate) fn lose(&self) {
        self.0.0.lose();
    }

    /// Resolves when deliveries that cannot be settled are to go back.
    pub(crate) fn over(&self) -> &CancellationToken {
        &self.0.0.over
    }

    /// Gives one delivery back to its queue, uncounted.
    pub(crate) fn give_back(&self, tag: u64) {
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

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pile(&self) -> MutexGuard<'_, Pile> {
        self.pile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is due now, or when to look again.
    fn due(&self, now: Instant) -> Due {
        let mut pile = self.pile();
        let deadline = pile.watermark.since.map(|since| since + LONGEST_WAIT);
        let late = deadline.is_some_and(|deadline| deadline <= now);
        if let Some(wanted) = pile.wanted.take() {
            return Due::Subscription(wanted);
        }
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

/// A subscription whose end was not confirmed pushes on.
struct Ending<'a>(&'a Desk, &'a Subscription);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if !self.1.ended.initialized() {
            self.0.window().ending(self.1.number, false);
        }
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
        !self.back.is_empty()
            || self.wanted.is_some()
            || self.watermark.fresh >= enough
            || self.watermark.is_last(self.delivered)
    }
}

enum Due {
    Subscription(Wanted),
    Frames(Frames),
    /// Not before then, unless somebody calls.
    At(Option<Instant>),
    Over,
}

fn lost() -> BrokerError {
    unavailable("the channel of this delivery is gone: the server hands it out again")
}

async fn run(channel: Channel, desk: Arc<Desk>) {
    let mut prefetch = 0;
    loop {
        match desk.due(Instant::now()) {
            Due::Over => break,
            Due::At(None) => desk.called.notified().await,
            Due::At(Some(deadline)) => tokio::select! {
                biased;
                () = desk.called.notified() => {}
                () = sleep_until(deadline) => {}
            },
            Due::Subscription(wanted) => {
                prefetch = wanted.prefetch;
                let _ = wanted.answer.send(subscribe(&channel, wanted.queue, wanted.tag, prefetch).await);
            }
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

async fn subscribe(
    channel: &Channel,
    queue: ShortString,
    tag: ShortString,
    prefetch: u16,
) -> lapin::Result<lapin::Consumer> {
    // One question behind the other on the channel: nothing of ours comes between them.
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    channel.basic_consume(queue, tag, BasicConsumeOptions::default(), FieldTable::default()).await
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
