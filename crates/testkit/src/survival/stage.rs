//! Where a run happens: a broker with its store, on private servers.
//!
//! Workers may reach the servers through proxies of their own; producers and the reconciliation never do.

use std::{fmt, io, str::FromStr};

use backshift_servers::{Postgres, RabbitMq, Service};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::Point;
use crate::servers::PrivateServer;

/// A broker that a run can stand on. A new one is a constant here, in [`Ground::ALL`].
#[derive(Clone, Copy)]
pub struct Ground {
    /// As the command line and the reports name it.
    pub name: &'static str,
    /// What it needs, the broker's server first and the store's last; none = queue and ledger are one SQLite file.
    pub servers: &'static [&'static dyn Service],
    /// The points at which a proxied worker can be held and killed.
    pub points: &'static [Point],
}

impl Ground {
    /// Queue and ledger in one SQLite file.
    pub const EMBEDDED: Self = Self { name: "embedded", servers: &[], points: &[] };
    /// Queue and ledger in one PostgreSQL database.
    pub const POSTGRES: Self =
        Self { name: "postgres", servers: &[&Postgres], points: &[Point::BeforeEffect, Point::AfterEffect] };
    /// The queue on RabbitMQ, the ledger on PostgreSQL.
    pub const RABBITMQ: Self = Self {
        name: "rabbitmq",
        servers: &[&RabbitMq::DISTRIBUTION, &Postgres],
        points: &[Point::BeforeEffect, Point::AfterEffect, Point::BeforeAck],
    };
    /// All of them.
    pub const ALL: [Self; 3] = [Self::EMBEDDED, Self::POSTGRES, Self::RABBITMQ];
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

impl FromStr for Ground {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        let found = Self::ALL.into_iter().find(|ground| ground.name == text);
        let names = Self::ALL.map(|ground| ground.name).join(", ");
        found.ok_or_else(|| io::Error::other(format!("{text:?} is none of {names}")))
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
        // A file has no address.
        all.retain(|url| url.contains("://"));
        all
    }
}

/// Private servers (or a private file) for one run.
#[derive(Debug)]
pub struct Stage {
    ground: Ground,
    site: Site,
    servers: Vec<PrivateServer>,
    _scratch: TempDir,
}

impl Stage {
    /// Starts what this ground needs.
    ///
    /// # Errors
    /// A server is not installed or does not start.
    pub async fn open(ground: Ground) -> io::Result<Self> {
        let queue = "survival".to_owned();
        let scratch = TempDir::with_prefix("backshift-survival-")?;
        let mut starting = JoinSet::new();
        for (at, service) in ground.servers.iter().enumerate() {
            starting.spawn(async move { (at, PrivateServer::start(*service).await) });
        }
        let mut servers = starting.join_all().await;
        servers.sort_by_key(|(at, _)| *at);
        let servers = servers.into_iter().map(|(_, server)| server).collect::<io::Result<Vec<_>>>()?;
        let (broker, store) = match &servers[..] {
            [first, .., last] => (first.url(), last.url()),
            [one] => (one.url(), one.url()),
            [] => {
                let file = scratch.path().join("jobs.db");
                (format!("embedded:{}", file.display()), format!("sqlite:{}", file.display()))
            }
        };
        Ok(Self { ground, site: Site { broker, store, queue }, servers, _scratch: scratch })
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
