//! Confirmed publishing: concurrent callers share groups, several groups are in flight on channels of their own.
//!
//! A channel carries one group at a time. lapin hands a returned message to whichever confirm comes next; only when
//! all confirms of a channel belong to one group can the return be matched to its message with certainty.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use backshift_core::{BrokerError, Bytes};
use futures::future::join_all;
use lapin::{
    BasicProperties, Channel, Confirmation, ErrorKind,
    message::BasicReturnMessage,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::timeout,
};

use super::{
    config::Config,
    connection::{Link, Wire},
    error::{again, rejected, reply_code, unavailable, unknown},
};

/// Groups in flight, each on its own channel; with [`GROUP`] messages each, about 2,000 confirms are outstanding.
const LANES: u32 = 4;
/// So many messages go out although other groups are not confirmed yet; fewer wait for them.
const WORTH_A_LANE: usize = 128;
/// … but not longer than this: another queue's confirm may be slow.
const LONGEST_WAIT: Duration = Duration::from_millis(2);
/// The most messages in one group.
const GROUP: usize = 512;
/// A group is closed when its bodies have this many bytes.
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// One message on its way out.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Empty = the default exchange, the routing key is the queue.
    pub(super) exchange: String,
    pub(super) routing_key: String,
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
}

/// Publishes for the whole process over one connection. Cheap to share.
pub(super) struct Publisher {
    lanes: Arc<Lanes>,
    door: OnceLock<mpsc::Sender<Item>>,
}

struct Lanes {
    config: Arc<Config>,
    link: Link,
    /// Channels that carry nothing, with the connection they live on.
    idle: Mutex<Vec<(Arc<Wire>, Channel)>>,
}

enum Item {
    Message(Box<Outgoing>),
    Flush(oneshot::Sender<()>),
}

struct Outgoing {
    message: Message,
    answer: oneshot::Sender<Result<(), BrokerError>>,
}

impl Publisher {
    pub(super) fn new(config: Arc<Config>) -> Self {
        let lanes = Lanes { link: Link::new(config.clone(), "publishing"), config, idle: Mutex::default() };
        Self { lanes: Arc::new(lanes), door: OnceLock::new() }
    }

    /// Publishes one message and waits for its confirm.
    pub(super) async fn publish(&self, message: Message) -> Result<(), BrokerError> {
        let (answer, answered) = oneshot::channel();
        if self.door().send(Item::Message(Box::new(Outgoing { message, answer }))).await.is_err() {
            return Err(BrokerError::Closed);
        }
        answered.await.unwrap_or(Err(BrokerError::Closed))
    }

    /// The connection, for a sign of life.
    pub(super) async fn wire(&self) -> Result<Arc<Wire>, BrokerError> {
        self.lanes.link.open().await
    }

    /// Waits for everything that was handed over so far, and ends the connection.
    pub(super) async fn close(&self) {
        if let Some(door) = self.door.get() {
            let (answer, answered) = oneshot::channel();
            if door.send(Item::Flush(answer)).await.is_ok() {
                let _ = answered.await;
            }
        }
        self.lanes.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.lanes.link.close().await;
    }

    fn door(&self) -> &mpsc::Sender<Item> {
        self.door.get_or_init(|| {
            let (sender, receiver) = mpsc::channel(2 * GROUP);
            tokio::spawn(dispatch(self.lanes.clone(), receiver));
            sender
        })
    }
}

/// What goes out together.
#[derive(Default)]
struct Group {
    messages: Vec<Outgoing>,
    bytes: usize,
    /// Told when everything up to here is answered; ends the group.
    flush: Option<oneshot::Sender<()>>,
}

impl Group {
    fn push(&mut self, item: Item) {
        match item {
            Item::Message(outgoing) => {
                self.bytes += outgoing.message.body.len();
                self.messages.push(*outgoing);
            }
            Item::Flush(answer) => self.flush = Some(answer),
        }
    }

    fn is_full(&self) -> bool {
        self.flush.is_some() || self.messages.len() >= GROUP || self.bytes >= GROUP_BYTES
    }

    fn is_worth_a_lane(&self) -> bool {
        self.is_full() || self.messages.len() >= WORTH_A_LANE
    }

