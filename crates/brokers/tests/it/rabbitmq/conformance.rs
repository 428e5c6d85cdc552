//! The public conformance suite on this adapter. Each namespace is a virtual host of its own; every connection of
//! a case goes through a proxy, so that a crash looks like one: the wire is cut and nothing is said.

use std::{
    io::{Read, Write},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use backshift_brokers::rabbitmq::{Config, Options, RabbitMqBroker};
use backshift_core::{Broker, Bytes, QueueName};
use backshift_testkit::{
    conformance::{self, BrokerHarness, Corpse, DeadJob, Namespace, Plan},
    servers,
};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicGetOptions, BasicPublishOptions},
};

use super::{proxy::Proxy, site::Site};

pub(super) async fn every_rule_is_kept(site: Site) {
    let report = conformance::broker_suite(Harness(site), &Plan { at_once: 4, ..Plan::default() }).await;
    println!("{report}");
    let failures: Vec<_> =
        report.failures().map(|line| format!("{}: {:?}", line.name, line.detail)).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

struct Harness(Site);

#[async_trait]
impl BrokerHarness for Harness {
    fn name(&self) -> String {
        "rabbitmq".into()
    }

    async fn namespace(&self) -> Result<Arc<dyn Namespace>, String> {
        let vhost = servers::unique_name("conformance");
        for path in [format!("/api/vhosts/{vhost}"), format!("/api/permissions/{vhost}/guest")] {
            let rights = "{\"configure\":\".*\",\"write\":\".*\",\"read\":\".*\"}";
            request(&self.0.management, "PUT", &path, rights).map_err(|error| error.to_string())?;
        }
        let url = format!("{}/{vhost}", self.0.url.rsplit_once('/').map_or("", |(server, _)| server));
        let site = Site { url, management: self.0.management.clone() };
        Ok(Arc::new(Corner { site, vhost, processes: Mutex::default() }))
    }
}

/// One virtual host and the processes that live in it.
struct Corner {
    site: Site,
    vhost: String,
    /// By the address of the broker that was handed out.
    processes: Mutex<Vec<(usize, Proxy)>>,
}

impl Corner {
    async fn channel(&self) -> Result<(Connection, Channel), String> {
        let open = async {
            let connection = Connection::connect(&self.site.url, ConnectionProperties::default()).await?;
            let channel = connection.create_channel().await?;
            lapin::Result::Ok((connection, channel))
        };
        open.await.map_err(|error| error.to_string())
    }
}

#[async_trait]
impl Namespace for Corner {
    async fn connect(&self) -> Result<Arc<dyn Broker>, String> {
        let proxy = Proxy::start(&self.site.url).await;
        let config = Config::from_url(&proxy.url(&self.site), Options::default());
        let config = config.map_err(|error| error.to_string())?;
        let broker: Arc<dyn Broker> = Arc::new(RabbitMqBroker::new(config, Vec::new()));
        self.processes.lock().unwrap().push((address(&broker), proxy));
        Ok(broker)
    }

    async fn crash(&self, corpse: Corpse) -> Result<(), String> {
        // The wire goes first: what the corpse would still say when it is dropped is heard by nobody.
        let dead = address(&corpse.broker);
        let wire = {
            let mut processes = self.processes.lock().unwrap();
            let place = processes.iter().position(|(address, _)| *address == dead);
            place.map(|place| processes.remove(place).1).ok_or("this broker is not from here")?
        };
        wire.die().await;
        drop(corpse);
        Ok(())
    }

    async fn dead_letters(&self, queue: &QueueName) -> Result<Vec<DeadJob>, String> {
        let (_connection, channel) = self.channel().await?;
        let mut found = Vec::new();
        // Nothing is acked, so that everything is back when the channel ends. A missing queue holds nothing.
        let name = format!("{queue}.dlq");
        while let Ok(Some(letter)) = channel.basic_get(name.as_str().into(), BasicGetOptions::default()).await
        {
            let reason = letter.properties.headers().as_ref().and_then(|headers| {
                Some(headers.inner().get("backshift-reason")?.as_long_string()?.to_string())
            });
            let id = letter.properties.message_id().as_ref().and_then(|id| id.as_str().parse().ok());
            let payload = Bytes::from(letter.delivery.data.clone());
            found.push(DeadJob { id, payload, reason: reason.unwrap_or_default() });
        }
        let _ = channel.close(200, "seen".into()).await;
        Ok(found)
    }

    async fn publish_malformed(&self, queue: &QueueName, raw: Bytes) -> Result<bool, String> {
        let (_connection, channel) = self.channel().await?;
        let properties = BasicProperties::default().with_content_type("text/plain".into());
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish("".into(), queue.as_str().into(), options, &raw, properties).await;
        sent.map_err(|error| error.to_string())?;
        let closed = channel.close(200, "sent".into()).await;
        closed.map_err(|error| error.to_string()).map(|()| true)
    }

    async fn cut_connections(&self) -> Result<bool, String> {
        for (_, proxy) in self.processes.lock().unwrap().iter() {
            proxy.cut();
        }
        Ok(true)
    }
}

impl Drop for Corner {
    fn drop(&mut self) {
        let path = format!("/api/vhosts/{}", self.vhost);
        if let Err(error) = request(&self.site.management, "DELETE", &path, "") {
            eprintln!("virtual host {} stays behind: {error}", self.vhost);
        }
    }
}

fn address(broker: &Arc<dyn Broker>) -> usize {
    Arc::as_ptr(broker).cast::<()>().addr()
}

/// One blocking request to the management API on loopback.
fn request(management: &str, method: &str, path: &str, body: &str) -> std::io::Result<()> {
    let at =
        management.rsplit('@').next().unwrap_or_default().trim_start_matches("http://").trim_end_matches('/');
    let mut stream = std::net::TcpStream::connect(at)?;
    let size = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {at}\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\
         Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split(' ').nth(1) {
        Some("201" | "204") => Ok(()),
        _ => Err(std::io::Error::other(answer)),
    }
}
