//! A virtual host of one test: system C's queue names are fixed, so each test needs a broker of its own.
//!
//! It is deleted after its value, with everything that processes declared in it.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use backshift_testkit::{reaper, servers, wait};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind,
    options::{
        BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
        QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use serde_json::Value;
use url::Url;

use super::PATIENCE;

/// System C's exchange.
pub(crate) const EXCHANGE: &str = "smtp_send_email_exc";

/// The virtual host and a connection that the programs under test know nothing of.
pub(crate) struct Vhost {
    name: String,
    url: String,
    management: Url,
    channel: Channel,
    _connection: Connection,
}

/// A message that was taken out of a queue.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) body: Vec<u8>,
    pub(crate) properties: BasicProperties,
}

impl Letter {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        match self.properties.headers().as_ref()?.inner().get(name)? {
            AMQPValue::LongString(text) => Some(text.to_string()),
            AMQPValue::LongInt(number) => Some(number.to_string()),
            AMQPValue::LongLongInt(number) => Some(number.to_string()),
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// A user of one virtual host; it is deleted with its value.
pub(crate) struct User {
    management: Url,
    name: String,
    vhost: String,
    /// How this user reaches the virtual host.
    pub(crate) url: String,
}

impl User {
    /// What it may declare from now on: a regular expression. It may write and read everything.
    pub(crate) fn may_declare(&self, names: &str) {
        let rights = serde_json::json!({"configure": names, "write": ".*", "read": ".*"}).to_string();
        let path = format!("/api/permissions/{}/{}", self.vhost, self.name);
        ask(&self.management, "PUT", &path, &rights).expect("rights can be given");
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if let Err(error) = ask(&self.management, "DELETE", &format!("/api/users/{}", self.name), "") {
            eprintln!("user {} stays behind: {error}", self.name);
        }
    }
}

impl Vhost {
    /// A user with a name of its own, who may declare these names only.
    pub(crate) fn user(&self, may_declare: &str) -> User {
        let (name, management) = (servers::unique_name("limited"), self.management.clone());
        let body = serde_json::json!({"password": name, "tags": ""}).to_string();
        ask(&management, "PUT", &format!("/api/users/{name}"), &body).expect("a user can be made");
        let mut url = Url::parse(&self.url).unwrap();
        url.set_username(&name).unwrap();
        url.set_password(Some(&name)).unwrap();
        let user = User { management, name, vhost: self.name.clone(), url: url.into() };
        user.may_declare(may_declare);
        user
    }

    /// Declares a queue with these arguments, as somebody else would.
    pub(crate) async fn declare(&self, queue: &str, arguments: FieldTable) {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(queue.into(), options, arguments).await.unwrap();
    }

    /// Puts a message into a queue.
    pub(crate) async fn put(&self, queue: &str, body: &str, properties: BasicProperties) {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let put = self.channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), properties);
        put.await.unwrap().await.unwrap();
    }

    /// A new one on the server of `require("RABBITMQ_URL")`; `None` = skip the test.
    pub(crate) async fn create() -> Option<Self> {
        let mut url = Url::parse(&servers::require("RABBITMQ_URL")?).unwrap();
        let management = Url::parse(&servers::require("RABBITMQ_MANAGEMENT_URL")?).unwrap();
        let name = servers::unique_name("scenario");
        let user = management.username().to_owned();
        ask(&management, "PUT", &format!("/api/vhosts/{name}"), "{}").expect("the virtual host is made");
        let rights = r#"{"configure":".*","write":".*","read":".*"}"#;
        ask(&management, "PUT", &format!("/api/permissions/{name}/{user}"), rights).expect("and may be used");
        url.set_path(&name);
        let connection = Connection::connect(url.as_str(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let this = Self { name, url: url.into(), management, channel, _connection: connection };
        this.declare_exchange().await;
        Some(this)
    }

    /// Its URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    async fn declare_exchange(&self) {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declared = self.channel.exchange_declare(
            EXCHANGE.into(),
            ExchangeKind::Fanout,
            options,
            FieldTable::default(),
        );
        declared.await.unwrap();
    }

