//! Wake-ups: a fetcher hears at once that its queue has something, instead of at its next poll.
//!
//! A ring is a hint: it may be lost or come twice, so whoever listens polls as well. It is sent after the commit,
//! never inside an enqueue transaction, where it would take a lock of the whole database.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use backshift_core::{QueueName, Timestamp, store::Hints};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};
use uuid::Uuid;

use crate::{
    Database,
    database_clock::DatabaseClock,
    postgres::Pg,
    sqlite::{self, Connection, Sqlite},
};

/// The PostgreSQL channel of the schema, in SQL, as the claim writes it too (`backshift_start_known`); the payload is the
/// queue's name (or one of the two words below), then optionally a space and who rang.
macro_rules! channel {
    () => {
        "'backshift_' || to_hex(hashtextextended(current_schema()::text, 0))"
    };
}
const CHANNEL: &str = concat!("SELECT ", channel!());
const RING: &str = concat!("SELECT pg_notify(", channel!(), ", q || ' ' || $1) FROM unnest($2::text[]) AS q");
/// One ring a queue in this time at most.
const GATHER: Duration = Duration::from_millis(2);
/// How often a SQLite file is asked whether another process wrote.
const LOOK: Duration = Duration::from_millis(25);
/// In place of a queue's name: a person wishes something. No queue can have such a name.
const WISHES: &str = "!wishes";
/// The same: a job is due at this time, in microseconds.
const DUE: &str = "!due:";
/// The longest pause between attempts to listen again.
const RECONNECT_CAP: Duration = Duration::from_secs(5);

/// Rings for queues and lets others listen. Cheap to clone; its tasks end with the last clone.
#[derive(Debug, Clone)]
pub struct Bell(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Database,
    /// Tells our own rings, which were heard in process already, from other processes' rings.
    name: String,
    queues: Mutex<HashMap<String, watch::Sender<u64>>>,
    waiting: Mutex<BTreeSet<String>>,
    /// The earliest time that the others have not been told.
    untold: Mutex<Option<Timestamp>>,
    sleepers: Mutex<Vec<Weak<Sleeper>>>,
    clock: DatabaseClock,
    rung: Arc<Notify>,
    /// Held while rings are taken and sent: whoever has it last knows that all are sent.
    sending: tokio::sync::Mutex<()>,
    tasks: Mutex<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    ringing: Option<JoinHandle<()>>,
    listening: Option<JoinHandle<()>>,
}

impl Drop for Tasks {
    fn drop(&mut self) {
        // The other one ends by itself, after what it is sending.
        self.listening.iter().for_each(JoinHandle::abort);
    }
}

impl Drop for Inner {
    /// Rings that still wait are sent by a task of their own, as long as the runtime lasts; [`Bell::flush`] waits for it.
    fn drop(&mut self) {
        let queues = self.take_waiting();
        self.rung.notify_one();
        if queues.is_empty() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (db, name) = (self.db.clone(), std::mem::take(&mut self.name));
            runtime.spawn(async move { send(&db, &name, queues).await });
        }
    }
}

/// Hears the rings of one queue.
#[derive(Debug)]
pub struct Ear {
    rings: watch::Receiver<u64>,
    /// Keeps the listening task alive.
    _bell: Bell,
}

impl Ear {
    /// Waits for a ring; `false` = none came within this time. A ring since the last call counts.
    pub async fn rung(&mut self, at_most: Duration) -> bool {
        matches!(tokio::time::timeout(at_most, self.rings.changed()).await, Ok(Ok(())))
    }
}

/// Somebody who sleeps until a job is due.
#[derive(Debug)]
struct Sleeper {
    /// For when it is set already; the end of time while it is awake, so that it misses nothing.
    until: AtomicI64,
    /// The earliest time that was heard of since it last looked.
    heard: AtomicI64,
    sooner: Notify,
}

/// Hears of jobs that are due sooner than the one that is waited for.
#[derive(Debug)]
pub struct Dues {
    sleeper: Arc<Sleeper>,
    /// Keeps the listening task alive.
    _ear: Ear,
}

#[async_trait]
impl Hints for Dues {
    async fn wait(&mut self, next: Option<Timestamp>, at_most: Duration) -> bool {
        let until = next.map_or(i64::MAX, Timestamp::as_microsecond);
        self.sleeper.until.store(until, Ordering::SeqCst);
        // What was told while it was awake counts when it is sooner, and only then: retries that stream must not keep it up.
        let heard = async {
            while self.sleeper.heard.swap(i64::MAX, Ordering::SeqCst) >= until {
                self.sleeper.sooner.notified().await;
            }
        };
        let sooner = tokio::time::timeout(at_most, heard).await.is_ok();
        self.sleeper.until.store(i64::MAX, Ordering::SeqCst);
        sooner
    }
}

