//! Places where a test may work: a fresh PostgreSQL database (direct, or through PgBouncer) or a fresh file.

use std::sync::atomic::{AtomicU32, Ordering};

use backshift_store::{Database, Options};

/// A database of one test; dropped with the file's directory. Server databases are left to the server's end.
pub struct Place {
    pub db: Database,
    pub url: String,
    _directory: Option<tempfile::TempDir>,
}

impl Place {
    /// A database that somebody else made and takes away.
    pub fn of(db: Database, url: String) -> Self {
        Self { db, url, _directory: None }
    }
}

/// A URL of the test servers; `None` = skip, unless everything is required.
pub fn server(variable: &str) -> Option<String> {
    let found = std::env::var(variable).ok();
    if found.is_none() {
        assert_ne!(std::env::var("BACKSHIFT_REQUIRE").as_deref(), Ok("all"), "{variable} is not set");
        eprintln!("skipped: {variable} is not set (cargo xtask services up)");
    }
    found
}

/// A fresh SQLite file.
pub fn sqlite() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("test.db").display());
    Place { db: Database::open(&url, &Options::default()).unwrap(), url, _directory: Some(directory) }
}

/// A fresh database on the server.
pub async fn postgres() -> Option<Place> {
    let base = server("BACKSHIFT_TEST_POSTGRES_URL")?;
    let url = with_database(&base, &create(&base).await);
    Some(Place { db: Database::open(&url, &Options::default()).unwrap(), url, _directory: None })
}

/// The database that PgBouncer serves in transaction mode; tests make tables of their own names there.
pub fn pgbouncer() -> Option<Place> {
    let url = server("BACKSHIFT_TEST_PGBOUNCER_URL")?;
    Some(Place { db: Database::open(&url, &Options::default()).unwrap(), url, _directory: None })
}

/// One of each that is there.
pub async fn all() -> Vec<Place> {
    let mut places = vec![sqlite()];
    places.extend(postgres().await);
    places.extend(pgbouncer());
    places
}

/// A name that nobody else uses.
pub fn unique(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = backshift_core::Timestamp::now().as_nanosecond();
    format!("{prefix}_{}_{now}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

async fn create(base: &str) -> String {
    let name = unique("bs");
    let admin = Database::open(base, &Options::default()).unwrap();
    use backshift_store::Executor;
    admin.text(format!("CREATE DATABASE {name}")).run().await.unwrap();
    admin.close().await;
    name
}

fn with_database(base: &str, name: &str) -> String {
    let (front, query) = base.split_once('?').map_or((base, String::new()), |(f, q)| (f, format!("?{q}")));
    let server = front.rsplit_once('/').map_or(front, |(server, _)| server);
    format!("{server}/{name}{query}")
}
