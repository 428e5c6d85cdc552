//! System C as a whole: database, broker and mail server of one test, and the settings that name them.

use backshift_testkit::servers::TestDatabase;
use serde_json::Value;
use tokio_postgres::{NoTls, Row, types::ToSql};

use super::{Api, Ended, Smtp, Vhost, Worker, backshift};

/// Settings in the order in which they were made; a later one replaces an earlier one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings(Vec<(String, String)>);

impl Settings {
    /// These settings.
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        Self::default().with(pairs)
    }

    /// With these as well.
    #[must_use]
    pub(crate) fn with(&self, pairs: &[(&str, &str)]) -> Self {
        let mut all = self.0.clone();
        for (name, value) in pairs {
            all.retain(|(known, _)| known != name);
            all.push(((*name).to_owned(), (*value).to_owned()));
        }
        Self(all)
    }

    /// System C's own, with pauses and delays that a test can wait for.
    pub(crate) fn system_c(database: &str, broker: &str, smtp: u16) -> Self {
        Self::of(&[
            ("DATABASE_URL", database),
            ("RABBITMQ_URL", broker),
            ("SMTP_HOST", "127.0.0.1"),
            ("SMTP_PORT", &smtp.to_string()),
            ("SMTP_USERNAME", "mailer"),
            ("SMTP_PASSWORD", "Sm7p-password"),
            ("SMTP_FROM", "noreply@smap.example"),
            ("SMTP_FROM_NAME", "SMAP"),
            ("JWT_SECRET", JWT_SECRET),
            ("LOGGER_ENCODING", "json"),
            ("BACKSHIFT_MAIL_RETRY_BASE", "50ms"),
            ("BACKSHIFT_MAIL_RETRY_CAP", "200ms"),
            ("BACKSHIFT_MAIL_MAX_ATTEMPTS", "4"),
            ("BACKSHIFT_MAIL_PAUSE", "500ms"),
            ("BACKSHIFT_SHUTDOWN_GRACE", "5s"),
        ])
    }

    /// As the process helpers take them.
    pub(crate) fn pairs(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

/// Everything that one scenario needs. The order of the fields is the order in which they go away.
pub(crate) struct SystemC {
    pub(crate) settings: Settings,
    pub(crate) smtp: Smtp,
    pub(crate) vhost: Vhost,
    pub(crate) database: TestDatabase,
}

/// The secret that signs tokens in all scenarios.
pub(crate) const JWT_SECRET: &str = "scenario-secret-of-at-least-32-bytes";

impl SystemC {
    /// A migrated database, an empty broker, a friendly mail server; `None` = skip the test.
    pub(crate) async fn new() -> Option<Self> {
        let this = Self::unmigrated().await?;
        this.run(&["migrate", "up"]).await.done();
        Some(this)
    }

    /// The same with an empty database.
    pub(crate) async fn unmigrated() -> Option<Self> {
        let database = TestDatabase::create().await?;
        let vhost = Vhost::create().await?;
        let smtp = Smtp::start().await;
        let settings = Settings::system_c(&database.url(), vhost.url(), smtp.port);
        Some(Self { settings, smtp, vhost, database })
    }

    /// Changes settings of what is started from now on.
    pub(crate) fn set(&mut self, pairs: &[(&str, &str)]) {
        self.settings = self.settings.with(pairs);
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        backshift(arguments, &self.settings.pairs()).await
    }

    /// A worker that is ready.
    pub(crate) async fn worker(&self) -> Worker {
        Worker::ready(&["worker"], &self.settings).await
    }

    /// An API that is ready.
    pub(crate) async fn api(&self) -> Api {
        Api::ready(&self.settings).await
    }

    /// `jobs list --json` with these filters.
    pub(crate) async fn jobs(&self, filters: &[&str]) -> Vec<Value> {
        let arguments = [&["jobs", "list", "--json", "--limit", "500"], filters].concat();
        self.run(&arguments).await.done().list()
    }

    /// Rows of the database.
    pub(crate) async fn rows(&self, statement: &str, values: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        let (client, connection) = tokio_postgres::connect(&self.database.url(), NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let rows = client.query(statement, values).await.unwrap();
        connection.abort();
        rows
    }

    /// Statements of the test's own.
    pub(crate) async fn execute(&self, statements: &str) {
        let (client, connection) = tokio_postgres::connect(&self.database.url(), NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute(statements).await.unwrap();
        connection.abort();
    }
}
