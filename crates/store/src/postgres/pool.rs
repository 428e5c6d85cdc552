//! A bounded pool whose calls always end: each has a deadline, and a connection that missed one is closed.
//!
//! Whether a transaction pooler stands between is found out before the first statement, because session settings
//! would leak to its other clients, and prepared statements would be looked for in the wrong session. On a direct
//! connection the server parses and plans a statement of the code once; texts put together at run time are not kept.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use backshift_core::{StoreError, way::Way};
use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use futures::{TryStreamExt, future::join3, pin_mut};
use tokio::{sync::OnceCell, time::Instant};
use tokio_postgres::{
    Client, Config,
    types::{ToSql, Type},
};

use super::{
    PgRow, PgTx, Session,
    address::Address,
    connector::Connector,
    fault::{Fault, ends_connection, store_error},
    schema::quoted,
    tls,
};
use crate::{Access, Durability, Options, Row, query::Statement, row::Answer};

/// Server-side limits: they end before our own deadline, so that the server's words reach the caller.
pub(super) const LIMITS: [(&str, &str); 3] =
    [("statement_timeout", "10s"), ("lock_timeout", "2s"), ("idle_in_transaction_session_timeout", "15s")];
/// How often a statement is sent again after a serialization failure or a deadlock.
const CONFLICT_RETRIES: u32 = 4;

/// A PostgreSQL server. Cheap to clone.
#[derive(Clone)]
pub struct Pg(Arc<Inner>);

struct Inner {
    pool: Pool,
    config: Config,
    tls: Connector,
    ways: Vec<Way>,
    /// `SET search_path` to this; `None` = as the role has it.
    search_path: Option<String>,
    /// The schema of `database.schema`, which `migrate up` makes.
    own_schema: Option<String>,
    home: OnceCell<String>,
    access: Arc<OnceCell<Access>>,
    deadline: Duration,
    durability: Durability,
}

impl fmt::Debug for Pg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pg").field("access", &self.0.access.get()).finish_non_exhaustive()
    }
}

impl Pg {
    /// Reads the URL and prepares the pool; connects to nothing.
    pub fn open(url: &str, options: &Options) -> Result<Self, StoreError> {
        let address = Address::parse(url, options)?;
        let tls = tls::connector(&address)?;
        let search_path = address.search_path.as_ref().map(|path| path.sql());
        let access = Arc::new(OnceCell::new());
        let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(address.config.clone(), tls.clone(), how);
        let pool = Pool::builder(manager)
            .max_size(options.connections.max(2))
            .wait_timeout(Some(options.deadline))
            .create_timeout(Some(options.deadline))
            .runtime(Runtime::Tokio1)
            .post_create(session_values(Arc::clone(&access), search_path.clone()))
            .build()
            .map_err(|e| StoreError::Rejected(format!("the connection pool cannot be built: {e}")))?;
        let (deadline, durability) = (options.deadline, options.durability);
        Ok(Self(Arc::new(Inner {
            pool,
            config: address.config,
            tls,
            ways: address.ways,
            search_path,
            own_schema: options.schema.clone(),
            home: OnceCell::new(),
            access,
            deadline,
            durability,
        })))
    }

    /// What is done on the way to each host that may be connected to.
    pub fn ways(&self) -> &[Way] {
        &self.0.ways
    }

    /// `database.schema`, and the statement with which `migrate up` makes it.
    pub(crate) fn own_schema(&self) -> Option<(&str, String)> {
        let name = self.0.own_schema.as_deref()?;
        Some((name, format!("CREATE SCHEMA {}", quoted(name))))
    }

    /// The schema that our tables are found in: two of them in one database are two sites. Asked of the server, because
    /// a role may have a search path of its own.
    pub(crate) async fn home(&self) -> Result<String, StoreError> {
        const HOME: &str = "SELECT coalesce((SELECT n.nspname FROM pg_class c JOIN pg_namespace n \
             ON n.oid = c.relnamespace WHERE c.oid = to_regclass('job_workers')), current_schema(), '')::text, \
             to_regclass('job_workers') IS NOT NULL";
        if let Some(home) = self.0.home.get() {
            return Ok(home.clone());
        }
        let (schema, there) = crate::Database::Pg(self.clone()).sql(HOME).one::<(String, bool)>().await?;
        if there {
            let _ = self.0.home.set(schema.clone());
        }
        Ok(schema)
    }

    /// Whether the way to the server is direct; asks with two sessions the first time.
    pub async fn access(&self) -> Result<Access, StoreError> {
        let inner = &*self.0;
        inner.access.get_or_try_init(|| self.probe()).await.copied()
    }

    /// A connection of its own, outside the pool. Only on a direct way: a pooler would lose it or share it.
    pub(crate) async fn session(&self) -> Result<Session, StoreError> {
        let session = self.plain_session().await?;
        if let Some(path) = &self.0.search_path {
            session.batch(&format!("SET search_path = {path}"), self.0.deadline).await?;
        }
        Ok(session)
    }

