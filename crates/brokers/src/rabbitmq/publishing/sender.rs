//! The task that publishes for all callers: it sends what they hand over and looks at confirms as they come.
//!
//! The server returns a message before it confirms it, and lapin hands the return to the next confirm. So nobody is
//! answered before every confirm that has come is looked at, and when one of them carries a return, before all that was
//! sent is confirmed: then each return is certain to be there with its message.

use std::{mem, sync::Arc, time::Duration};

use backshift_core::BrokerError;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use lapin::options::ConfirmSelectOptions;
use tokio::sync::{mpsc, oneshot};

use super::{
    outgoing::{Item, Outgoing},
    verdict::{Fate, Lane, Sent, send, tell},
};
use crate::rabbitmq::{
    error::{again, unavailable},
    wire::Link,
};

/// The most messages that wait for their confirms.
pub(crate) const IN_FLIGHT: usize = 2048;
/// … and bytes of their bodies, after which no more are sent.
const BYTES_IN_FLIGHT: usize = 16 * 1024 * 1024;

type Opening = BoxFuture<'static, Result<Lane, BrokerError>>;

/// State of the task.
pub(crate) struct Sender {
    /// For how long a confirm is waited for.
    limit: Duration,
    link: Arc<Link>,
    items: mpsc::Receiver<Item>,
    lane: Option<Arc<Lane>>,
    opening: Option<Opening>,
    /// Taken over, not sent yet.
    waiting: Vec<Outgoing>,
    /// Confirmed, not answered yet.
    seen: Vec<Sent>,
    /// Of the bodies that wait or are in flight.
    bytes: usize,
    flush: Option<oneshot::Sender<()>>,
    closed: bool,
}

impl Sender {
    pub(crate) fn new(link: Arc<Link>, items: mpsc::Receiver<Item>, limit: Duration) -> Self {
        Self {
            limit,
            link,
            items,
            lane: None,
            opening: None,
            waiting: Vec::new(),
            seen: Vec::new(),
            bytes: 0,
            flush: None,
            closed: false,
        }
    }

    /// Works until the publisher is gone and everything is answered.
    pub(crate) async fn run(mut self) {
        let mut out = FuturesUnordered::new();
        let limit = self.limit;
        loop {
            if let Some(lane) = self.ready() {
                let waiting = mem::take(&mut self.waiting);
                out.extend(waiting.into_iter().map(|outgoing| send(lane.clone(), outgoing, limit)));
            }
            if out.is_empty() && self.waiting.is_empty() {
                if let Some(flush) = self.flush.take() {
                    let _ = flush.send(());
                }
                if self.closed {
                    return;
                }
            }
            // From here on something is on its way, or there is room to take: one branch below is always open.
            let room = IN_FLIGHT.saturating_sub(out.len() + self.waiting.len());
            let takes = self.takes() && self.seen.is_empty() && room > 0;
            tokio::select! {
                biased;
                Some(sent) = out.next(), if !out.is_empty() => self.answer(sent, &mut out),
                opened = in_progress(&mut self.opening), if self.opening.is_some() => self.opened(opened),
                item = self.items.recv(), if takes => {
                    self.take(item, room).await;
                }
            }
        }
    }

    /// Takes over what has come, and what comes while the other callers have their turn: those that were answered
    /// together call again together, and a server writes to disk for what it is sent together.
    async fn take(&mut self, first: Option<Item>, room: usize) {
        let Some(first) = first else {
            self.closed = true;
            return;
        };
        self.keep(first);
        tokio::task::yield_now().await;
        while self.takes()
            && self.waiting.len() < room
            && let Ok(item) = self.items.try_recv()
        {
            self.keep(item);
        }
    }

    fn takes(&self) -> bool {
        self.flush.is_none() && !self.closed && self.bytes < BYTES_IN_FLIGHT
    }

    fn keep(&mut self, item: Item) {
        match item {
            Item::Message(outgoing) => {
                self.bytes += outgoing.message.body.len();
                self.waiting.push(*outgoing);
            }
            Item::Flush(answer) => self.flush = Some(answer),
        }
    }

    /// Where to send what waits; begins to connect when there is nothing.
    fn ready(&mut self) -> Option<Arc<Lane>> {
        // While returns are looked for nothing may join.
        if self.waiting.is_empty() || !self.seen.is_empty() || self.opening.is_some() {
            return None;
        }
        let Some(lane) = self.lane.clone().filter(|lane| lane.is_open()) else {
            self.opening = Some(open(self.link.clone()).boxed());
            return None;
        };
        if let Some(reason) = lane.wire.blocked() {
            self.refuse(&blocked(&reason));
            return None;
        }
        Some(lane)
    }

    fn opened(&mut self, opened: Result<Lane, BrokerError>) {
        self.opening = None;
        match opened {
            Ok(lane) => self.lane = Some(Arc::new(lane)),
            Err(error) => self.refuse(&error),
        }
    }

    fn refuse(&mut self, error: &BrokerError) {
        for outgoing in mem::take(&mut self.waiting) {
            self.bytes -= outgoing.message.body.len();
            let _ = outgoing.answer.send(Err(again(error)));
        }
    }

    /// Answers everybody whose confirm has come, unless a return is among them and other confirms are still to come.
    fn answer(&mut self, first: Sent, out: &mut FuturesUnordered<impl Future<Output = Sent>>) {
        self.look_at(first);
        while let Some(Some(sent)) = out.next().now_or_never() {
            self.look_at(sent);
        }
        if out.is_empty() || self.seen.iter().all(|sent| sent.returned.is_none()) {
            tell(mem::take(&mut self.seen));
        }
    }

    fn look_at(&mut self, sent: Sent) {
        self.bytes -= sent.bytes;
        if matches!(sent.fate, Fate::Silent(_)) {
            self.lane.take_if(|lane| Arc::ptr_eq(lane, &sent.lane));
            if sent.lane.wire.blocked().is_none() {
                // A frozen server or a dead path: nothing else on this connection will be answered either.
                sent.lane.wire.forsake();
            }
        }
        self.seen.push(sent);
    }
}

/// An open connection that takes publishes, and a channel in confirm mode.
async fn open(link: Arc<Link>) -> Result<Lane, BrokerError> {
    let wire = link.open().await?;
    if let Some(reason) = wire.blocked() {
        return Err(blocked(&reason));
    }
    let channel = wire.channel().await?;
    wire.ask("asking for confirms", channel.confirm_select(ConfirmSelectOptions::default())).await?;
    Ok(Lane { wire, channel })
}

fn blocked(reason: &str) -> BrokerError {
    unavailable(format!("the server blocks publishing: {reason}"))
}

async fn in_progress(opening: &mut Option<Opening>) -> Result<Lane, BrokerError> {
    match opening {
        Some(opening) => opening.await,
        None => std::future::pending().await,
    }
}
