//! Where a run happens: one of the three brokers with its store, on private servers.
//!
//! Workers may reach the servers through proxies of their own; producers and the reconciliation never do.

use std::{fmt, io, path::PathBuf, str::FromStr};

use tokio::task::JoinSet;
use uuid::Uuid;

use super::{PrivateServer, ServerKind};

/// The brokers that a run can stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// Queue and ledger in one SQLite file.
    Embedded,
    /// Queue and ledger in one PostgreSQL database.
    Postgres,
    /// The queue on RabbitMQ, the ledger on PostgreSQL.
    RabbitMq,
}

impl Ground {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Embedded, Self::Postgres, Self::RabbitMq];
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Embedded => "embedded",
            Self::Postgres => "postgres",
            Self::RabbitMq => "rabbitmq",
        })
    }
}

impl FromStr for Ground {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        let found = Self::ALL.into_iter().find(|ground| ground.to_string() == text);
        found.ok_or_else(|| io::Error::other(format!("{text:?} is none of embedded, postgres, rabbitmq")))
    }
}

/// What a process needs to know to take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The broker's URL, as `backshift --broker` takes it.
    pub broker: String,
    /// The ledger's URL, as `backshift --store` takes it.
    pub store: String,
    /// The queue of the run.
    pub queue: String,
}

impl Site {
    /// The servers behind it, broker first, each once.
    pub(super) fn addresses(&self) -> Vec<String> {
        let mut all = vec![self.broker.clone()];
        if self.store != self.broker {
            all.push(self.store.clone());
        }
        all.retain(|url| url.starts_with("postgres:") || url.starts_with("amqp:"));
        all
    }
}

/// Private servers (or a private file) for one run.
#[derive(Debug)]
pub struct Stage {
    ground: Ground,
    site: Site,
    servers: Vec<PrivateServer>,
    _file: Option<Scratch>,
}

impl Stage {
    /// Starts what this ground needs.
    ///
    /// # Errors
    /// A server is not installed or does not start.
    pub async fn open(ground: Ground) -> io::Result<Self> {
        let queue = "survival".to_owned();
        let kinds: &[ServerKind] = match ground {
            Ground::Embedded => &[],
            Ground::Postgres => &[ServerKind::Postgres],
            Ground::RabbitMq => &[ServerKind::RabbitMq, ServerKind::Postgres],
        };
        if kinds.is_empty() {
            let scratch = Scratch::new()?;
            let file = scratch.0.join("jobs.db");
            let (broker, store) =
                (format!("embedded:{}", file.display()), format!("sqlite:{}", file.display()));
            return Ok(Self {
                ground,
                site: Site { broker, store, queue },
                servers: Vec::new(),
                _file: Some(scratch),
            });
        }
        let mut starting = JoinSet::new();
        for (at, kind) in kinds.iter().copied().enumerate() {
            starting.spawn(async move { (at, PrivateServer::start(kind).await) });
        }
        let mut servers = starting.join_all().await;
        servers.sort_by_key(|(at, _)| *at);
        let servers = servers.into_iter().map(|(_, server)| server).collect::<io::Result<Vec<_>>>()?;
        let (broker, store) = (servers[0].url(), servers[servers.len() - 1].url());
        Ok(Self { ground, site: Site { broker, store, queue }, servers, _file: None })
    }

    /// Which broker it is.
    pub fn ground(&self) -> Ground {
        self.ground
    }

    /// The servers' own addresses, and the queue.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// The servers: the broker's first, the store's last. Embedded has none.
    pub fn servers(&mut self) -> &mut [PrivateServer] {
        &mut self.servers
    }
}

/// A directory that is removed with its value.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("backshift-survival-{}", Uuid::now_v7().simple()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