    /// The same with nothing set.
    async fn plain_session(&self) -> Result<Session, StoreError> {
        Session::open(&self.0.config, self.0.tls.clone(), self.0.deadline).await
    }

    /// The longest time that one call may take.
    pub(crate) fn deadline(&self) -> Duration {
        self.0.deadline
    }

    /// Connections that are open now, and those of them that are idle.
    pub fn connections(&self) -> (usize, usize) {
        let status = self.0.pool.status();
        (status.size, status.available)
    }

    pub(crate) fn close(&self) {
        self.0.pool.close();
    }

    pub(crate) async fn begin(&self, durability: Durability) -> Result<PgTx, StoreError> {
        let end = Instant::now() + self.0.deadline;
        let client = self.acquire(end).await.map_err(|f| f.error)?;
        let direct = self.access().await?.direct;
        let mut opening = String::from("BEGIN");
        if !direct {
            for (name, value) in LIMITS {
                opening.push_str(&format!("; SET LOCAL {name} = '{value}'"));
            }
            opening.push_str(&self.path_of_a_transaction());
        }
        if durability.at_least(self.0.durability) == Durability::Relaxed {
            opening.push_str("; SET LOCAL synchronous_commit = off");
        }
        PgTx::begin(client, &opening, self.0.deadline).await
    }

    pub(crate) async fn execute(&self, statement: &Statement) -> Result<(Vec<Row>, u64), StoreError> {
        let mut tries = 0;
        loop {
            match self.attempt(statement).await {
                Ok(answer) => return Ok(answer),
                Err(fault) if fault.conflict && tries < CONFLICT_RETRIES => {
                    tries += 1;
                    tokio::time::sleep(pause(tries)).await;
                }
                Err(fault) => return Err(fault.error),
            }
        }
    }

    async fn attempt(&self, statement: &Statement) -> Result<(Vec<Row>, u64), Fault> {
        let end = Instant::now() + self.0.deadline;
        let client = self.acquire(end).await?;
        let direct = self.access().await?.direct;
        let path = if direct { String::new() } else { self.path_of_a_transaction() };
        let answer = async {
            let prepared = if direct { prepare(&client, statement).await? } else { None };
            match statement.durability.at_least(self.0.durability) {
                Durability::Strict if path.is_empty() && statement.by_index => {
                    const BY_INDEX: &str = "BEGIN; SET LOCAL enable_seqscan = off";
                    send_within(&client, BY_INDEX, statement, prepared.as_ref()).await
                }
                Durability::Strict if path.is_empty() => send(&client, statement, prepared.as_ref()).await,
                Durability::Strict => send_within(&client, &format!("BEGIN{path}"), statement, None).await,
                Durability::Relaxed => send_relaxed(&client, &path, statement, prepared.as_ref()).await,
            }
        };
        let outcome = tokio::time::timeout_at(end, answer).await;
        match outcome {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                if ends_connection(&error) {
                    drop(Object::take(client));
                }
                Err(error.into())
            }
            Err(_) => {
                drop(Object::take(client));
                Err(Fault::deadline(self.0.deadline, "a statement; its connection was closed"))
            }
        }
    }

    async fn acquire(&self, end: Instant) -> Result<Object, Fault> {
        let limit = self.0.deadline;
        let connecting = async {
            self.access().await?;
            self.0.pool.get().await.map_err(|e| pool_fault(e, limit))
        };
        tokio::time::timeout_at(end, connecting)
            .await
            .unwrap_or_else(|_| Err(Fault::deadline(limit, "waiting for a connection")))
    }

    /// Behind a pooler each transaction is told the schema: sessions are shared with others.
    fn path_of_a_transaction(&self) -> String {
        self.0
            .search_path
            .as_ref()
            .map_or_else(String::new, |path| format!("; SET LOCAL search_path = {path}"))
    }

    /// Ten questions to two open sessions: a pooler that shares servers shows the same or a changing backend.
    async fn probe(&self) -> Result<Access, StoreError> {
        const BACKEND: &str = "SELECT pg_backend_pid()";
        let (one, two) = futures::try_join!(self.plain_session(), self.plain_session())?;
        let limit = self.0.deadline;
        let (first, second) = (one.ask(BACKEND, limit).await?, two.ask(BACKEND, limit).await?);
        let mut direct = first.is_some() && first != second;
        for _ in 0..4 {
            direct &= one.ask(BACKEND, limit).await? == first;
            direct &= two.ask(BACKEND, limit).await? == second;
        }
        if !direct {
            tracing::info!(
                "a transaction pooler stands before PostgreSQL: polling and leases instead of LISTEN and locks"
            );
        }
        Ok(Access { direct })
    }
}

