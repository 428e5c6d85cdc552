//! The database roles of docs/guides/operations.md: the SQL that stands there is run, and each role does its work and no more.

use backshift_testkit::{servers::TestDatabase, wait};

use crate::scene::{Ended, PATIENCE, Session, Settings, Worker, backshift};

pub(crate) const ROLES: [&str; 3] = ["backshift_owner", "backshift_app", "backshift_read"];

/// A database with the guide's roles, under names that no other test has.
pub(crate) struct Site {
    pub(crate) database: TestDatabase,
    mark: String,
}

impl Site {
    pub(crate) async fn new() -> Option<Self> {
        let database = TestDatabase::create().await?;
        let mark = database.name().to_owned();
        let site = Self { database, mark };
        site.run_sql(&site.renamed(&guide("Database roles", "sql", 0))).await;
        Some(site)
    }

    /// Roles are the whole server's, so each site has its own.
    fn renamed(&self, sql: &str) -> String {
        ROLES.iter().fold(sql.to_owned(), |sql, role| sql.replace(role, &self.role(role)))
    }

    pub(crate) fn role(&self, role: &str) -> String {
        format!("{}_{}", role.trim_start_matches("backshift_"), self.mark)
    }

    async fn run_sql(&self, sql: &str) {
        Session::open(&self.database.url()).await.run(sql).await;
    }

    fn settings(&self, role: &str) -> Settings {
        self.settings_in(&self.database, role)
    }

    /// The same role in another database of the server.
    pub(crate) fn settings_in(&self, database: &TestDatabase, role: &str) -> Settings {
        let mut url = url::Url::parse(&database.url()).unwrap();
        url.set_username(&self.role(role)).unwrap();
        Settings::of(&[
            ("DATABASE_URL", url.as_str()),
            ("BACKSHIFT_DATABASE_SCHEMA", "backshift"),
            ("BACKSHIFT_PROBE", "true"),
        ])
    }

    async fn run(&self, role: &str, arguments: &[&str]) -> Ended {
        backshift(arguments, &self.settings(role).pairs()).await
    }

    async fn end(self) {
        self.end_with(&[]).await;
    }

    /// The same where the roles have something in other databases too.
    pub(crate) async fn end_with(self, others: &[&TestDatabase]) {
        for role in ROLES.iter().rev().map(|role| self.role(role)) {
            // One by one: PostgreSQL trips over default privileges that belong to two of them.
            for database in others.iter().copied().chain([&self.database]) {
                Session::open(&database.url()).await.run(&format!("DROP OWNED BY {role} CASCADE")).await;
            }
            self.run_sql(&format!("DROP ROLE {role}")).await;
        }
    }
}

/// The block of this language in a chapter of the guide; a chapter may have several.
pub(crate) fn guide(chapter: &str, language: &str, number: usize) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guides/operations.md");
    let guide = std::fs::read_to_string(path).unwrap();
    let (_, rest) = guide.split_once(&format!("## {chapter}\n")).unwrap();
    let (chapter, _) = rest.split_once("\n## ").unwrap();
    let block = chapter.split(&format!("```{language}\n")).nth(number + 1).unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

#[track_caller]
fn refused(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, 78, "{ended:?}");
    words.iter().for_each(|word| assert!(ended.err.contains(word), "{word:?} in {ended:?}"));
}

#[tokio::test]
async fn each_role_of_the_guide_does_its_work_and_no_more() {
    let Some(site) = Site::new().await else { return };
    let [owner, app, read] = ROLES;
    refused(&site.run(app, &["migrate", "up"]).await, &["database.url", "permission denied"]);
    refused(&site.run(app, &["doctor"]).await, &["backshift migrate up"]);
    site.run(owner, &["migrate", "up", "--line", "mail", "--line", "identity"]).await.done();
    let looked = site.run(app, &["doctor"]).await.done();
    assert!(
        looked.out.contains("reads and writes every table") && looked.out.contains("s apart"),
        "{looked:?}"
    );

    let payload = r#"{"key":"roles"}"#;
    let worker = Worker::ready(&["worker"], &site.settings(app)).await;
    site.run(app, &["enqueue", "backshift.probe", "--payload", payload]).await.done();
    let completed = async |role| {
        let listed = site.run(role, &["jobs", "list", "--state", "completed", "--json"]).await.done();
        listed.list().len()
    };
    assert!(wait::until(PATIENCE, || async { completed(app).await == 1 }).await, "{}", worker.output());
    site.run(app, &["queues", "pause", "default"]).await.done();
    assert_eq!(worker.drained().await, Some(0));

    assert_eq!(completed(read).await, 1);
    for looking in [&["queues", "list"][..], &["migrate", "status"], &["suppressions", "list"]] {
        site.run(read, looking).await.done();
    }
    let enqueue = ["enqueue", "backshift.probe", "--payload", payload];
    refused(&site.run(read, &enqueue).await, &["database.url", "permission denied", "grant it to the role"]);
    refused(&site.run(read, &["queues", "resume", "default"]).await, &["permission denied"]);
    let looked = site.run(read, &["doctor"]).await;
    refused(&looked, &["database.url", "permission denied", "GRANT SELECT, INSERT, UPDATE, DELETE"]);
    site.end().await;
}

/// Each right by itself: also of a table that no start looks at.
#[tokio::test]
async fn a_missing_right_on_any_table_is_found_and_nothing_is_changed_by_looking() {
    let Some(site) = Site::new().await else { return };
    let [owner, app, _] = ROLES;
    site.run(owner, &["migrate", "up", "--line", "mail", "--line", "identity"]).await.done();
    let role = site.role(app);
    for (right, table) in [("DELETE", "job_schedules"), ("INSERT", "email_sends"), ("UPDATE", "users")] {
        site.run_sql(&format!("REVOKE {right} ON backshift.{table} FROM {role}")).await;
        refused(&site.run(app, &["doctor"]).await, &[&format!("{role} lacks {right} on {table}"), "GRANT"]);
        site.run_sql(&format!("GRANT {right} ON backshift.{table} TO {role}")).await;
    }
    site.run_sql(&format!("ALTER ROLE {role} SET default_transaction_read_only = on")).await;
    refused(&site.run(app, &["doctor"]).await, &["25006", "default_transaction_read_only"]);
    site.run_sql(&format!("ALTER ROLE {role} RESET default_transaction_read_only")).await;
    site.run(app, &["doctor"]).await.done();
    assert!(site.run(app, &["jobs", "list", "--json"]).await.done().list().is_empty());
    site.end().await;
}

/// `migrate = auto` would migrate at the next start; looking does not.
#[tokio::test]
async fn a_doctor_migrates_nothing() {
    let Some(database) = TestDatabase::create().await else { return };
    let url = database.url();
    let settings = [("DATABASE_URL", url.as_str()), ("BACKSHIFT_MIGRATE", "auto")];
    let looked = backshift(&["doctor"], &settings).await.done();
    assert!(looked.out.contains("the next start brings the schema up"), "{looked:?}");
    let status = backshift(&["migrate", "status", "--json"], &settings).await.done().list();
    assert!(status.iter().all(|step| step["applied_at"].is_null()), "{status:?}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("empty.db");
    std::fs::write(&file, "").unwrap();
    let file_url = format!("sqlite:{}", file.display());
    let looked = backshift(&["doctor"], &[("DATABASE_URL", &*file_url)]).await.done();
    assert!(looked.out.contains("next start") && looked.out.contains("MiB free"), "{looked:?}");
    let tables: u32 = rusqlite::Connection::open(&file)
        .unwrap()
        .query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 0);
}
