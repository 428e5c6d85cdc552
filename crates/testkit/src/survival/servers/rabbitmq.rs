//! A private RabbitMQ node with an epmd of its own, so that it neither joins nor disturbs anybody's.
//!
//! The management plug-in is on: it lists every queue, also those that nobody thought of.

use std::{collections::BTreeMap, fs, io, os::unix::fs::PermissionsExt, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::timeout,
};
use uuid::Uuid;

use super::place::Place;
use crate::{ports::free_port, programs};

pub(super) struct RabbitMq {
    pub(super) place: Place,
    node: String,
    port: u16,
    management: u16,
    /// Where it speaks TLS, when it has a certificate.
    encrypted: Option<u16>,
    distribution: u16,
    epmd: u16,
}

/// The real scripts: those in `/usr/sbin` insist on the system's own node.
const SCRIPTS: &str = "/usr/lib/rabbitmq/bin";
/// `guest:guest`.
const GUEST: &str = "Z3Vlc3Q6Z3Vlc3Q=";

impl RabbitMq {
    /// Makes its directories and configuration; with a certificate and its key it also listens for TLS.
    pub(super) fn prepare(certificate: Option<(String, String)>) -> io::Result<Self> {
        let place = Place::new("rabbitmq", "rabbitmq")?;
        let node = format!("backshift{}@localhost", Uuid::now_v7().simple());
        let [port, management, distribution, epmd] = [free_port()?, free_port()?, free_port()?, free_port()?];
        for name in ["home", "logs", "mnesia"] {
            place.account.directory(&place.directory.join(name))?;
        }
        let encrypted = certificate.as_ref().map(|_| free_port()).transpose()?;
        let mut text = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\nmanagement.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {management}\nloopback_users = none\ndisk_free_limit.absolute = 50MB\n\
             vm_memory_high_watermark.absolute = 768MB\ncollect_statistics_interval = 1000\n"
        );
        if let (Some((certificate, key)), Some(port)) = (&certificate, encrypted) {
            for (name, pem) in [("server.crt", certificate), ("server.key", key)] {
                let file = place.directory.join(name);
                place.account.write(&file, pem)?;
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
            }
            let directory = place.directory.display();
            text.push_str(&format!(
                "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.certfile = {directory}/server.crt\n\
                 ssl_options.keyfile = {directory}/server.key\nssl_options.verify = verify_none\n\
                 ssl_options.fail_if_no_peer_cert = false\n"
            ));
        }
        place.account.write(&place.directory.join("rabbitmq.conf"), &text)?;
        place.account.write(&place.directory.join("enabled_plugins"), "[rabbitmq_management].\n")?;
        Ok(Self { place, node, port, management, encrypted, distribution, epmd })
    }

    /// Its name server, which outlives the node's death.
    pub(super) fn name_server(&self) -> io::Result<Command> {
        let mut command = programs::command("epmd")?;
        command.env_clear();
        command.args(["-port", &self.epmd.to_string(), "-address", "127.0.0.1"]);
        Ok(command)
    }

    pub(super) fn command(&self) -> io::Result<Command> {
        Ok(self.script(programs::command("rabbitmq-server")?))
    }

    /// Raises or ends the memory alarm: publishers are blocked, consumers are not.
    pub(super) async fn memory_alarm(&self, on: bool) -> io::Result<()> {
        // The share of the machine's memory at which the alarm begins.
        self.control(&["set_vm_memory_high_watermark", if on { "0.000001" } else { "0.4" }]).await
    }

    /// From now on new channels are closed when a delivery is not acknowledged for so long.
    pub(super) async fn ack_timeout(&self, after: Duration) -> io::Result<()> {
        let (limit, look) = (after.as_millis(), after.as_millis() / 2);
        let set = |name: &str, value: u128| format!("application:set_env(rabbit, {name}, {value})");
        let both = format!("{}, {}.", set("consumer_timeout", limit), set("channel_tick_interval", look));
        self.control(&["eval", &both]).await
    }

    async fn control(&self, arguments: &[&str]) -> io::Result<()> {
        let mut command = self.script(programs::command("rabbitmqctl")?);
        command.args(arguments);
        command.current_dir(&self.place.directory).kill_on_drop(true);
        self.place.account.apply(&mut command);
        let done = command.output().await?;
        match done.status.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!("rabbitmqctl: {}", String::from_utf8_lossy(&done.stderr)))),
        }
    }

    /// One of its programs, told where everything is.
    fn script(&self, mut command: Command) -> Command {
        command.env_clear();
        let inside = |name: &str| self.place.directory.join(name);
        command.env("PATH", format!("{SCRIPTS}:/usr/bin:/bin")).env("HOME", inside("home"));
        command.env("RABBITMQ_NODENAME", &self.node).env("RABBITMQ_NODE_PORT", self.port.to_string());
        command.env("RABBITMQ_DIST_PORT", self.distribution.to_string());
        command.env("ERL_EPMD_PORT", self.epmd.to_string()).env("ERL_EPMD_ADDRESS", "127.0.0.1");
        command.env("RABBITMQ_MNESIA_BASE", inside("mnesia")).env("RABBITMQ_LOG_BASE", inside("logs"));
        command.env("RABBITMQ_LOGS", inside("logs/rabbit.log")).env("RABBITMQ_PID_FILE", inside("pid"));
        command.env("RABBITMQ_CONFIG_FILE", inside("rabbitmq.conf"));
        command.env("RABBITMQ_ENABLED_PLUGINS_FILE", inside("enabled_plugins"));
        command.env("RABBITMQ_CONF_ENV_FILE", "/dev/null");
        // Schedulers that sleep instead of spinning: the machine is shared.
        let quiet = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none";
        command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", quiet);
        command
    }

    pub(super) fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    pub(super) fn encrypted_url(&self) -> Option<String> {
        self.encrypted.map(|port| format!("amqps://guest:guest@127.0.0.1:{port}/%2f"))
    }

    /// The process id of the node itself.
    pub(super) fn node_process(&self) -> Option<u32> {
        std::fs::read_to_string(self.place.directory.join("pid")).ok()?.trim().parse().ok()
    }

    /// Whether every quorum queue is in the directory from which a killed node finds them again.
    ///
    /// RabbitMQ 3.10 writes a new queue there only after about a second; one that is killed before comes back with a
    /// queue that has no leader and answers nobody, for good.
    pub(super) fn is_written(&self) -> bool {
        let queues = self.place.directory.join("mnesia").join(&self.node).join("quorum").join(&self.node);
        let written = std::fs::read(queues.join("names.dets")).unwrap_or_default();
        let entries = std::fs::read_dir(queues).into_iter().flatten().flatten();
        let mut made = entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name());
        made.all(|name| written.windows(name.len()).any(|part| part == name.as_encoded_bytes()))
    }

    /// Whether the listener for clients is open: the node opens it last.
    pub(super) async fn answers(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() && self.ask("/api/overview").await.is_ok()
    }

    /// What stands in each queue, delivered and not, as far as the node's statistics know.
    pub(super) async fn queues(&self) -> io::Result<BTreeMap<String, u64>> {
        let Value::Array(queues) = self.ask("/api/queues").await? else {
            return Err(io::Error::other("RabbitMQ lists no queues"));
        };
        let counted = queues.iter().map(|queue| {
            let name = queue["name"].as_str().unwrap_or_default().to_owned();
            let messages = queue["messages"].as_u64();
            messages
                .map(|messages| (name, messages))
                .ok_or_else(|| io::Error::other(format!("queue {:?} is not counted yet", queue["name"])))
        });
        counted.collect()
    }

    async fn ask(&self, path: &str) -> io::Result<Value> {
        let question = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.management)).await?;
            let request =
                format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Basic {GUEST}\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.take(16 << 20).read_to_end(&mut answer).await?;
            io::Result::Ok(answer)
        };
        let answer = timeout(Duration::from_secs(10), question).await.map_err(io::Error::other)??;
        let text = String::from_utf8_lossy(&answer);
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("no HTTP answer"))?;
        match head.split(' ').nth(1) {
            Some("200") => Ok(serde_json::from_str(body)?),
            _ => Err(io::Error::other(format!("{path}: {}", head.lines().next().unwrap_or_default()))),
        }
    }
}