#[async_trait]
impl Hints for Ear {
    async fn wait(&mut self, _: Option<Timestamp>, at_most: Duration) -> bool {
        self.rung(at_most).await
    }
}

impl Bell {
    /// A bell for the processes that share this database. Connects to nothing yet.
    pub fn new(db: &Database) -> Self {
        Self(Arc::new(Inner {
            db: db.clone(),
            name: Uuid::now_v7().simple().to_string(),
            queues: Mutex::default(),
            waiting: Mutex::default(),
            untold: Mutex::default(),
            sleepers: Mutex::default(),
            clock: DatabaseClock::default(),
            rung: Arc::default(),
            sending: tokio::sync::Mutex::default(),
            tasks: Mutex::default(),
        }))
    }

    /// Tells everybody that a queue has something. Returns at once; rings within 2 ms become one. Needs a runtime.
    pub fn ring(&self, queue: &QueueName) {
        self.0.wake(queue.as_str());
        // Other processes on a SQLite file see the change of the file itself.
        let Database::Pg(_) = &self.0.db else { return };
        lock(&self.0.waiting).insert(queue.as_str().to_owned());
        self.ring_others();
    }

    /// Tells everybody that a person wishes something; the others have been told when it returns, as far as they can be:
    /// the process that wishes may end then.
    pub async fn wish(&self) {
        self.0.wake(WISHES);
        if let Database::Pg(_) = &self.0.db {
            send(&self.0.db, &self.0.name, BTreeSet::from([WISHES.to_owned()])).await;
        }
    }

    /// Hears wishes. Needs a runtime.
    pub fn wishes(&self) -> Ear {
        self.listen_to(WISHES)
    }

    /// A job of this process waits for so long, from now. This process keeps its time; the others are not told.
    pub fn due_in(&self, delay: Duration) {
        if let Ok(at) = self.0.clock.now().checked_add(delay) {
            self.0.due(at);
        }
    }

    /// The database's clock says this.
    pub fn it_is(&self, now: Timestamp) {
        self.0.clock.set(now);
    }

    /// Jobs were accepted for these times. The first that is not past is told to everybody, because nobody might keep it here.
    pub async fn due(&self, times: &[Timestamp]) {
        if times.is_empty() {
            return;
        }
        let now = self.0.now().await;
        let Some(at) = times.iter().copied().filter(|at| *at > now).min() else { return };
        self.0.due(at);
        if let Database::Pg(_) = &self.0.db {
            let mut untold = lock(&self.0.untold);
            *untold = Some(untold.map_or(at, |before| before.min(at)));
            drop(untold);
            self.ring_others();
        }
    }

    /// Hears of jobs that are due sooner than others. Needs a runtime.
    pub fn dues(&self) -> Dues {
        let sleeper = Arc::new(Sleeper {
            until: AtomicI64::new(i64::MAX),
            heard: AtomicI64::new(i64::MAX),
            sooner: Notify::new(),
        });
        let mut sleepers = lock(&self.0.sleepers);
        sleepers.retain(|sleeper| sleeper.strong_count() > 0);
        sleepers.push(Arc::downgrade(&sleeper));
        drop(sleepers);
        Dues { sleeper, _ear: self.listen_to(DUE) }
    }

    fn ring_others(&self) {
        let mut tasks = lock(&self.0.tasks);
        if tasks.ringing.is_none() {
            let rung = Arc::clone(&self.0.rung);
            tasks.ringing = Some(tokio::spawn(ring_out(Arc::downgrade(&self.0), rung)));
        }
        drop(tasks);
        self.0.rung.notify_one();
    }

    /// Returns when every ring so far is sent: for a process that ends now.
    pub async fn flush(&self) {
        self.0.send_waiting().await;
    }

    /// Listens for a queue. Needs a runtime.
    pub fn listen(&self, queue: &QueueName) -> Ear {
        self.listen_to(queue.as_str())
    }

    fn listen_to(&self, name: &str) -> Ear {
        let rings = lock(&self.0.queues).entry(name.to_owned()).or_default().subscribe();
        let mut tasks = lock(&self.0.tasks);
        if tasks.listening.is_none() {
            let inner = Arc::downgrade(&self.0);
            tasks.listening = Some(match &self.0.db {
                Database::Pg(pg) => tokio::spawn(listen_postgres(inner, pg.clone())),
                Database::Sqlite(file) => tokio::spawn(watch_file(inner, file.clone())),
            });
        }
        drop(tasks);
        Ear { rings, _bell: self.clone() }
    }
}

impl Inner {
    /// Now by the database's clock. Asked when that was long ago: whoever promotes has heard it within a second.
    async fn now(&self) -> Timestamp {
        if matches!(&self.db, Database::Pg(_)) && self.clock.is_stale() {
            match self.db.sql("SELECT clock_timestamp()").relaxed().one().await {
                Ok(now) => self.clock.set(now),
                Err(error) => tracing::debug!(%error, "the database was not asked for its time"),
            }
        }
        self.clock.now()
    }