    fn fill(&mut self, receiver: &mut mpsc::Receiver<Item>) {
        while !self.is_full()
            && let Ok(item) = receiver.try_recv()
        {
            self.push(item);
        }
    }
}

/// Forms groups out of what waits while lanes are busy; ends with the publisher.
async fn dispatch(lanes: Arc<Lanes>, mut receiver: mpsc::Receiver<Item>) {
    let free = Arc::new(Semaphore::new(LANES as usize));
    while let Some(first) = receiver.recv().await {
        let Ok(lane) = free.clone().acquire_owned().await else { return };
        let mut group = Group::default();
        group.push(first);
        // Callers that were answered together call again together: one turn of theirs gathers them.
        tokio::task::yield_now().await;
        group.fill(&mut receiver);
        // A server writes to disk for each group that it confirms: few messages wait for the group before them.
        let patience = tokio::time::sleep(LONGEST_WAIT);
        tokio::pin!(patience);
        while !group.is_worth_a_lane() {
            tokio::select! {
                biased;
                _ = free.acquire_many(LANES - 1) => break,
                item = receiver.recv() => match item {
                    Some(item) => group.push(item),
                    None => break,
                },
                () = &mut patience => break,
            }
        }
        group.fill(&mut receiver);
        tokio::spawn(send(lanes.clone(), group.messages, lane));
        if let Some(answer) = group.flush {
            let _ = free.acquire_many(LANES).await;
            let _ = answer.send(());
        }
    }
}

async fn send(lanes: Arc<Lanes>, group: Vec<Outgoing>, lane: OwnedSemaphorePermit) {
    let (messages, answers): (Vec<_>, Vec<_>) = group.into_iter().map(|o| (o.message, o.answer)).unzip();
    let results = match lanes.ready().await {
        Ok((wire, channel)) => lanes.publish_group(&wire, channel, &messages).await,
        Err(error) => messages.iter().map(|_| Err(again(&error))).collect(),
    };
    drop(lane);
    for (answer, result) in answers.into_iter().zip(results) {
        let _ = answer.send(result);
    }
}

/// What is known about one message of a group.
enum Fate {
    Confirmed,
    Refused,
    NotSent(lapin::Error),
    Broken(lapin::Error),
    Silent,
}

impl Lanes {
    /// An open connection that takes publishes and a channel in confirm mode that carries nothing.
    async fn ready(&self) -> Result<(Arc<Wire>, Channel), BrokerError> {
        let wire = self.link.open().await?;
        if let Some(reason) = wire.blocked() {
            return Err(unavailable(format!("the server blocks publishing: {reason}")));
        }
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        while let Some((home, channel)) = idle() {
            if Arc::ptr_eq(&home, &wire) && channel.status().connected() {
                return Ok((wire, channel));
            }
        }
        let channel = wire.channel().await?;
        wire.ask("asking for confirms", channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok((wire, channel))
    }

    async fn publish_group(
        &self,
        wire: &Arc<Wire>,
        channel: Channel,
        messages: &[Message],
    ) -> Vec<Result<(), BrokerError>> {
        let limit = self.config.options.confirm_timeout;
        let waits = messages.iter().map(|message| async {
            let confirmed = timeout(limit, publish_one(&channel, message)).await;
            confirmed.unwrap_or((Fate::Silent, None))
        });
        let (fates, returns): (Vec<_>, Vec<_>) = join_all(waits).await.into_iter().unzip();
        let unroutable = match_returns(messages, returns.into_iter().flatten().collect());
        if fates.iter().any(|fate| matches!(fate, Fate::Silent)) {
            if wire.blocked().is_none() {
                // A frozen server or a dead path: nothing else on this connection will be answered either.
                self.link.discard(wire).await;
            }
        } else if channel.status().connected() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((wire.clone(), channel));
        }
        let judged = messages.iter().zip(fates).zip(unroutable);
        judged.map(|((message, fate), unroutable)| self.judge(wire, message, fate, unroutable)).collect()
    }

