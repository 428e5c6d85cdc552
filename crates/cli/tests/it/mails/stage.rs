//! One run: private broker, scripted mail server, two workers, a producer that goes on during the faults.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use backshift_testkit::{
    pace,
    servers::{self, PrivateServer, RabbitMq, TestDatabase},
    wait,
};

use super::{
    account::Account,
    fleet::Fleet,
    ledger,
    plan::{Fault, Plan},
    producer::{Producer, Published},
};
use crate::scene::{PATIENCE, Settings, Smtp, backshift};

/// How long nothing may arrive before the run is given up and judged as it stands.
const STUCK: Duration = Duration::from_secs(45);

/// Everything but the workers, which belong to a run.
pub(super) struct Stage {
    settings: Settings,
    smtp: Arc<Smtp>,
    broker: PrivateServer,
    database: TestDatabase,
}

impl Stage {
    /// A migrated database, a RabbitMQ of its own, a friendly mail server; `None` = skip the test.
    pub(super) async fn open() -> Option<Self> {
        servers::require("RABBITMQ_URL")?;
        let database = TestDatabase::create().await?;
        let broker = PrivateServer::start(&RabbitMq::DISTRIBUTION).await.expect("a private RabbitMQ starts");
        let smtp = Arc::new(Smtp::start().await);
        let settings = Settings::system_c(&database.url(), &broker.url(), smtp.port);
        backshift(&["migrate", "up"], &settings.pairs()).await.done();
        Some(Self { settings, smtp, broker, database })
    }

    /// Publishes, kills, waits for the end and counts.
    pub(super) async fn run(mut self, plan: &Plan) -> Account {
        self.smtp.slow(plan.pace);
        let begun = Instant::now();
        let mut fleet = Fleet::start(&self.settings).await;
        let producer = Producer::start(&self.broker.url(), plan.mails, &self.smtp);
        for (mails, fault) in &plan.faults {
            let reached = wait::until(STUCK, || async { self.smtp.number() >= *mails }).await;
            if !reached {
                break;
            }
            self.happens(*fault, &mut fleet).await;
        }
        self.settles(&producer).await;
        let published = producer.published();
        let exits = fleet.drained().await;
        let left = self.left().await;
        let rows = ledger::rows(&self.database).await;
        let mut account = Account::of(&published, &self.smtp.mails(), &rows);
        account.faults = plan.faults.iter().map(|(_, fault)| *fault).collect();
        account.unpublished = plan.mails - published.accepted.len() - published.unknown.len();
        account.seconds = begun.elapsed().as_secs_f64();
        account.left = left;
        account.exits = exits;
        account.outputs = fleet.outputs();
        account
    }

    async fn happens(&mut self, fault: Fault, fleet: &mut Fleet) {
        match fault {
            Fault::KillWorker => return fleet.kill_one().await,
            Fault::KillBroker => self.broker.kill().await,
            Fault::RestartBroker => self.broker.stop().await,
        }
        self.broker.resurrect().await.expect("the broker starts again on its data");
    }

    /// Until every accepted mail has arrived and every job has ended, or nothing moves any more.
    async fn settles(&self, producer: &Producer) {
        let (mut last, mut moved) = ((0, 0), Instant::now());
        while moved.elapsed() < pace::stretched(STUCK) {
            let rows = ledger::rows(&self.database).await;
            let open = rows.values().filter(|row| !row.ended()).count();
            let Published { accepted, .. } = producer.published();
            let now = (self.smtp.number(), open);
            if producer.is_over() && open == 0 && rows.len() >= accepted.len() && self.is_empty().await {
                return;
            }
            if now != last {
                (last, moved) = (now, Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Dead letters aside: those are mails that are held for a person.
    async fn is_empty(&self) -> bool {
        let empty = |queues: BTreeMap<String, u64>| {
            queues.iter().all(|(name, left)| *left == 0 || name.ends_with(".dlq"))
        };
        self.broker.queues().await.is_ok_and(empty)
    }

    /// What the broker still holds when nobody works any more; its statistics may lag behind.
    async fn left(&self) -> u64 {
        wait::until(PATIENCE, || self.is_empty()).await;
        self.broker.queues().await.map_or(u64::MAX, |queues| queues.values().sum())
    }
}
