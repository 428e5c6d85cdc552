//! Text of others on a terminal: no command sends on what a terminal would act on, whoever planted it.

use std::io::Write as _;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::scene::{Embedded, Ended};

/// Clears the screen, retitles the window (C0 and C1), turns the reading order, ends a line, deletes.
const PLANTED: &str =
    "evil\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}txt.exe\u{2066}\u{200f}\r\n\u{7f}\u{85}end";

fn acts(c: char) -> bool {
    c != '\n'
        && (c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

#[track_caller]
fn harmless(what: &[&str], ended: &Ended) {
    for text in [&ended.out, &ended.err] {
        let found: Vec<char> = text.chars().filter(|c| acts(*c)).collect();
        assert!(found.is_empty(), "{what:?} sent {found:?} in {ended:?}");
    }
}

pub(crate) fn file_of(here: &Embedded) -> std::path::PathBuf {
    let settings = here.settings.pairs();
    let url = settings.iter().find(|(name, _)| *name == "DATABASE_URL").unwrap().1;
    url.strip_prefix("sqlite:").unwrap().into()
}

/// A job whose every free text was written by somebody else.
async fn planted(here: &Embedded) -> String {
    let job = here.run(&["enqueue", "test.kind", "--payload", "{}", "--json"]).await.done().list();
    let id = job[0].as_str().unwrap().to_owned();
    let connection = rusqlite::Connection::open(file_of(here)).unwrap();
    let headers = serde_json::json!({"x-planted": PLANTED}).to_string();
    let text = "UPDATE background_jobs SET error_message = ?1, note = ?1, worker = ?1, reason = ?1, headers = ?2, output = ?3";
    connection.execute(text, rusqlite::params![PLANTED, headers, PLANTED.as_bytes()]).unwrap();
    // What others wrote beside the job: none of it keeps a command from its answer.
    for text in [
        "UPDATE background_jobs SET status = 'dead', error_fingerprint = ?1 WHERE id = ?2",
        "INSERT INTO job_deeds (at, deed, job_id, who, why) VALUES (1, ?1, ?2, ?1, ?1)",
        "INSERT INTO job_deeds (at, deed, queue, who, why) SELECT 1, ?1, ?1, ?1, ?1 WHERE ?2 <> ''",
        "INSERT OR REPLACE INTO job_queues (name, paused) SELECT ?1, 1 WHERE ?2 <> ''",
        "INSERT OR REPLACE INTO job_breakers (name, state, error) SELECT ?1, 'open', ?1 WHERE ?2 <> ''",
        "INSERT OR REPLACE INTO job_workers (name, queues, kinds, started_at, seen_at, troubles) \
         SELECT ?1, ?1, ?1, 1, unixepoch() * 1000000, ?1 WHERE ?2 <> ''",
    ] {
        connection.execute(text, rusqlite::params![PLANTED, id]).unwrap();
    }
    id
}

/// What others wrote keeps none of these from its answer.
const ANSWERED: [&[&str]; 12] = [
    &["jobs", "hands"],
    &["jobs", "hands", "--json"],
    &["dead", "group"],
    &["dead", "group", "--json"],
    &["jobs", "retry", "--state", "dead", "--cause", PLANTED, "--dry-run"],
    &["jobs", "retry", "--state", "dead", "--error", PLANTED, "--yes", "--json"],
    &["jobs", "list", "--text", PLANTED],
    &["queues", "explain", "default", "--json"],
    &["jobs", "list", "--state", "dead"],
    &["queues", "list", "--json"],
    &["queues", "explain", "default"],
    &["doctor", "--json"],
];

#[tokio::test]
async fn no_command_sends_on_what_a_terminal_acts_on() {
    let here = Embedded::with(&[("BACKSHIFT_WORKER_NAME", PLANTED)]);
    let id = planted(&here).await;
    let bad_config = format!("{PLANTED}.toml");
    let email = format!("{PLANTED}@example.com");
    let url = format!("postgres://me@127.0.0.1:1/{PLANTED}");
    for command in [
        &["suppressions", "add", "ann@example.com", "--reason", PLANTED][..],
        &["suppressions", "list"],
        &["suppressions", "list", "--json"],
        &["suppressions", "remove", &email],
        &["jobs", "list"],
        &["jobs", "list", "--json"],
        &["jobs", "show", &id],
        &["jobs", "show", &id, "--json"],
        &["jobs", "show", PLANTED],
        &["jobs", "explain", &id],
        &["jobs", "explain", &id, "--json"],
        &["queues", "explain", PLANTED],
        &["jobs", "cancel", &id, "--json"],
        &["jobs", "retry", &id],
        &["jobs", "retry", &id, PLANTED],
        &["jobs", "list", "--state", PLANTED],
        &["jobs", "list", "--kind", PLANTED],
        &["jobs", "list", "--cursor", PLANTED],
        &["queues", "list"],
        &["queues", "pause", PLANTED],
        &["users", "grant-admin", &email],
        &["enqueue", PLANTED, "--payload", "{}"],
        &["enqueue", "a.b", "--payload", PLANTED],
        &["enqueue", "a.b", "--payload", "{}", "--at", PLANTED],
        &["migrate", "status"],
        &["migrate", "up", "--json"],
        &["config", "show", "--origin"],
        &["config", "show", "--json"],
        &["--config", &bad_config, "config", "show"],
        &["doctor", "--store", &url],
        &["worker", "--queue", PLANTED],
        // What clap itself complains about.
        &[PLANTED],
        &["jobs", "list", PLANTED],
        &["jobs", "list", "--limit", PLANTED],
    ] {
        let ended = here.run(command).await;
        harmless(command, &ended);
        if command.contains(&"--json") && ended.code == 0 {
            ended.json();
        }
    }
    planted(&here).await;
    for command in ANSWERED {
        let ended = here.run(command).await;
        harmless(command, &ended);
        assert!(matches!(ended.code, 0 | 1), "{command:?}: {ended:?}");
    }
    let id = planted(&here).await;
    let shown = here.run(&["jobs", "show", &id, "--json"]).await.done().json();
    assert_eq!(shown["note"], PLANTED, "JSON says the same text");
    let listed = here.run(&["jobs", "list"]).await.done().out;
    assert!(listed.contains("\\u{1b}[2J") && listed.lines().count() == 4, "{listed}");
    let fed = here.fed(&["enqueue", "--stdin"], &format!("{{\"kind\": \"{PLANTED}\"")).await;
    harmless(&["enqueue", "--stdin"], &fed);
}

#[tokio::test]
async fn a_lock_file_and_a_server_s_words_are_shown_and_not_sent() {
    let here = Embedded::with(&[]);
    let directory = file_of(&here).parent().unwrap().to_owned();
    let mut lock = std::fs::File::create(directory.join("dev.lock")).unwrap();
    lock.lock().unwrap();
    write!(lock, "pid {} at {PLANTED}", std::process::id()).unwrap();
    let second = here.run(&["dev"]).await;
    assert_eq!(second.code, 75, "{second:?}");
    harmless(&["dev"], &second);
    drop(lock);
    // A mail server that says more than it should.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let words = PLANTED.replace(['\r', '\n'], "");
            let _ = socket.write_all(format!("554 {words}\r\n").as_bytes()).await;
            let _ = socket.read_u8().await;
        }
    });
    let mail = [("SMTP_HOST", "127.0.0.1"), ("SMTP_PORT", port.as_str()), ("SMTP_FROM", "a@example.com")];
    let here = Embedded::with(&mail);
    here.run(&["migrate", "up"]).await.done();
    for command in [&["doctor"][..], &["doctor", "--json"]] {
        let ended = here.run(command).await;
        assert_ne!(ended.code, 0);
        assert!(format!("{}{}", ended.out, ended.err).contains("evil"), "{ended:?}");
        harmless(command, &ended);
    }
}