    fn judge(
        &self,
        wire: &Wire,
        message: &Message,
        fate: Fate,
        unroutable: Option<String>,
    ) -> Result<(), BrokerError> {
        let to = match message.exchange.as_str() {
            "" => format!("queue {}", message.routing_key),
            exchange => format!("exchange {exchange}"),
        };
        match (fate, unroutable) {
            (Fate::Confirmed | Fate::Refused, Some(reply)) => Err(rejected(format!(
                "unroutable: nothing takes messages for {to} ({reply}); start a worker for it or declare it first"
            ))),
            (Fate::Confirmed, None) => Ok(()),
            (Fate::Refused, None) => Err(unavailable(format!(
                "{to} took no more messages (nack): it is full or its replicas are away"
            ))),
            (Fate::NotSent(error), _) => Err(unavailable(format!("publishing to {to}: {error}"))),
            (Fate::Broken(error), _) if reply_code(&error) == Some(404) && !message.exchange.is_empty() => {
                Err(rejected(format!("unroutable: {error}; declare {to} first")))
            }
            (Fate::Broken(error), _) => Err(unknown(format!("publishing to {to}: {error}"))),
            (Fate::Silent, _) => {
                let why = wire.blocked().map(|reason| format!(" (the server blocks publishing: {reason})"));
                let limit = self.config.options.confirm_timeout;
                Err(unknown(format!("no confirm from {to} within {limit:?}{}", why.unwrap_or_default())))
            }
        }
    }
}

async fn publish_one(channel: &Channel, message: &Message) -> (Fate, Option<BasicReturnMessage>) {
    let (Ok(exchange), Ok(key)) =
        (ShortString::try_new(&*message.exchange), ShortString::try_new(&*message.routing_key))
    else {
        // Names are checked where messages are made; nothing was sent.
        return (Fate::NotSent(ErrorKind::InvalidChannel(channel.id()).into()), None);
    };
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let properties = message.properties.clone();
    let sent = channel.basic_publish(exchange, key, options, &message.body, properties).await;
    let confirm = match sent {
        Ok(confirm) => confirm.await,
        Err(error) if matches!(error.kind(), ErrorKind::InvalidChannelState(..)) => {
            return (Fate::NotSent(error), None);
        }
        Err(error) => Err(error),
    };
    match confirm {
        Ok(Confirmation::Ack(returned)) => (Fate::Confirmed, returned),
        Ok(Confirmation::Nack(returned)) => (Fate::Refused, returned),
        // Never on a channel in confirm mode.
        Ok(Confirmation::NotRequested) => (Fate::Silent, None),
        Err(error) => (Fate::Broken(error), None),
    }
}

/// For each message the server's reply, if the server returned it. Identity is route and message id.
fn match_returns(messages: &[Message], returns: Vec<BasicReturnMessage>) -> Vec<Option<String>> {
    let mut replies: Vec<Option<String>> = messages.iter().map(|_| None).collect();
    for returned in returns {
        let same = |message: &Message| {
            message.exchange == returned.exchange.as_str()
                && message.routing_key == returned.routing_key.as_str()
                && message.properties.message_id() == returned.properties.message_id()
        };
        let place = (0..messages.len()).find(|i| replies[*i].is_none() && same(&messages[*i]));
        match place {
            Some(i) => replies[i] = Some(returned.reply_text.to_string()),
            None => tracing::error!(exchange = %returned.exchange, "a message came back that was not sent"),
        }
    }
    replies
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(key: &str, id: &str) -> Message {
        let properties = BasicProperties::default().with_message_id(id.into());
        Message { exchange: String::new(), routing_key: key.into(), properties, body: Bytes::new() }
    }

    fn returned(key: &str, id: &str) -> BasicReturnMessage {
        let properties = BasicProperties::default().with_message_id(id.into());
        let delivery = lapin::message::Delivery::mock(0, "".into(), key.into(), false, vec![]);
        let delivery = lapin::message::Delivery { properties, ..delivery };
        BasicReturnMessage { delivery, reply_code: 312, reply_text: "NO_ROUTE".into() }
    }

    #[test]
    fn a_returned_message_is_matched_by_route_and_id_and_not_by_the_confirm_it_came_with() {
        let group = [message("a", "1"), message("b", "2"), message("b", "3"), message("b", "3")];
        let replies = match_returns(&group, vec![returned("b", "3"), returned("b", "2"), returned("x", "9")]);
        let hit: Vec<bool> = replies.iter().map(Option::is_some).collect();
        assert_eq!(hit, [false, true, true, false]);
    }
}
