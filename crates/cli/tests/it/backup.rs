//! Backup and restore: the commands of docs/guides/operations.md are run as they stand there, while a worker works.
//!
//! The old site goes on after its copy was made. So what counts is the copy by itself: every job in it ends, and each effect
//! is in it once, although many of these jobs ended in the old place too.

use std::path::Path;

use backshift_testkit::{
    process::backshift_binary,
    programs::{self, find},
    servers::TestDatabase,
    wait,
};
use serde_json::{Value, json};

use crate::{
    roles::{ROLES, Site, guide},
    scene::{Ended, PATIENCE, Session, Settings, Worker, backshift, backshift_fed, stretched, stretched_ms},
};

const JOBS: usize = 100;
/// The name of the lease; one that a copy need not outlast for long is [`stretched`] from 5 s.
const LEASE: &str = "BACKSHIFT_WORKER_LEASE";

/// Jobs of the site's default queue, one of which does not end by itself; that one's id.
async fn fill(site: &Settings) -> String {
    let job = |key: String, priority: i32, ms: u64| {
        let payload = json!({"key": key, "mode": "sleep", "ms": ms});
        json!({"kind": "backshift.probe", "priority": priority, "payload": payload}).to_string()
    };
    let long = job("long".to_owned(), 1, 3_600_000);
    // All of them take longer than what looks at them and copies them meanwhile, also on a busy machine.
    let ms = stretched_ms(100);
    let lines: Vec<_> = [long].into_iter().chain((0..JOBS).map(|n| job(format!("k{n}"), 0, ms))).collect();
    let ended =
        backshift_fed(&["enqueue", "--stdin", "--json"], &site.pairs(), lines.join("\n")).await.done();
    ended.list()[0].as_str().unwrap().to_owned()
}

async fn list(site: &Settings, state: &str) -> Vec<Value> {
    let arguments = ["jobs", "list", "--json", "--limit", "500", "--state", state];
    backshift(&arguments, &site.pairs()).await.done().list()
}

/// Runs a block of the guide's chapter here.
async fn run_block(number: usize, tools: &[&str], here: &Path, settings: &Settings) -> Ended {
    std::fs::write(here.join("guide.sh"), guide("Backup and restore", "sh", number)).unwrap();
    let own = backshift_binary().parent().unwrap().to_owned();
    let tools = tools.iter().map(|tool| find(tool).unwrap().parent().unwrap().to_owned());
    let path = std::env::join_paths([own].into_iter().chain(tools).chain(["/bin".into(), "/usr/bin".into()]));
    let mut command = programs::command("sh").unwrap();
    command.args(["-c", "exec sh -eu guide.sh"]).current_dir(here).env_clear();
    command.envs(settings.pairs()).env("PATH", path.unwrap()).output().await.unwrap().into()
}

/// A worker that has done some of the jobs and has many left, so that the copy is made in the middle of it.
async fn busy_worker(site: &Settings) -> Worker {
    let worker = Worker::ready(&["worker", "--queue", "default:2"], site).await;
    let begun = || async { list(site, "completed").await.len() > 1 && list(site, "running").await.len() > 1 };
    assert!(wait::until(PATIENCE, begun).await, "{}", worker.output());
    worker
}

/// Works off the copy; the long job is given up there.
async fn work_off(copy: &Settings, long: &str) {
    let worker = Worker::ready(&["worker", "--queue", "default:50"], copy).await;
    let all = || async { list(copy, "completed").await.len() == JOBS };
    assert!(wait::until(PATIENCE, all).await, "{}", worker.output());
    backshift(&["jobs", "cancel", long], &copy.pairs()).await.done();
    let given_up = || async { list(copy, "cancelled").await.iter().any(|job| job["id"] == long) };
    assert!(wait::until(PATIENCE, given_up).await, "{}", worker.output());
    assert_eq!(worker.drained().await, Some(0));
}

fn each_once(mut effects: Vec<String>) {
    effects.sort();
    let mut wanted: Vec<_> = (0..JOBS).map(|n| format!("k{n}")).collect();
    wanted.sort();
    assert_eq!(effects, wanted);
}

#[tokio::test]
async fn a_dump_of_a_site_at_work_comes_back_with_its_roles_and_is_worked_off() {
    let (Some(site), Some(other)) = (Site::new().await, TestDatabase::create().await) else { return };
    let here = tempfile::tempdir().unwrap();
    let [owner, app, _] = ROLES;
    let lease = stretched(5000);
    let [old, new] =
        [&site.database, &other].map(|database| site.settings_in(database, app).with(&[(LEASE, &lease)]));
    backshift(&["migrate", "up"], &site.settings_in(&site.database, owner).pairs()).await.done();
    let long = fill(&old).await;
    let worker = busy_worker(&old).await;
    // The database's owner makes the dump and restores it, as the guide says.
    let urls = [("DATABASE_URL", &*site.database.url()), ("NEW_DATABASE_URL", &*other.url())];
    run_block(0, &["pg_dump", "pg_restore"], here.path(), &old.with(&urls)).await.done();
    assert_eq!(worker.drained().await, Some(0));

    assert!(!list(&new, "available").await.is_empty(), "it was made in the middle of the work");
    // Whoever migrates owns the tables, so that the next version can be brought up; the application has its rights.
    let of_owner = backshift(&["doctor"], &site.settings_in(&other, owner).pairs()).await.done();
    assert!(of_owner.out.contains("may run `migrate up` in schema backshift"), "{of_owner:?}");
    backshift(&["migrate", "up"], &site.settings_in(&other, owner).pairs()).await.done();
    let index = "ALTER TABLE backshift.background_jobs ADD COLUMN of_the_next_version text";
    let mut url = url::Url::parse(&other.url()).unwrap();
    url.set_username(&site.role(owner)).unwrap();
    Session::open(url.as_str()).await.run(index).await;
    work_off(&new, &long).await;
    let session = Session::open(&other.url()).await;
    each_once(session.run("SELECT key FROM backshift.backshift_probe_effects").await);
    drop(session);
    site.end_with(&[&other]).await;
}

#[tokio::test]
async fn a_copy_of_a_file_at_work_is_whole_private_and_is_worked_off() {
    let here = tempfile::tempdir().unwrap();
    let data = here.path().join(".backshift");
    let (data, lease) = (data.to_str().unwrap(), stretched(5000));
    let old = Settings::of(&[("BACKSHIFT_DATA_DIR", data), ("BACKSHIFT_PROBE", "true"), (LEASE, &lease)]);
    let copy = here.path().join("copy.db");
    let new = old.with(&[("DATABASE_URL", &format!("sqlite:{}", copy.display()))]);
    let long = fill(&old).await;
    let worker = busy_worker(&old).await;
    let looked = run_block(1, &["sqlite3"], here.path(), &old).await.done();
    assert!(!looked.out.contains("is open to others"), "{looked:?}");
    assert_eq!(worker.drained().await, Some(0));

    assert!(!list(&new, "available").await.is_empty(), "it was made in the middle of the work");
    work_off(&new, &long).await;
    let file = rusqlite::Connection::open(&copy).unwrap();
    let mut statement = file.prepare("SELECT key FROM backshift_probe_effects").unwrap();
    let effects = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    each_once(effects);
}
