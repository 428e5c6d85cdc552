//! Who publishes: persistent, confirmed, mandatory, over a connection that is made anew when the broker is gone.
//!
//! A mail with an id whose confirm is lost is published again under the same id until it is confirmed. One without an
//! id is not: nobody knows whether it was accepted, and a second one would be a mail of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use backshift_testkit::wait;
use futures::future::join_all;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind,
    options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions},
    types::FieldTable,
};
use serde_json::json;
use tokio::{task::JoinHandle, time::timeout};
use uuid::Uuid;

use crate::scene::{EXCHANGE, Smtp};

/// Mails whose confirms are awaited together.
const WINDOW: usize = 20;
const CONFIRM: Duration = Duration::from_secs(5);

/// What is known of the mails that were published, by their recipients.
#[derive(Debug, Clone, Default)]
pub(super) struct Published {
    /// Confirmed; the id that they carry, if they carry one.
    pub(super) accepted: BTreeMap<String, Option<Uuid>>,
    /// Without an id, and the confirm is lost: there once or not at all.
    pub(super) unknown: BTreeSet<String>,
    /// How often a mail was published once more.
    pub(super) repeated: usize,
}

/// Publishes in the background.
pub(super) struct Producer {
    published: Arc<Mutex<Published>>,
    task: JoinHandle<()>,
}

impl Producer {
    /// Publishes so many mails, never more than a fifth of them ahead of the mail server.
    pub(super) fn start(url: &str, mails: usize, smtp: &Arc<Smtp>) -> Self {
        let published = Arc::<Mutex<Published>>::default();
        let work = publish_all(url.to_owned(), mails, Arc::clone(smtp), Arc::clone(&published));
        Self { published, task: tokio::spawn(work) }
    }

    /// Whether every mail was published.
    pub(super) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// So far.
    pub(super) fn published(&self) -> Published {
        self.published.lock().unwrap().clone()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn publish_all(url: String, mails: usize, smtp: Arc<Smtp>, published: Arc<Mutex<Published>>) {
    let ahead = (mails / 5).max(2 * WINDOW);
    let mut open: Vec<(String, Option<Uuid>)> = Vec::new();
    let (mut next, mut line) = (0, None);
    while next < mails || !open.is_empty() {
        while next < mails && open.len() < WINDOW && next < smtp.number() + ahead {
            open.push((format!("person{next}@example.com"), (next % 2 == 0).then(Uuid::now_v7)));
            next += 1;
        }
        if open.is_empty() {
            wait::until(CONFIRM, || async { next < smtp.number() + ahead }).await;
            continue;
        }
        let Some((_, channel)) = &line else {
            line = connect(&url).await;
            continue;
        };
        let sent = join_all(open.iter().map(|(to, id)| publish(channel, to, *id))).await;
        let mut known = published.lock().unwrap();
        let mut again = Vec::new();
        for ((to, id), confirmed) in open.into_iter().zip(sent) {
            match (confirmed, id) {
                (true, id) => drop(known.accepted.insert(to, id)),
                (false, None) => drop(known.unknown.insert(to)),
                (false, Some(id)) => again.push((to, Some(id))),
            }
        }
        known.repeated += again.len();
        if !again.is_empty() {
            line = None;
        }
        open = again;
    }
}

/// A confirming channel; `None` = the broker is away.
async fn connect(url: &str) -> Option<(Connection, Channel)> {
    let made = async {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let fanout = ExchangeKind::Fanout;
        channel.exchange_declare(EXCHANGE.into(), fanout, durable, FieldTable::default()).await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        lapin::Result::Ok((connection, channel))
    };
    let made = timeout(CONFIRM, made).await.ok().and_then(Result::ok);
    if made.is_none() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    made
}

/// Whether the broker has it, in a queue.
async fn publish(channel: &Channel, to: &str, id: Option<Uuid>) -> bool {
    let body =
        json!({"Recipient": to, "Subject": "survival", "Body": format!("<p>hello {to}</p>")}).to_string();
    let properties =
        BasicProperties::default().with_content_type("application/json".into()).with_delivery_mode(2);
    let properties = match id {
        Some(id) => properties.with_message_id(id.to_string().into()),
        None => properties,
    };
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirmed = async {
        let sent = channel.basic_publish(EXCHANGE.into(), "".into(), options, body.as_bytes(), properties);
        sent.await?.await
    };
    matches!(timeout(CONFIRM, confirmed).await, Ok(Ok(Confirmation::Ack(None))))
}