/// On a direct connection limits and schema are set once, for the session.
fn session_values(access: Arc<OnceCell<Access>>, search_path: Option<String>) -> Hook {
    Hook::async_fn(move |client, _| {
        let direct = access.get().is_some_and(|a| a.direct);
        let search_path = search_path.clone();
        Box::pin(async move {
            if !direct {
                return Ok(());
            }
            let limits = LIMITS.iter().map(|(name, value)| format!("SET {name} = '{value}'"));
            let path = search_path.iter().map(|path| format!("SET search_path = {path}"));
            let text: Vec<String> = limits.chain(path).collect();
            client.batch_execute(&text.join("; ")).await.map_err(HookError::Backend)
        })
    })
}

fn pool_fault(error: PoolError, limit: Duration) -> Fault {
    match error {
        PoolError::Backend(e) | PoolError::PostCreateHook(HookError::Backend(e)) => {
            Fault { error: store_error(&e), conflict: false }
        }
        PoolError::Timeout(_) => Fault::deadline(limit, "waiting for a free connection of the pool"),
        PoolError::Closed => StoreError::Unavailable("this database handle was closed".into()).into(),
        other => StoreError::Unavailable(format!("no connection to PostgreSQL: {other}")).into(),
    }
}

/// 5 to 10 ms, doubling; the spread comes from the clock's own noise.
fn pause(tries: u32) -> Duration {
    let base = 5_u64 << tries.min(6);
    let noise = u64::from(backshift_core::Timestamp::now().subsec_nanosecond().unsigned_abs()) % base;
    Duration::from_millis(base + noise)
}

type Prepared = tokio_postgres::Statement;

/// The statement as this connection's server knows it; `None` for a text that was put together.
async fn prepare(
    client: &ClientWrapper,
    statement: &Statement,
) -> Result<Option<Prepared>, tokio_postgres::Error> {
    let Cow::Borrowed(text) = statement.text else { return Ok(None) };
    let types: Vec<Type> = parameters(statement).map(|(_, kind)| kind).collect();
    client.prepare_typed_cached(text, &types).await.map(Some)
}

fn parameters(statement: &Statement) -> impl Iterator<Item = (&(dyn ToSql + Sync), Type)> {
    let values = statement.values.iter().map(|v| (v as &(dyn ToSql + Sync), v.pg_type()));
    let columns = statement.columns.iter().map(|c| (c as &(dyn ToSql + Sync), c.pg_type()));
    values.chain(columns)
}

/// One statement, one round trip.
pub(super) async fn send(
    client: &Client,
    statement: &Statement,
    prepared: Option<&Prepared>,
) -> Result<(Vec<Row>, u64), tokio_postgres::Error> {
    let stream = match prepared {
        Some(prepared) => {
            let values: Vec<_> = parameters(statement).map(|(value, _)| value).collect();
            client.query_raw(prepared, values).await?
        }
        None => client.query_typed_raw(&statement.text, parameters(statement)).await?,
    };
    pin_mut!(stream);
    let mut rows = Vec::new();
    while let Some(row) = stream.try_next().await? {
        rows.push(Row::of(Answer::Pg(PgRow(row))));
    }
    Ok((rows, stream.rows_affected().unwrap_or(0)))
}

/// The same without waiting for the disk: three messages, still one round trip, and safe on a pooler. A plan is kept
/// whatever the values are: these statements go by ids and indexes, and planning one takes longer than running it. And it is
/// made for a long table, because the one of this moment may be short.
async fn send_relaxed(
    client: &Client,
    path: &str,
    statement: &Statement,
    prepared: Option<&Prepared>,
) -> Result<(Vec<Row>, u64), tokio_postgres::Error> {
    const RELAXED: &str = "BEGIN; SET LOCAL synchronous_commit = off; SET LOCAL enable_seqscan = off";
    match prepared {
        Some(_) => {
            let opening = "BEGIN; SET LOCAL synchronous_commit = off; SET LOCAL enable_seqscan = off; \
                           SET LOCAL plan_cache_mode = force_generic_plan";
            send_within(client, opening, statement, prepared).await
        }
        None if path.is_empty() => send_within(client, RELAXED, statement, None).await,
        None => send_within(client, &format!("{RELAXED}{path}"), statement, None).await,
    }
}

/// One statement in a transaction that begins so, in one round trip. When the statement fails, the transaction is
/// rolled back by its COMMIT.
async fn send_within(
    client: &Client,
    opening: &str,
    statement: &Statement,
    prepared: Option<&Prepared>,
) -> Result<(Vec<Row>, u64), tokio_postgres::Error> {
    let begin = client.batch_execute(opening);
    let (begun, answer, committed) =
        join3(begin, send(client, statement, prepared), client.batch_execute("COMMIT")).await;
    begun?;
    let answer = answer?;
    committed?;
    Ok(answer)
}
