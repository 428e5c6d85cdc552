//! RabbitMQ twice: the distribution's 3.10, and 4.x unpacked from the next release of Debian. Each node gets an epmd
//! of its own, so that it neither joins nor disturbs nor leaves behind anybody's.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{Launch, Service, Signal, Site, Tuning, account::Account, command::run, programs, unpack, wire};

/// A RabbitMQ of one version; account `guest`/`guest`, loopback only, management and consistent-hash plugins on.
#[derive(Debug)]
pub struct RabbitMq {
    name: &'static str,
    url: &'static str,
    management: &'static str,
    unpacked: bool,
}

/// Where one version's programs are.
struct Programs {
    scripts: PathBuf,
    erlang: PathBuf,
    epmd: PathBuf,
}

impl RabbitMq {
    /// The version that the distribution installs (3.10 on Debian 12).
    pub const DISTRIBUTION: Self = Self {
        name: "rabbitmq",
        url: "BACKSHIFT_TEST_RABBITMQ_URL",
        management: "BACKSHIFT_TEST_RABBITMQ_MANAGEMENT_URL",
        unpacked: false,
    };
    /// A 4.x beside it.
    pub const FOUR: Self = Self {
        name: "rabbitmq4",
        url: "BACKSHIFT_TEST_RABBITMQ4_URL",
        management: "BACKSHIFT_TEST_RABBITMQ4_MANAGEMENT_URL",
        unpacked: true,
    };

    fn programs(&self, site: &Site) -> Result<Programs> {
        let beside =
            |program: &Path| program.parent().map(Path::to_path_buf).context("a file has a directory");
        if !self.unpacked {
            let erl = programs::which("erl").context("Erlang is nowhere to be found")?;
            let (script, epmd) = (programs::find("rabbitmq-server")?, programs::find("epmd")?);
            return Ok(Programs { scripts: beside(&script)?, erlang: beside(&erl)?, epmd });
        }
        let cache =
            site.cache.as_deref().context("RabbitMQ 4 is unpacked by `cargo xtask services` alone")?;
        let tree = unpack::rabbitmq4(cache)?;
        let scripts = subdirectory(&tree.join("usr/lib/rabbitmq/lib"), "rabbitmq_server-")?.join("sbin");
        let erlang = tree.join("usr/lib/erlang");
        let epmd = subdirectory(&erlang, "erts-")?.join("bin/epmd");
        Ok(Programs { scripts, erlang: erlang.join("bin"), epmd })
    }

    /// Runs one command of `rabbitmqctl`.
    fn control(&self, site: &Site, args: &[&str]) -> Result<()> {
        let programs = self.programs(site)?;
        let mut command = Command::new(programs.scripts.join("rabbitmqctl"));
        command.env_clear().envs(environment(site, &programs)?).current_dir(&site.dir).args(args);
        Account::apply(site.account, &mut command);
        run(&mut command).map(drop)
    }
}

