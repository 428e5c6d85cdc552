//! `backshift enqueue`: what is printed is durable, what is not accepted is named, and an id is accepted once.

use std::time::Duration;

use backshift_testkit::{pace, ports::free_port, process::backshift_binary, programs};
use serde_json::{Value, json};

use crate::scene::{Embedded, backshift, backshift_fed, fed};

const ID: &str = "019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55";

#[tokio::test]
async fn ids_are_printed_and_numbers_are_filled_in() {
    let here = Embedded::with(&[]);
    let plain = here.run(&["enqueue", "test.kind", "--payload", "{}"]).await.done();
    let id: uuid::Uuid = plain.out.trim().parse().unwrap();
    assert_eq!((id.get_version_num(), plain.out.trim()), (7, id.hyphenated().to_string().as_str()));
    let many = here.run(&[
        "enqueue",
        "test.kind",
        "--payload",
        r#"{"key":"k-{n}"}"#,
        "--count",
        "3",
        "--json",
        "--queue",
        "q",
    ]);
    let ids = many.await.done().list();
    assert_eq!(ids.len(), 3);
    let jobs = here.list(&["--limit", "500"]).await;
    assert_eq!(jobs.len(), 4);
    for name in [
        "id",
        "kind",
        "queue",
        "broker",
        "state",
        "attempt",
        "max_attempts",
        "run_at",
        "created_at",
        "finished_at",
        "error",
        "effect",
    ] {
        assert!(jobs[0].get(name).is_some(), "{name} in {}", jobs[0]);
    }
    let found = jobs.iter().find(|job| job["id"] == ids[0]).unwrap();
    assert_eq!(
        (&found["queue"], &found["state"], &found["broker"]),
        (&json!("q"), &json!("available"), &json!("embedded"))
    );
    assert!(found["created_at"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn a_known_id_is_printed_again_and_the_first_payload_is_kept() {
    let here = Embedded::with(&[]);
    let first =
        here.run(&["enqueue", "k", "--payload", r#"{"n":1}"#, "--id", &ID.to_uppercase()]).await.done();
    assert_eq!(first.out.trim(), ID);
    let again = here.run(&["enqueue", "k", "--payload", r#"{"n":1}"#, "--id", ID]).await.done();
    assert_eq!((again.out.trim(), again.err.as_str()), (ID, ""));
    let other = here.run(&["enqueue", "k", "--payload", r#"{"n":2}"#, "--id", ID, "--json"]).await.done();
    assert_eq!(other.list(), [json!(ID)]);
    assert!(other.err.contains("another payload"), "{other:?}");
    assert_eq!(here.list(&["--limit", "500"]).await.len(), 1);
}

#[tokio::test]
async fn a_unique_key_is_held_by_one_unfinished_job() {
    let here = Embedded::with(&[]);
    let one = ["enqueue", "k", "--payload", "{}", "--unique-key", "only-one", "--json"];
    let first = here.run(&one).await.done().list();
    let second = here.run(&one).await.done().list();
    assert_eq!(first, second, "the holder's id");
    assert_eq!(here.list(&["--limit", "500"]).await.len(), 1);
    here.run(&["jobs", "cancel", first[0].as_str().unwrap()]).await.done();
    assert_ne!(here.run(&one).await.done().list(), first);
}

#[tokio::test]
async fn delays_and_priorities_are_kept() {
    let here = Embedded::with(&[]);
    here.run(&["enqueue", "k", "--payload", "{}", "--in", "5m", "--priority", "-7"]).await.done();
    here.run(&["enqueue", "k", "--payload", "{}", "--at", "2099-01-02T03:04:05Z", "--priority", "9"])
        .await
        .done();
    let jobs = here.list(&["--limit", "500"]).await;
    assert!(jobs.iter().all(|job| job["state"] == "scheduled"), "{jobs:?}");
    let at = |job: &Value| job["run_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(at(&jobs[0]), "2099-01-02T03:04:05Z".parse().unwrap());
    let wait = (at(&jobs[1]) - jiff::Timestamp::now()).total(jiff::Unit::Second).unwrap();
    assert!((200.0..=300.0).contains(&wait), "{wait}");
    assert_eq!((&jobs[0]["priority"], &jobs[1]["priority"]), (&json!(9), &json!(-7)));
}

#[tokio::test]
async fn standard_input_takes_lines_and_names_the_bad_ones() {
    let here = Embedded::with(&[]);
    let lines = [
        json!({"kind": "a", "payload": {"n": 1}, "id": ID}).to_string(),
        json!({"kind": "b", "queue": "other", "payload": {"k": "{n}"}, "count": 3, "priority": 5})
            .to_string(),
        json!({"kind": "c", "payload": {}, "in": "10m", "unique_key": "u"}).to_string(),
        json!({"kind": "d", "payload": {}, "at": "2099-01-01T00:00:00Z"}).to_string(),
    ];
    let good = here.fed(&["enqueue", "--stdin", "--json"], &lines.join("\n")).await.done();
    assert_eq!(good.list().len(), 6);
    assert_eq!(good.list()[0], ID);
    let mixed =
        format!("{}\nnope\n{}\n{}\n", lines[0], json!({"kind": "a"}), json!({"kind": "e", "payload": {}}));
    let partly = here.fed(&["enqueue", "--stdin", "--json"], &mixed).await;
    assert_eq!(partly.code, 1, "{partly:?}");
    assert_eq!(partly.list().len(), 2, "{partly:?}");
    assert!(partly.err.contains("line 2") && partly.err.contains("line 3"), "{partly:?}");
    assert_eq!(here.list(&["--limit", "500"]).await.len(), 7, "what was accepted before was not added again");
    let odd = b"{\"kind\":\"k\",\"payload\":\"\xff\"}\n{\"kind\":\"k\",\"payload\":1}\n{\"kind\":\"k\",\"kind\":\"k\",\"payload\":1}";
    let partly = backshift_fed(&["enqueue", "--stdin", "--json"], &here.settings.pairs(), odd).await;
    assert_eq!((partly.code, partly.list().len()), (1, 1), "{partly:?}");
    assert!(partly.err.contains("line 1") && partly.err.contains("line 3"), "{partly:?}");
}

#[tokio::test]
async fn no_line_of_standard_input_is_endless() {
    let here = Embedded::with(&[]);
    let count = |count: u64| json!({"kind": "k", "payload": 1, "count": count}).to_string();
    let long = format!("{{\"kind\":\"k\",\"payload\":\"{}\"}}", "x".repeat(3 << 20));
    let lines = [count(u64::MAX), count(100_000_001), count(0), long, count(2)];
    let partly = here.fed(&["enqueue", "--stdin", "--json"], &lines.join("\n")).await;
    assert_eq!((partly.code, partly.list().len()), (1, 2), "{}", partly.err);
    for line in ["line 1: count", "line 2: count", "line 3: count", "line 4: longer than"] {
        assert!(partly.err.contains(line), "{line}: {}", partly.err);
    }
}

/// Under a limit of the kernel for everything that a process writes to. 500 copies of such lines, or of the largest payloads,
/// are several times that.
#[tokio::test]
async fn what_a_line_asks_for_is_measured_before_it_is_made() {
    const LIMIT: u64 = 96 << 20;
    let here = Embedded::with(&[]);
    let line =
        |payload: String, count: u64| json!({"kind": "k", "payload": payload, "count": count}).to_string();
    let lines = [
        line("x".repeat(1_900_000), 500),
        line("x".repeat(300 * 1024), 100_000_000),
        // With one digit it fits and with two it does not.
        line("{n}".repeat(200_000), 100_000_000),
        line("x".repeat(250 * 1024), 500),
        json!({"kind": "k", "payload": 1, "count": 100_000_000, "priority": 101}).to_string(),
    ];
    let mut command = programs::command("prlimit").unwrap();
    command.arg(format!("--data={LIMIT}")).arg(backshift_binary()).args(["enqueue", "--stdin", "--json"]);
    command.env_clear().envs(here.settings.pairs());
    let partly = fed(command, lines.join("\n")).await;
    assert_eq!((partly.code, partly.list().len()), (1, 10 + 500), "{}", partly.err);
    for text in [
        "500 jobs not accepted: line 1: the payload has 1900002 bytes",
        "100000000 jobs not accepted: line 2: the payload has",
        "99999990 jobs not accepted: line 3: the payload has 400002 bytes",
        "not accepted: line 5: priority 101 is not in -100..=100",
    ] {
        assert!(partly.err.contains(text), "{text}: {}", partly.err);
    }
    assert!(partly.err.lines().count() < 10, "one line each: {}", partly.err);
}

#[tokio::test]
async fn wrong_use_is_2_and_an_absent_server_69() {
    let here = Embedded::with(&[]);
    for wrong in [
        &["enqueue"][..],
        &["enqueue", "k"],
        &["enqueue", "k", "--payload", "{"],
        &["enqueue", "k", "--payload", "{}", "--id", "no-uuid"],
        &["enqueue", "k", "--payload", "{}", "--id", ID, "--count", "2"],
        &["enqueue", "k", "--payload", "{}", "--in", "5"],
        &["enqueue", "k", "--payload", "{}", "--in", "5s", "--at", "2099-01-01T00:00:00Z"],
        &["enqueue", "k", "--payload", "{}", "--at", "tomorrow"],
        &["enqueue", "k", "--payload", "{}", "--in", "9999999999h"],
        &["enqueue", "k", "--payload", "{}", "--unique-key", "u", "--unique-policy", "keep"],
        &["enqueue", "k", "--payload", "{}", "--unique-policy", "reject"],
        &["enqueue", "k", "--payload", "{}", "--priority", "500"],
        &["enqueue", "bad kind!", "--payload", "{}"],
        &["enqueue", "k", "--payload", "{}", "--queue", "bad queue!"],
        &["enqueue", "k", "--payload", "{}", "--stdin"],
        &["enqueue", "k", "--payload", "{}", "--nonsense"],
    ] {
        let refused = here.run(wrong).await;
        assert_eq!(refused.code, 2, "{wrong:?}: {refused:?}");
        assert!(!refused.err.is_empty() && refused.out.is_empty(), "{wrong:?}: {refused:?}");
    }
    let both = json!({"kind": "k", "id": ID, "count": 1, "payload": {}}).to_string();
    for lines in [both.as_str(), "nope\n{\"kind\":\"k\"}\n"] {
        let refused = here.fed(&["enqueue", "--stdin", "--json"], lines).await;
        assert_eq!((refused.code, refused.list().len()), (2, 0), "{lines}: {refused:?}");
    }
    assert!(here.list(&["--limit", "500"]).await.is_empty());
    let nobody = free_port().unwrap();
    let postgres = format!("postgres://postgres@127.0.0.1:{nobody}/x");
    let amqp = format!("amqp://guest:guest@127.0.0.1:{nobody}/x");
    let enqueue = |arguments: &'static [&'static str], url: String| {
        let settings = here.settings.clone();
        async move {
            let begun = std::time::Instant::now();
            let ended = backshift(&[arguments, &[&url]].concat(), &settings.pairs()).await;
            (ended, begun.elapsed().as_secs())
        }
    };
    let (first, second) = tokio::join!(
        enqueue(&["enqueue", "k", "--payload", "{}", "--json", "--broker"], postgres),
        enqueue(&["enqueue", "k", "--payload", "{}", "--json", "--broker"], amqp)
    );
    for (ended, seconds) in [first, second] {
        assert_eq!(ended.code, 69, "{ended:?}");
        let most = pace::stretched(Duration::from_secs(20)).as_secs();
        assert!((8..=most).contains(&seconds), "gave up after {seconds} s");
        assert!(ended.list().is_empty() && !ended.err.contains("guest:guest"), "{ended:?}");
    }
}

#[tokio::test]
async fn large_and_odd_payloads_are_kept_or_refused_whole() {
    let here = Embedded::with(&[]);
    let exact = r#"{"n":9007199254740993,"d":0.1000000000000000055511151231257827,"s":"\u0000\ud83d\ude00"}"#;
    here.fed(&["enqueue", "--stdin"], &format!(r#"{{"kind":"k","id":"{ID}","payload":{exact}}}"#))
        .await
        .done();
    let database =
        here.settings.pairs().iter().find(|(name, _)| *name == "DATABASE_URL").unwrap().1.to_owned();
    let file = rusqlite::Connection::open(database.trim_start_matches("sqlite:")).unwrap();
    let stored: Vec<u8> =
        file.query_row("SELECT payload FROM background_jobs", [], |row| row.get(0)).unwrap();
    assert_eq!(String::from_utf8(stored).unwrap(), exact, "numbers beyond 2^53 are kept exactly");
    let big = format!(r#"{{"kind":"k","payload":"{}"}}"#, "x".repeat(300 * 1024));
    let refused = here.fed(&["enqueue", "--stdin", "--json"], &big).await;
    assert_eq!((refused.code, refused.list().len()), (1, 0), "{:.200}", refused.err);
    assert_eq!(here.list(&["--limit", "500"]).await.len(), 1);
}

#[tokio::test]
async fn a_kind_stands_in_its_own_queue_unless_another_is_named() {
    let here = Embedded::with(&[]);
    let mail = r#"{"Recipient":"a@example.com"}"#;
    here.run(&["enqueue", "email.send", "--payload", mail]).await.done();
    here.run(&["enqueue", "email.send", "--payload", mail, "--queue", "named"]).await.done();
    here.run(&["enqueue", "some.kind", "--payload", "{}"]).await.done();
    let lines = r#"{"kind":"email.send","payload":{}}
{"kind":"identity.send_code","payload":{}}
{"kind":"email.send","queue":"default","payload":{}}"#;
    here.fed(&["enqueue", "--stdin"], lines).await.done();
    let newest_first = here.list(&[]).await;
    let places: Vec<_> = newest_first.iter().rev().map(|job| (&job["kind"], &job["queue"])).collect();
    let wanted = [
        ("email.send", "mail"),
        ("email.send", "named"),
        ("some.kind", "default"),
        ("email.send", "mail"),
        ("identity.send_code", "identity"),
        ("email.send", "default"),
    ];
    assert_eq!(
        places,
        wanted.map(|(kind, queue)| (json!(kind), json!(queue))).each_ref().map(|(k, q)| (k, q))
    );
}
