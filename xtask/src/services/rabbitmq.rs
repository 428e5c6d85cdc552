//! RabbitMQ twice: the distribution's 3.10, and 4.x unpacked from the next release of Debian. Each node gets an epmd
//! of its own, started by us, so that it neither joins nor leaves behind anybody's.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::account::Account;
use super::place::Place;
use super::process::Process;
use super::record::Record;
use super::start::{Service, Site};
use super::{unpack, wire};
use crate::workspace::which;

/// A RabbitMQ of one version; account `guest`/`guest`, loopback only, management and consistent-hash plugins on.
pub(crate) struct RabbitMq {
    name: &'static str,
    url: &'static str,
    management: &'static str,
    unpacked: bool,
}

/// Where the scripts and Erlang's programs of one version are.
struct Programs {
    scripts: PathBuf,
    erlang: PathBuf,
}

impl RabbitMq {
    /// The version that the distribution installs (3.10 on Debian 12).
    pub(crate) const DISTRIBUTION: Self = Self {
        name: "rabbitmq",
        url: "BACKSHIFT_TEST_RABBITMQ_URL",
        management: "BACKSHIFT_TEST_RABBITMQ_MANAGEMENT_URL",
        unpacked: false,
    };
    /// A 4.x beside it.
    pub(crate) const FOUR: Self = Self {
        name: "rabbitmq4",
        url: "BACKSHIFT_TEST_RABBITMQ4_URL",
        management: "BACKSHIFT_TEST_RABBITMQ4_MANAGEMENT_URL",
        unpacked: true,
    };

    fn programs(&self, place: &Place) -> Result<Programs> {
        if !self.unpacked {
            let erlang = which("epmd").and_then(|epmd| Some(epmd.parent()?.to_path_buf()));
            let erlang = erlang.context("Erlang's epmd is nowhere to be found")?;
            return Ok(Programs { scripts: PathBuf::from(DISTRIBUTION_SCRIPTS), erlang });
        }
        let tree = unpack::rabbitmq4(place)?;
        let scripts = subdirectory(&tree.join("usr/lib/rabbitmq/lib"), "rabbitmq_server-")?.join("sbin");
        Ok(Programs { scripts, erlang: tree.join("usr/lib/erlang/bin") })
    }
}

/// The real scripts: those in `/usr/sbin` insist on the system's own node.
pub(super) const DISTRIBUTION_SCRIPTS: &str = "/usr/lib/rabbitmq/bin";

impl Service for RabbitMq {
    fn name(&self) -> &'static str {
        self.name
    }

    fn missing_packages(&self) -> Vec<&'static str> {
        // The 4.x node borrows the account that the package creates.
        if Path::new(DISTRIBUTION_SCRIPTS).join("rabbitmq-server").is_file() {
            Vec::new()
        } else {
            vec!["rabbitmq-server"]
        }
    }

    fn ports(&self) -> &'static [&'static str] {
        &["main", "management", "distribution", "epmd"]
    }

    fn account(&self) -> &'static str {
        "rabbitmq"
    }

    fn start(&self, site: &mut Site<'_>) -> Result<()> {
        let programs = self.programs(site.place)?;
        for dir in ["home", "logs", "mnesia"] {
            Account::own_dir(site.account, &site.dir.join(dir))?;
        }
        site.write("rabbitmq.conf", &configuration(&site.record)?)?;
        site.write("enabled_plugins", "[rabbitmq_management,rabbitmq_consistent_hash_exchange].\n")?;
        let envs = environment(site, &programs)?;
        let epmd = ["-port", &site.record.port("epmd")?.to_string(), "-address", "127.0.0.1"];
        site.launch(&epmd_program(&programs)?, epmd.map(str::to_owned).to_vec(), envs.clone(), "TERM")?;
        // Stopped by KILL: by then the node is gone and only its shell waits.
        site.launch(&programs.scripts.join("rabbitmq-server"), Vec::new(), envs, "KILL")
    }

    fn settle(&self, site: &mut Site<'_>) -> Result<()> {
        let file = site.dir.join("pid");
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("{} is missing", file.display()))?;
        let node = Process::of(text.trim().parse()?, "TERM").context("the node ended")?;
        site.record.processes.reverse();
        site.record.processes.insert(0, node);
        Ok(())
    }

    fn probe(&self, record: &Record) -> Result<()> {
        let port = record.port("management")?;
        let overview: serde_json::Value = serde_json::from_str(&wire::http_get(port, "/api/overview")?)?;
        let node = overview["node"].as_str().unwrap_or_default();
        if !record.processes.is_empty() && node != node_name(record) {
            bail!("port {port} belongs to another RabbitMQ ({node:?})");
        }
        if self.unpacked && !overview["rabbitmq_version"].as_str().unwrap_or_default().starts_with("4.") {
            bail!("{} is not a RabbitMQ 4.x", record.name);
        }
        Ok(())
    }

    fn variables(&self, record: &Record, _dir: &Path) -> Result<Vec<(&'static str, String)>> {
        let (amqp, management) = (record.port("main")?, record.port("management")?);
        Ok(vec![
            (self.url, format!("amqp://guest:guest@127.0.0.1:{amqp}/%2f")),
            (self.management, format!("http://guest:guest@127.0.0.1:{management}")),
        ])
    }
}

fn node_name(record: &Record) -> String {
    format!("backshift{}@localhost", record.nonce)
}

fn configuration(record: &Record) -> Result<String> {
    Ok(format!(
        "listeners.tcp.1 = 127.0.0.1:{}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {}\n\
         loopback_users = none\ndisk_free_limit.absolute = 50MB\nvm_memory_high_watermark.absolute = 4GB\n\
         collect_statistics_interval = 1000\n",
        record.port("main")?,
        record.port("management")?,
    ))
}

fn environment(site: &Site<'_>, programs: &Programs) -> Result<Vec<(String, String)>> {
    let inside = |name: &str| site.dir.join(name).display().to_string();
    let path = format!("{}:{}:/usr/bin:/bin", programs.scripts.display(), programs.erlang.display());
    let pairs = [
        ("PATH", path),
        ("HOME", inside("home")),
        ("RABBITMQ_NODENAME", node_name(&site.record)),
        ("RABBITMQ_NODE_PORT", site.record.port("main")?.to_string()),
        ("RABBITMQ_DIST_PORT", site.record.port("distribution")?.to_string()),
        ("ERL_EPMD_PORT", site.record.port("epmd")?.to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        ("RABBITMQ_MNESIA_BASE", inside("mnesia")),
        ("RABBITMQ_LOG_BASE", inside("logs")),
        ("RABBITMQ_LOGS", inside("logs/rabbit.log")),
        ("RABBITMQ_PID_FILE", inside("pid")),
        ("RABBITMQ_CONFIG_FILE", inside("rabbitmq.conf")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", inside("enabled_plugins")),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
        // Two schedulers that sleep instead of spinning: the machine is shared with builds and other servers.
        ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none".to_owned()),
    ];
    Ok(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn epmd_program(programs: &Programs) -> Result<PathBuf> {
    let beside = programs.erlang.join("epmd");
    if beside.is_file() {
        return Ok(beside);
    }
    let erlang = programs.erlang.parent().context("Erlang has no directory")?;
    Ok(subdirectory(erlang, "erts-")?.join("bin/epmd"))
}

fn subdirectory(dir: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("{} is missing", dir.display()))?;
    let found = entries.flatten().find(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    found.map(|entry| entry.path()).with_context(|| format!("{} holds no {prefix}*", dir.display()))
}
