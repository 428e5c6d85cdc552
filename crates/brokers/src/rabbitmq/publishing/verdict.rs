//! One message on its way through a channel: what became of it, and what its caller is told.
//!
//! lapin hands a returned message to whichever confirm comes next: a return belongs to the message with its route and
//! id, not to the one it came with.

use std::{sync::Arc, time::Duration};

use backshift_core::BrokerError;
use lapin::{
    BasicProperties, Channel, Confirmation, ErrorKind, message::BasicReturnMessage,
    options::BasicPublishOptions, types::ShortString,
};
use tokio::{sync::oneshot, time::timeout};

use super::outgoing::{Message, Outgoing};
use crate::rabbitmq::{
    error::{rejected, reply_code, unavailable, unknown},
    wire::Wire,
};

/// A channel in confirm mode and the connection it lives on.
pub(crate) struct Lane {
    pub(crate) wire: Arc<Wire>,
    pub(crate) channel: Channel,
}

impl Lane {
    pub(crate) fn is_open(&self) -> bool {
        self.wire.is_open() && self.channel.status().connected()
    }
}

/// What is known about one message.
pub(crate) enum Fate {
    Confirmed,
    Refused,
    NotSent(lapin::Error),
    Broken(lapin::Error),
    Silent(Duration),
}

/// A message whose fate is known.
pub(crate) struct Sent {
    pub(crate) fate: Fate,
    /// A message that the server gave back, which may be another one.
    pub(crate) returned: Option<BasicReturnMessage>,
    pub(crate) lane: Arc<Lane>,
    pub(crate) bytes: usize,
    route: Route,
    answer: oneshot::Sender<Result<(), BrokerError>>,
}

/// Where a message went, and its id.
struct Route {
    exchange: String,
    routing_key: String,
    id: Option<ShortString>,
}

/// Publishes and waits for the confirm, not longer than `limit`.
pub(crate) async fn send(lane: Arc<Lane>, outgoing: Outgoing, limit: Duration) -> Sent {
    let Outgoing { message, answer } = outgoing;
    let Message { exchange, routing_key, properties, body } = message;
    let (bytes, id) = (body.len(), properties.message_id().clone());
    let route = Route { exchange, routing_key, id };
    let names = (ShortString::try_new(&*route.exchange), ShortString::try_new(&*route.routing_key));
    let (fate, returned) = match names {
        (Ok(exchange), Ok(key)) => {
            let published = publish(&lane.channel, exchange, key, properties, &body);
            timeout(limit, published).await.unwrap_or((Fate::Silent(limit), None))
        }
        // Names are checked where messages are made; nothing was sent.
        _ => (Fate::NotSent(ErrorKind::InvalidChannel(lane.channel.id()).into()), None),
    };
    Sent { fate, returned, lane, bytes, route, answer }
}

async fn publish(
    channel: &Channel,
    exchange: ShortString,
    key: ShortString,
    properties: BasicProperties,
    body: &[u8],
) -> (Fate, Option<BasicReturnMessage>) {
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let confirm = match channel.basic_publish(exchange, key, options, body, properties).await {
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
        Ok(Confirmation::NotRequested) => {
            (Fate::Broken(ErrorKind::InvalidChannel(channel.id()).into()), None)
        }
        Err(error) => (Fate::Broken(error), None),
    }
}

/// Tells every caller. All messages that a return among them may belong to have to be among them as well.
pub(crate) fn tell(mut sent: Vec<Sent>) {
    let returns: Vec<_> = sent.iter_mut().filter_map(|one| one.returned.take()).collect();
    let replies = match_returns(sent.iter().map(|one| &one.route).collect(), returns);
    let mut replies = replies.into_iter();
    for Sent { fate, lane, route, answer, .. } in sent {
        let verdict = judge(&lane.wire, &route, fate, replies.next().flatten());
        // A caller that went away needs no answer.
        let _ = answer.send(verdict);
    }
}

/// For each message the server's reply, if the server returned it.
fn match_returns(routes: Vec<&Route>, returns: Vec<BasicReturnMessage>) -> Vec<Option<String>> {
    let mut replies: Vec<Option<String>> = routes.iter().map(|_| None).collect();
    for returned in returns {
        let same = |route: &Route| {
            route.exchange == returned.exchange.as_str()
                && route.routing_key == returned.routing_key.as_str()
                && route.id == *returned.properties.message_id()
        };
        let place = (0..routes.len()).find(|i| replies[*i].is_none() && same(routes[*i]));
        match place {
            Some(i) => replies[i] = Some(returned.reply_text.to_string()),
            None => tracing::error!(exchange = %returned.exchange, "a message came back that was not sent"),
        }
    }
    replies
}

fn judge(wire: &Wire, route: &Route, fate: Fate, unroutable: Option<String>) -> Result<(), BrokerError> {
    let to = match route.exchange.as_str() {
        "" => format!("queue {}", route.routing_key),
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
        (Fate::Broken(error), _) if reply_code(&error) == Some(404) && !route.exchange.is_empty() => {
            Err(rejected(format!("unroutable: {error}; declare {to} first")))
        }
        (Fate::Broken(error), _) if reply_code(&error) == Some(403) => Err(rejected(format!(
            "publishing to {to}: {error}; grant the user write on {}",
            if route.exchange.is_empty() { "amq.default" } else { &route.exchange }
        ))),
        (Fate::Broken(error), _) => Err(unknown(format!("publishing to {to}: {error}"))),
        (Fate::Silent(limit), _) => {
            let why = wire.blocked().map(|reason| format!(" (the server blocks publishing: {reason})"));
            Err(unknown(format!("no confirm from {to} within {limit:?}{}", why.unwrap_or_default())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(key: &str, id: &str) -> Route {
        Route { exchange: String::new(), routing_key: key.into(), id: Some(id.into()) }
    }

    fn returned(key: &str, id: &str) -> BasicReturnMessage {
        let properties = BasicProperties::default().with_message_id(id.into());
        let delivery = lapin::message::Delivery::mock(0, "".into(), key.into(), false, vec![]);
        let delivery = lapin::message::Delivery { properties, ..delivery };
        BasicReturnMessage { delivery, reply_code: 312, reply_text: "NO_ROUTE".into() }
    }

    #[test]
    fn a_returned_message_is_matched_by_route_and_id_and_not_by_the_confirm_it_came_with() {
        let sent = [route("a", "1"), route("b", "2"), route("b", "3"), route("b", "3")];
        let replies = match_returns(
            sent.iter().collect(),
            vec![returned("b", "3"), returned("b", "2"), returned("x", "9")],
        );
        let hit: Vec<bool> = replies.iter().map(Option::is_some).collect();
        assert_eq!(hit, [false, true, true, false]);
    }
}