impl Service for RabbitMq {
    fn name(&self) -> &'static str {
        self.name
    }

    /// The 4.x node borrows the account that the package creates.
    fn program(&self) -> &'static str {
        "rabbitmq-server"
    }

    fn ports(&self) -> &'static [&'static str] {
        &["main", "management", "distribution", "epmd", "encrypted"]
    }

    fn account(&self) -> &'static str {
        "rabbitmq"
    }

    fn prepare(&self, site: &Site) -> Result<()> {
        for dir in ["home", "logs", "mnesia"] {
            site.make_dir(dir)?;
        }
        if let Some((certificate, key)) = &site.wishes.certificate {
            site.write_secret("server.crt", certificate)?;
            site.write_secret("server.key", key)?;
        }
        site.write("rabbitmq.conf", &configuration(site)?)?;
        site.write("enabled_plugins", "[rabbitmq_management,rabbitmq_consistent_hash_exchange].\n").map(drop)
    }

    /// Its name server, which outlives the node's death.
    fn companion(&self, site: &Site) -> Result<Option<Launch>> {
        let programs = self.programs(site)?;
        let args =
            ["-port".to_owned(), site.port("epmd")?.to_string(), "-address".into(), "127.0.0.1".into()];
        let envs = environment(site, &programs)?;
        Ok(Some(Launch::new(programs.epmd, args).with_envs(envs)))
    }

    fn launch(&self, site: &Site) -> Result<Launch> {
        let programs = self.programs(site)?;
        let envs = environment(site, &programs)?;
        let launch = Launch::new(programs.scripts.join("rabbitmq-server"), [""; 0]).with_envs(envs);
        // By then the node is gone and only its shell waits.
        Ok(launch.stopped_by(Signal::Kill))
    }

    fn node(&self, site: &Site) -> Option<u32> {
        std::fs::read_to_string(site.file("pid")).ok()?.trim().parse().ok()
    }

    fn probe(&self, site: &Site) -> Result<()> {
        let port = site.port("management")?;
        let overview: Value = serde_json::from_str(&wire::http_get(port, "/api/overview")?)?;
        let node = overview["node"].as_str().unwrap_or_default();
        // A container has a name of its own.
        if site.pid.is_some() && node != node_name(site) {
            bail!("port {port} belongs to another RabbitMQ ({node:?})");
        }
        if self.unpacked && !overview["rabbitmq_version"].as_str().unwrap_or_default().starts_with("4.") {
            bail!("{} is not a RabbitMQ 4.x", self.name);
        }
        // The node opens the listener for clients last.
        wire::connect(site.port("main")?).map(drop)
    }

    fn url(&self, site: &Site) -> Result<String> {
        Ok(format!("amqp://guest:guest@127.0.0.1:{}/%2f", site.port("main")?))
    }

    fn encrypted_url(&self, site: &Site) -> Option<String> {
        site.wishes.certificate.as_ref()?;
        Some(format!("amqps://guest:guest@127.0.0.1:{}/%2f", site.port("encrypted").ok()?))
    }

    fn variables(&self, site: &Site) -> Result<Vec<(&'static str, String)>> {
        let management = format!("http://guest:guest@127.0.0.1:{}", site.port("management")?);
        Ok(vec![(self.url, self.url(site)?), (self.management, management)])
    }

    /// Whether every quorum queue is in the directory from which a killed node finds them again.
    ///
    /// RabbitMQ 3.10 writes a new queue there only after about a second; one that is killed before comes back with a
    /// queue that has no leader and answers nobody, for good: see docs/spec/faults.md.
    fn may_be_killed(&self, site: &Site) -> bool {
        let node = node_name(site);
        let queues = site.file("mnesia").join(&node).join("quorum").join(&node);
        let written = std::fs::read(queues.join("names.dets")).unwrap_or_default();
        let entries = std::fs::read_dir(queues).into_iter().flatten().flatten();
        let mut made = entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name());
        made.all(|name| written.windows(name.len()).any(|part| part == name.as_encoded_bytes()))
    }

    /// Delivered and not, as far as the node's statistics know.
    fn queues(&self, site: &Site) -> Result<BTreeMap<String, u64>> {
        let answer = wire::http_get(site.port("management")?, "/api/queues")?;
        let queues: Vec<Value> = serde_json::from_str(&answer).context("RabbitMQ lists no queues")?;
        let counted = queues.iter().map(|queue| {
            let name = queue["name"].as_str().unwrap_or_default().to_owned();
            let messages = queue["messages"].as_u64();
            Ok((name, messages.with_context(|| format!("queue {} is not counted yet", queue["name"]))?))
        });
        counted.collect()
    }

    fn tune(&self, site: &Site, tuning: Tuning) -> Result<()> {
        match tuning {
            // The share of the machine's memory at which the alarm begins.
            Tuning::MemoryAlarm(on) => {
                self.control(site, &["set_vm_memory_high_watermark", if on { "0.000001" } else { "0.4" }])
            }
            // Its own default is half an hour.
            Tuning::AckTimeout(after) => {
                let set = |name: &str, value: u128| format!("application:set_env(rabbit, {name}, {value})");
                let (limit, look) = (after.as_millis(), after.as_millis() / 2);
                let both = [set("consumer_timeout", limit), set("channel_tick_interval", look)].join(", ");
                self.control(site, &["eval", &format!("{both}.")])
            }
        }
    }
}

fn node_name(site: &Site) -> String {
    format!("backshift{}@localhost", site.nonce)
}

fn configuration(site: &Site) -> Result<String> {
    let mut text = format!(
        "listeners.tcp.1 = 127.0.0.1:{}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {}\n\
         loopback_users = none\ndisk_free_limit.absolute = 50MB\nvm_memory_high_watermark.absolute = {}\n\
         collect_statistics_interval = 1000\n",
        site.port("main")?,
        site.port("management")?,
        if site.wishes.small { "768MB" } else { "4GB" },
    );
    if site.wishes.certificate.is_some() {
        let (port, dir) = (site.port("encrypted")?, site.dir.display());
        text += &format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.certfile = {dir}/server.crt\n\
             ssl_options.keyfile = {dir}/server.key\nssl_options.verify = verify_none\n\
             ssl_options.fail_if_no_peer_cert = false\n"
        );
    }
    Ok(text)
}

/// What each of its programs is told: where everything is.
fn environment(site: &Site, programs: &Programs) -> Result<Vec<(&'static str, OsString)>> {
    let path = format!("{}:{}:/usr/bin:/bin", programs.scripts.display(), programs.erlang.display());
    let text = |port: &str| Ok::<_, anyhow::Error>(OsString::from(site.port(port)?.to_string()));
    Ok(vec![
        ("PATH", path.into()),
        ("HOME", site.file("home").into()),
        ("RABBITMQ_NODENAME", node_name(site).into()),
        ("RABBITMQ_NODE_PORT", text("main")?),
        ("RABBITMQ_DIST_PORT", text("distribution")?),
        ("ERL_EPMD_PORT", text("epmd")?),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
        ("RABBITMQ_MNESIA_BASE", site.file("mnesia").into()),
        ("RABBITMQ_LOG_BASE", site.file("logs").into()),
        ("RABBITMQ_LOGS", site.file("logs/rabbit.log").into()),
        ("RABBITMQ_PID_FILE", site.file("pid").into()),
        ("RABBITMQ_CONFIG_FILE", site.file("rabbitmq.conf").into()),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", site.file("enabled_plugins").into()),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null".into()),
        // Two schedulers that sleep instead of spinning: the machine is shared with builds and other servers.
        ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none".into()),
    ])
}

fn subdirectory(dir: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("{} is missing", dir.display()))?;
    let found = entries.flatten().find(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    found.map(|entry| entry.path()).with_context(|| format!("{} holds no {prefix}*", dir.display()))
}