    /// A durable queue beside system C's, bound to its exchange as a neighbour would have it.
    pub(crate) async fn neighbour(&self, queue: &str) {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
        let bound = self.channel.queue_bind(
            queue.into(),
            EXCHANGE.into(),
            "".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        bound.await.unwrap();
    }

    /// Publishes to system C's exchange; returns when the server has it.
    pub(crate) async fn publish(&self, body: impl AsRef<[u8]>, properties: BasicProperties) {
        let options = BasicPublishOptions::default();
        let published =
            self.channel.basic_publish(EXCHANGE.into(), "".into(), options, body.as_ref(), properties).await;
        published.unwrap().await.unwrap();
    }

    /// Publishes as system C's producer does: nothing but a content type.
    pub(crate) async fn publish_bare(&self, body: impl AsRef<[u8]>) {
        self.publish(body, BasicProperties::default().with_content_type("text/plain".into())).await;
    }

    /// A persistent mail with these fields.
    pub(crate) async fn publish_mail(&self, to: &str, subject: &str) {
        let body =
            serde_json::json!({"Recipient": to, "Subject": subject, "Body": "<p>hello</p>"}).to_string();
        let properties = BasicProperties::default().with_content_type("text/plain".into());
        self.publish(body, properties.with_delivery_mode(2)).await;
    }

    /// Waits for a message in a queue that nobody consumes and takes it out.
    #[track_caller]
    pub(crate) fn take(&self, queue: &str) -> impl Future<Output = Letter> {
        let caller = std::panic::Location::caller();
        async move {
            let taken = wait::until_some(PATIENCE, || self.look(queue)).await;
            taken.unwrap_or_else(|| panic!("nothing came to {queue} ({caller})"))
        }
    }

    /// Takes a message out if there is one; a missing queue is empty.
    pub(crate) async fn look(&self, queue: &str) -> Option<Letter> {
        // A missing queue would end the channel.
        self.depth(queue).await.filter(|ready| *ready > 0)?;
        let got = self.channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap()?;
        Some(Letter { body: got.delivery.data, properties: got.delivery.properties })
    }

    /// How many messages are ready; `None` = there is no such queue.
    pub(crate) async fn depth(&self, queue: &str) -> Option<u32> {
        let channel = self._connection.create_channel().await.unwrap();
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let answer = channel.queue_declare(queue.into(), passive, FieldTable::default()).await.ok()?;
        let _ = channel.close(200, "done".into()).await;
        Some(answer.message_count())
    }

    /// Closes every connection of the virtual host but this one, as an operator can; how many there were. The server
    /// lists a new connection only after some seconds.
    pub(crate) fn close_connections(&self) -> usize {
        let text =
            ask(&self.management, "GET", &format!("/api/vhosts/{}/connections", self.name), "").unwrap();
        let list: Value = serde_json::from_str(&text).unwrap();
        let ours = |c: &&Value| !c["client_properties"]["connection_name"].is_null();
        let names = list.as_array().unwrap().iter().filter(ours).filter_map(|c| c["name"].as_str());
        let close = |name: &str| {
            let path = format!("/api/connections/{}", name.replace(' ', "%20").replace('>', "%3E"));
            ask(&self.management, "DELETE", &path, "").is_ok()
        };
        names.filter(|name| close(name)).count()
    }

    /// Deletes a queue with what is in it, under whoever consumes it.
    pub(crate) async fn delete_queue(&self, queue: &str) {
        let options = lapin::options::QueueDeleteOptions::default();
        self.channel.queue_delete(queue.into(), options).await.unwrap();
    }

    /// Whether the server is of version 4.
    pub(crate) fn is_version_4(&self) -> bool {
        let text = ask(&self.management, "GET", "/api/overview", "").expect("the server describes itself");
        let overview: Value = serde_json::from_str(&text).unwrap();
        overview["rabbitmq_version"].as_str().is_some_and(|version| version.starts_with('4'))
    }

    /// What the management API says about a queue; empty statistics may be seconds old.
    pub(crate) fn queue(&self, queue: &str) -> Option<Value> {
        let text = ask(&self.management, "GET", &format!("/api/queues/{}/{queue}", self.name), "").ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Whether system C's exchange feeds this queue.
    pub(crate) fn is_bound(&self, queue: &str) -> bool {
        let path = format!("/api/queues/{}/{queue}/bindings", self.name);
        let bindings: Option<Value> =
            ask(&self.management, "GET", &path, "").ok().and_then(|text| serde_json::from_str(&text).ok());
        let bindings = bindings.as_ref().and_then(Value::as_array);
        bindings.is_some_and(|all| all.iter().any(|binding| binding["source"] == EXCHANGE))
    }

    /// Waits until the queue holds nothing, ready or unacknowledged. What the server says about unacknowledged ones
    /// may be five seconds old: who must know ends the workers and looks at [`Self::depth`].
    pub(crate) async fn wait_settled(&self, queue: &str) {
        let settled = wait::until(PATIENCE, || async {
            self.queue(queue).is_some_and(|q| q["messages"].as_u64() == Some(0))
                && self.depth(queue).await == Some(0)
        });
        assert!(
            settled.await,
            "{queue} is not settled: {:?}",
            self.queue(queue).map(|q| q["messages"].clone())
        );
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        let (management, path) = (self.management.clone(), format!("/api/vhosts/{}", self.name));
        reaper::later(format!("virtual host {}", self.name), move || {
            ask(&management, "DELETE", &path, "").map(drop)
        });
    }
}

/// One request to the management API; blocking, because it also runs on the reaper's thread. Short ones: a test's own
/// runtime stands still meanwhile.
fn ask(management: &Url, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let at = (management.host_str().unwrap_or("127.0.0.1"), management.port().unwrap_or(15672));
    let credentials = format!("{}:{}", management.username(), management.password().unwrap_or_default());
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let text = format!(
        "{method} {path} HTTP/1.0\r\nHost: {}\r\nAuthorization: Basic {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        at.0,
        STANDARD.encode(credentials),
        body.len()
    );
    stream.write_all(text.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split(' ').nth(1) {
        Some(code) if code.starts_with('2') => {
            Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
        }
        _ => Err(std::io::Error::other(answer)),
    }
}
