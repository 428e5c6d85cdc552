//! Commands beside a running site: those that look make nothing, those that change something tell who waits for it.

use std::{fs, os::unix::fs::PermissionsExt};

use backshift_testkit::{ports::free_port, process::Running, servers::TestDatabase, wait};
use futures::{StreamExt, channel::mpsc, stream};
use tokio_postgres::{AsyncMessage, NoTls};

use crate::scene::{PATIENCE, Settings, backshift, request};

#[tokio::test]
async fn a_mistyped_path_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("not-there").join("jbos.db");
    let data = directory.path().join("data");
    let url = format!("sqlite:{}", path.display());
    let settings = [("DATABASE_URL", url.as_str()), ("BACKSHIFT_DATA_DIR", data.to_str().unwrap())];
    let id = "019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55";
    for command in [
        &["jobs", "list"][..],
        &["jobs", "show", id],
        &["jobs", "explain", id],
        &["jobs", "retry", id],
        &["jobs", "cancel", id],
        &["queues", "list"],
        &["queues", "explain", "q"],
        &["suppressions", "list"],
        &["users", "grant-admin", "a@example.com"],
        &["migrate", "status"],
        &["doctor"],
    ] {
        let ended = backshift(command, &settings).await;
        assert_eq!(ended.code, 78, "{command:?}: {ended:?}");
        assert!(ended.err.contains("no database file") && ended.err.contains("migrate up"), "{ended:?}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "{command:?} made something");
    }
    // Nothing was mistyped: nothing is there yet.
    let fresh = backshift(&["doctor"], &[("BACKSHIFT_DATA_DIR", data.to_str().unwrap())]).await.done();
    assert!(fresh.out.contains("nothing there yet"), "{fresh:?}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    backshift(&["enqueue", "a.b", "--payload", "{}"], &settings).await.done();
    backshift(&["jobs", "list"], &settings).await.done();
}

#[tokio::test]
async fn a_file_that_is_moved_under_dev_makes_it_not_ready_and_no_empty_one_appears() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port().unwrap().to_string();
    let data = directory.path().to_str().unwrap();
    let settings = Settings::of(&[("BACKSHIFT_DATA_DIR", data), ("BACKSHIFT_DEV_PORT", &port)]);
    let dev = Running::start(&["dev"], &settings.pairs());
    assert!(dev.wait_for_output("Backshift runs at", PATIENCE).await, "{}", dev.output());
    let (port, file) = (port.parse().unwrap(), directory.path().join("backshift.db"));
    let ready = async || request(port, "GET", "/readyz", &[], b"").await.unwrap();
    assert!(wait::until(PATIENCE, || async { ready().await.status == 200 }).await, "{}", ready().await.body);
    fs::rename(&file, directory.path().join("away.db")).unwrap();
    let away = ready().await;
    assert_eq!(away.status, 503, "{}", away.body);
    assert!(away.body.contains("moved or deleted"), "{}", away.body);
    for command in [&["jobs", "list"][..], &["enqueue", "a.b", "--payload", "{}"]] {
        let ended = backshift(command, &settings.pairs()).await;
        assert_eq!(ended.code, 78, "{command:?}: {ended:?}");
        assert!(!file.exists(), "{command:?} made an empty one");
    }
    fs::rename(directory.path().join("away.db"), &file).unwrap();
    assert!(wait::until(PATIENCE, || async { ready().await.status == 200 }).await, "{}", ready().await.body);
    backshift(&["enqueue", "a.b", "--payload", "{}"], &settings.pairs()).await.done();
    dev.kill().await;
    // The lock files of the killed one go with the next process that works there.
    let locks = || -> Vec<_> {
        let found = fs::read_dir(directory.path().join("backshift.db.workers")).unwrap();
        found.map(|entry| entry.unwrap().file_name()).collect()
    };
    let left = locks();
    assert_eq!(left.len(), 1);
    let again = Running::start(&["dev"], &settings.pairs());
    assert!(again.wait_for_output("Backshift runs at", PATIENCE).await, "{}", again.output());
    assert!(wait::until(PATIENCE, || async { locks().len() == 1 && locks() != left }).await);
}

/// Everything that is rung in this database.
async fn rings(database: &TestDatabase) -> mpsc::UnboundedReceiver<String> {
    let (client, mut connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
    let (sender, receiver) = mpsc::unbounded();
    tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(note) = message {
                let _ = sender.unbounded_send(note.payload().to_owned());
            }
        }
    });
    let name = "SELECT 'backshift_' || to_hex(hashtextextended(current_schema()::text, 0))";
    let channel: String = client.query_one(name, &[]).await.unwrap().get(0);
    client.batch_execute(&format!("LISTEN \"{channel}\"")).await.unwrap();
    // The connection ends with its client.
    tokio::spawn(async move {
        let _client = client;
        std::future::pending::<()>().await;
    });
    receiver
}

#[tokio::test]
async fn a_short_command_rings_before_it_ends() {
    let Some(database) = TestDatabase::create().await else { return };
    let url = database.url();
    let settings = [("DATABASE_URL", url.as_str())];
    backshift(&["migrate", "up"], &settings).await.done();
    let mut heard = rings(&database).await;
    let mut next = async || wait::within(PATIENCE, heard.next()).await.flatten();
    let enqueue = &["enqueue", "a.b", "--payload", "{}", "--queue", "work", "--json"];
    let mut rung = 0;
    for _ in 0..10 {
        backshift(enqueue, &settings).await.done();
        rung += u32::from(next().await.is_some_and(|payload| payload.starts_with("work ")));
    }
    assert_eq!(rung, 10, "every command rings");
    let id = backshift(enqueue, &settings).await.done().list()[0].as_str().unwrap().to_owned();
    assert!(next().await.is_some());
    backshift(&["jobs", "cancel", &id], &settings).await.done();
    backshift(&["jobs", "retry", &id], &settings).await.done();
    let work = async || {
        while let Some(payload) = next().await {
            if payload.starts_with("work ") {
                return true;
            }
        }
        false
    };
    let mut work = work;
    assert!(work().await, "a job that runs again is told of");
}

#[tokio::test]
async fn a_password_in_a_flag_and_a_file_that_others_may_touch_are_said() {
    let url = "postgres://me:geheim@127.0.0.1:1/x";
    let ended = backshift(&["jobs", "list", "--store", url], &[]).await;
    assert!(ended.err.contains("process list") && ended.err.contains("DATABASE_URL"), "{ended:?}");
    assert!(!ended.err.contains("geheim") && !ended.out.contains("geheim"), "{ended:?}");
    let quiet = backshift(&["jobs", "list"], &[("DATABASE_URL", url)]).await;
    assert!(!quiet.err.contains("process list"), "{quiet:?}");

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("my.toml");
    fs::write(&file, "[smtp]\npassword = \"geheim\"\n").unwrap();
    let show = async |mode: u32| {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        backshift(&["--config", file.to_str().unwrap(), "config", "show"], &[]).await
    };
    let open = show(0o666).await;
    assert_eq!(open.code, 78, "{open:?}");
    assert!(open.err.contains("everybody can write"), "{open:?}");
    for mode in [0o644, 0o640, 0o660] {
        let ended = show(mode).await.done();
        assert!(ended.err.contains("chmod 600"), "{mode:o}: {ended:?}");
    }
    assert_eq!(show(0o600).await.done().err, "");
    fs::write(&file, "max_attempts = 3\n").unwrap();
    assert_eq!(show(0o644).await.done().err, "", "there is nothing to read in it");
}