    fn wake(&self, queue: &str) {
        if let Some(sender) = lock(&self.queues).get(queue) {
            sender.send_modify(|rings| *rings = rings.wrapping_add(1));
        }
    }

    fn due(&self, at: Timestamp) {
        for sleeper in lock(&self.sleepers).iter().filter_map(Weak::upgrade) {
            sleeper.heard.fetch_min(at.as_microsecond(), Ordering::SeqCst);
            if at.as_microsecond() < sleeper.until.load(Ordering::SeqCst) {
                sleeper.sooner.notify_one();
            }
        }
    }

    /// What another process told.
    fn heard(&self, what: &str) {
        let time = what.strip_prefix(DUE).and_then(|text| text.parse().ok());
        match time.and_then(|at| Timestamp::from_microsecond(at).ok()) {
            Some(at) => self.due(at),
            None => self.wake(what),
        }
    }

    /// What the others have not been told.
    fn take_waiting(&self) -> BTreeSet<String> {
        let mut words = std::mem::take(&mut *lock(&self.waiting));
        if let Some(at) = lock(&self.untold).take() {
            words.insert(format!("{DUE}{}", at.as_microsecond()));
        }
        words
    }

    async fn send_waiting(&self) {
        let _sending = self.sending.lock().await;
        let queues = self.take_waiting();
        if !queues.is_empty() {
            send(&self.db, &self.name, queues).await;
        }
    }

    /// Something happened elsewhere, and nobody knows what.
    fn wake_all(&self) {
        self.due(Timestamp::MIN);
        for sender in lock(&self.queues).values() {
            sender.send_modify(|rings| *rings = rings.wrapping_add(1));
        }
    }
}

/// Sends the first ring at once and those of the next 2 ms together. A ring that cannot be sent is dropped: others
/// poll.
async fn ring_out(inner: Weak<Inner>, rung: Arc<Notify>) {
    loop {
        rung.notified().await;
        let Some(inner) = inner.upgrade() else { return };
        inner.send_waiting().await;
        drop(inner);
        tokio::time::sleep(GATHER).await;
    }
}

async fn send(db: &Database, name: &str, queues: BTreeSet<String>) {
    let sent =
        db.sql(RING).bind(name).column(queues.into_iter().collect::<Vec<_>>()).relaxed().all::<()>().await;
    if let Err(error) = sent {
        tracing::debug!(%error, "a wake-up was not sent; other workers find the jobs at their next poll");
    }
}

/// Listens on a connection of its own, again and again; behind a transaction pooler there is nothing to hear.
async fn listen_postgres(inner: Weak<Inner>, pg: Pg) {
    let mut pause = Duration::from_millis(200);
    while inner.strong_count() > 0 {
        match hear(&inner, &pg).await {
            Ok(Heard::Nothing) => return,
            Ok(Heard::Lost) => pause = Duration::from_millis(200),
            Err(error) => tracing::debug!(%error, "cannot listen for wake-ups; polling meanwhile"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RECONNECT_CAP);
    }
}

enum Heard {
    /// A pooler stands between: polling is all there is.
    Nothing,
    /// The connection was there and is gone.
    Lost,
}

async fn hear(inner: &Weak<Inner>, pg: &Pg) -> Result<Heard, backshift_core::StoreError> {
    if !pg.access().await?.direct {
        return Ok(Heard::Nothing);
    }
    let mut session = pg.session().await?;
    let channel = session.ask(CHANNEL, pg.deadline()).await?.unwrap_or_default();
    session.batch(&format!("LISTEN \"{channel}\""), pg.deadline()).await?;
    // Something may have been rung while nobody listened.
    if let Some(inner) = inner.upgrade() {
        inner.wake_all();
    }
    while let Some((_, payload)) = session.notification().await {
        let Some(inner) = inner.upgrade() else { break };
        let (queue, who) = payload.split_once(' ').unwrap_or((&payload, ""));
        if who != inner.name {
            inner.heard(queue);
        }
    }
    Ok(Heard::Lost)
}

/// Wakes everybody when another process has written to the file; our own writes ring by themselves.
async fn watch_file(inner: Weak<Inner>, file: Sqlite) {
    let mut seen: Option<i64> = None;
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let look = |connection: &Connection| sqlite::query::<i64>(connection, "PRAGMA data_version", &[]);
        let version = file.peek(look).await;
        let Some(inner) = inner.upgrade() else { return };
        if let Ok(Some(version)) = version.map(|rows| rows.first().copied())
            && seen.replace(version).is_some_and(|before| before != version)
        {
            inner.wake_all();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
