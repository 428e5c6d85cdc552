//! Many at once from the command line: counted and asked before, killed in the middle and gone on with, nothing twice.

use backshift_testkit::{process::Running, servers::TestDatabase, wait};
use tokio_postgres::{Client, NoTls};

use crate::scene::{PATIENCE, backshift};

const DEAD: &str = "INSERT INTO background_jobs (id, job_type, status, queue, broker, token, attempts, failures, created_at, \
     finished_at, payload, payload_size, reason, error_message, error_fingerprint, kept) \
     SELECT gen_random_uuid(), 'a.b', 'dead', 'q', 'postgres', 1, 3, 3, now() - n * interval '1 second', now(), '\\x7b7d', 2, \
     'permanent', '550 no ' || n % 2, CASE WHEN n % 5 = 0 THEN 'error: 450 busy' ELSE 'error: 550 no *' END, true \
     FROM generate_series(1, 2000) n";

async fn connected(database: &TestDatabase) -> Client {
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn number(client: &Client, what: &str) -> i64 {
    client.query_one(&format!("SELECT COUNT(*) FROM {what}"), &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn two_thousand_are_retried_by_a_command_that_was_killed_and_run_again() {
    let Some(database) = TestDatabase::create().await else { return };
    let url = database.url();
    let settings = [("DATABASE_URL", url.as_str()), ("USER", "ann")];
    backshift(&["migrate", "up"], &settings).await.done();
    let client = connected(&database).await;
    client.batch_execute(DEAD).await.unwrap();
    // Looked at first: by cause, and without changing anything.
    let causes = backshift(&["dead", "group", "--json"], &settings).await.done().list();
    assert_eq!(
        (causes[0]["jobs"].as_u64(), causes[1]["jobs"].as_u64()),
        (Some(1600), Some(400)),
        "{causes:?}"
    );
    let look = ["jobs", "retry", "--state", "dead", "--cause", "error: 450 busy", "--dry-run"];
    let look = backshift(&look, &settings).await.done();
    assert!(look.out.contains("400 jobs would"), "{look:?}");
    // Nobody is there to be asked.
    let unasked = backshift(&["jobs", "retry", "--state", "dead"], &settings).await;
    assert!(
        unasked.code == 2 && unasked.err.contains("2000 jobs") && unasked.err.contains("--yes"),
        "{unasked:?}"
    );
    assert_eq!(number(&client, "background_jobs WHERE status = 'dead'").await, 2000);
    // Somebody holds a job of the second batch: the command stands there and is killed.
    let mut holder = connected(&database).await;
    let held = holder.transaction().await.unwrap();
    // By its id: with OFFSET the rows before it would be locked as well.
    let second = "SELECT id FROM background_jobs WHERE id = \
        (SELECT id FROM background_jobs ORDER BY created_at DESC OFFSET 700 LIMIT 1) FOR UPDATE";
    held.query_one(second, &[]).await.unwrap();
    let retry = ["jobs", "retry", "--state", "dead", "--yes", "--why", "it is mended", "--json"];
    let running = Running::start(&retry, &settings);
    let begun = wait::until(PATIENCE, || async { number(&client, "job_deeds").await == 500 }).await;
    assert!(begun, "{}", running.output());
    running.kill().await;
    held.rollback().await.unwrap();
    let again = backshift(&retry, &settings).await.done();
    assert!(again.err.contains("going on with what was begun before"), "{again:?}");
    let told = again.json();
    assert_eq!((told["found"].as_u64(), told["changed"].as_u64()), (Some(2000), Some(2000)), "{told}");
    assert_eq!(number(&client, "(SELECT DISTINCT job_id FROM job_deeds) d").await, 2000);
    assert_eq!(number(&client, "job_deeds WHERE why = 'it is mended' AND who LIKE 'ann@%'").await, 2000);
    assert_eq!(number(&client, "background_jobs WHERE status = 'available'").await, 2000);
    let hands = backshift(&["jobs", "hands", "--json"], &settings).await.done().list();
    assert_eq!(hands.len(), 1, "a sweep is told once: {hands:?}");
    assert_eq!(
        (hands[0]["changed"].as_u64(), hands[0]["words"].as_str()),
        (Some(2000), Some("--state dead"))
    );
}

#[tokio::test]
async fn every_single_hand_is_told_with_its_name_and_reason() {
    let file = tempfile::tempdir().unwrap();
    let store = format!("embedded:{}", file.path().join("q.db").display());
    let settings = [("BACKSHIFT_BROKER_URL", store.as_str()), ("USER", "ann")];
    let enqueue = ["enqueue", "a.b", "--payload", "{}", "--queue", "q", "--json"];
    let id = backshift(&enqueue, &settings).await.done().list()[0].as_str().unwrap().to_owned();
    backshift(&["jobs", "cancel", &id, "--why", "by mistake"], &settings).await.done();
    backshift(&["jobs", "retry", &id], &settings).await.done();
    let refused = backshift(&["jobs", "delete", &id], &settings).await;
    assert!(refused.code == 1 && refused.err.contains("only what is over is deleted"), "{refused:?}");
    backshift(&["queues", "pause", "q", "--why", "deploy"], &settings).await.done();
    let shown = backshift(&["jobs", "show", &id], &settings).await.done().out;
    let (cancelled, again) =
        (shown.find("Cancelled by ann@").unwrap(), shown.find("Made to run again by ann@").unwrap());
    assert!(cancelled < again && shown.contains("by mistake"), "{shown}");
    let show = backshift(&["jobs", "show", &id, "--json"], &settings).await.done().json();
    assert_eq!(
        (show["hands"][0]["deed"].as_str(), show["hands"][0]["why"].as_str()),
        (Some("cancel"), Some("by mistake"))
    );
    backshift(&["jobs", "cancel", &id], &settings).await.done();
    backshift(&["jobs", "delete", &id], &settings).await.done();
    let hands = backshift(&["jobs", "hands", "--json"], &settings).await.done().list();
    let deeds: Vec<_> = hands.iter().filter_map(|hand| hand["deed"].as_str()).collect();
    assert_eq!(deeds, ["delete", "cancel", "pause", "retry", "cancel"], "newest first");
    assert!(
        hands.iter().all(|hand| hand["who"].as_str().is_some_and(|who| who.starts_with("ann@"))),
        "{hands:?}"
    );
    let table = backshift(&["jobs", "hands"], &settings).await.done().out;
    assert!(table.contains("queue q") && table.contains("deploy"), "{table}");
}

#[tokio::test]
async fn what_is_done_to_many_is_said_exactly() {
    let file = tempfile::tempdir().unwrap();
    let store = format!("embedded:{}", file.path().join("q.db").display());
    let settings = [("BACKSHIFT_BROKER_URL", store.as_str())];
    backshift(&["migrate", "up"], &settings).await.done();
    let id = "019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55";
    for (args, said) in [
        (vec!["jobs", "retry"], "--state"),
        (vec!["jobs", "retry", id, "--kind", "a.b"], "not both"),
        (vec!["jobs", "cancel", id, "--dry-run"], "not both"),
        (vec!["jobs", "retry", id, "--state", "dead"], "cannot be used with"),
        (vec!["jobs", "retry", "--state", "completed", "--yes"], "does not apply"),
        (vec!["jobs", "delete", "--state", "running", "--yes"], "does not apply"),
        (vec!["jobs", "cancel", "--state", "nonsense", "--yes"], "nonsense"),
        (vec!["jobs", "retry", "--state", "dead", "--since", "yesterday", "--yes"], "no time"),
        (vec!["dead", "group", "--state", "running"], "leave --state out"),
        (vec!["jobs", "hands", "--before", "then"], "no time"),
        (vec!["jobs", "hands", "--limit", "501"], "501"),
    ] {
        let refused = backshift(&args, &settings).await;
        assert!(refused.code == 2 && refused.err.contains(said), "{args:?}: {refused:?}");
    }
    let long = "x".repeat(1001);
    let refused = backshift(&["jobs", "retry", id, "--why", &long], &settings).await;
    assert!(refused.code == 2 && refused.err.contains("1000 bytes"), "{refused:?}");
    assert!(
        backshift(&["jobs", "hands", "--json"], &settings).await.done().list().is_empty(),
        "nothing was done"
    );
}
