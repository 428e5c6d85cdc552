//! `backshift ui`, and the pages of `api` and `worker`: who is asked for a password, where it is printed, what a browser does.

use std::time::Duration;

use backshift_testkit::{ports::free_port, process::Running, wait};
use base64::Engine as _;

use crate::scene::{Answer, Embedded, JWT_SECRET, PATIENCE, request};

const HTML: (&str, &str) = ("Accept", "text/html");
const FORM: [(&str, &str); 2] =
    [("Content-Type", "application/x-www-form-urlencoded"), ("Sec-Fetch-Site", "same-origin")];

async fn get(port: u16, path: &str) -> Answer {
    request(port, "GET", path, &[HTML], b"").await.expect("the pages answer")
}

async fn enter(port: u16, path: &str, user: &str, password: &str) -> Answer {
    let fields = format!("user={user}&password={password}");
    request(port, "POST", path, &FORM, fields.as_bytes()).await.expect("the pages answer")
}

/// Starts `ui` on an address and waits until it says where it is.
async fn ui(here: &Embedded, address: &str, more: &[&str], settings: &[(&str, &str)]) -> (Running, u16) {
    here.run(&["migrate", "up"]).await.done();
    let port = free_port().unwrap();
    let listen = format!("{address}:{port}");
    let arguments = [&["ui", "--listen", &listen], more].concat();
    let process = Running::start(&arguments, &here.settings.with(settings).pairs());
    assert!(process.wait_for_output("pages are at", PATIENCE).await, "{}", process.output());
    (process, port)
}

/// The password in what was printed, if there is one.
fn printed(output: &str) -> Vec<String> {
    let lines = output.lines().filter_map(|line| line.split_once("ask for a password: backshift / "));
    lines.map(|(_, rest)| rest.split(' ').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn on_loopback_nobody_is_asked_and_the_store_is_shown_without_a_worker() {
    let here = Embedded::with(&[]);
    here.run(&["migrate", "up"]).await.done();
    let id =
        here.run(&["enqueue", "report.build", "--payload", "{}", "--json"]).await.done().list()[0].clone();
    let (mut process, port) = ui(&here, "127.0.0.1", &[], &[]).await;
    assert!(printed(&process.output()).is_empty(), "{}", process.output());
    assert_eq!(get(port, "/").await.header("location"), Some("/overview"));
    let jobs = get(port, "/jobs").await;
    assert!(jobs.status == 200 && jobs.body.contains(id.as_str().unwrap()), "{jobs:?}");
    assert!(get(port, "/workers").await.body.contains("No worker runs."), "and none runs here");
    let ready = || async { get(port, "/readyz").await.status == 200 };
    assert!(wait::until(PATIENCE, ready).await, "{}", process.output());
    let proxied =
        request(port, "GET", "/jobs", &[HTML, ("X-Forwarded-For", "192.0.2.7")], b"").await.unwrap();
    assert_eq!(proxied.status, 403, "nobody knows who asked the proxy");
    process.terminate();
    assert_eq!(process.ended(Duration::from_secs(10)).await.and_then(|status| status.code()), Some(0));
}

#[tokio::test]
async fn anywhere_else_a_password_is_made_and_printed_once() {
    let here = Embedded::with(&[]);
    let (process, port) = ui(&here, "0.0.0.0", &[], &[]).await;
    assert_eq!(get(port, "/jobs").await.header("location"), Some("/enter?next=%2Fjobs"));
    let output = process.output();
    let passwords = printed(&output);
    assert_eq!(passwords.len(), 1, "{output}");
    let password = &passwords[0];
    assert!(password.len() >= 20 && output.matches(password.as_str()).count() == 1, "{output}");
    assert_eq!(enter(port, "/enter", "backshift", "guess").await.status, 401);
    let opened = enter(port, "/enter", "backshift", password).await;
    assert_eq!((opened.status, opened.header("location")), (303, Some("/overview")), "{opened:?}");
    let cookie = opened.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let seen = request(port, "GET", "/overview", &[HTML, ("Cookie", &cookie)], b"").await.unwrap();
    assert_eq!(seen.status, 200);
    assert_eq!(process.output().matches(password.as_str()).count(), 1, "it is in no log either");
    drop(process);
    let (again, port) = ui(&here, "0.0.0.0", &[], &[]).await;
    assert_ne!(&printed(&again.output())[0], password, "each run has its own");
    let old = request(port, "GET", "/overview", &[HTML, ("Cookie", &cookie)], b"").await.unwrap();
    assert_eq!(old.status, 303, "a session ends with its process");
}

#[tokio::test]
async fn a_set_password_is_asked_for_everywhere_and_printed_nowhere() {
    let here = Embedded::with(&[]);
    let settings = [("BACKSHIFT_UI_PASSWORD", "correct.horse"), ("BACKSHIFT_UI_USER", "ops")];
    let (process, port) = ui(&here, "127.0.0.1", &["--read-only", "--base-path", "/ops/"], &settings).await;
    assert_eq!(get(port, "/ops/jobs").await.header("location"), Some("/ops/enter?next=%2Fjobs"));
    let opened = enter(port, "/ops/enter", "ops", "correct.horse").await;
    assert_eq!((opened.status, opened.header("location")), (303, Some("/ops/overview")), "{opened:?}");
    let cookie = opened.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let headers = [FORM[0], FORM[1], HTML, ("Cookie", &*cookie)];
    let pause = request(port, "POST", "/ops/queues/mail/pause", &headers, b"").await.unwrap();
    assert!(pause.status == 403 && pause.body.contains("Nothing was changed."), "{pause:?}");
    assert!(!process.output().contains("correct.horse"), "{}", process.output());
}

/// Prometheus asks four times a minute: the right password must not use up the tries of its network, and a wrong one must.
#[tokio::test]
async fn metrics_beside_closed_pages_are_closed_too_and_health_is_open() {
    let here = Embedded::with(&[]);
    let settings = [("BACKSHIFT_UI_PASSWORD", "correct.horse"), ("BACKSHIFT_UI_USER", "ops")];
    let (process, port) = ui(&here, "127.0.0.1", &[], &settings).await;
    let basic = |text: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
    let metrics =
        async |headers: &[(&str, &str)]| request(port, "GET", "/metrics", headers, b"").await.unwrap();
    let closed = metrics(&[]).await;
    assert_eq!(closed.status, 401, "{closed:?}");
    assert!(closed.header("www-authenticate").is_some_and(|asks| asks.starts_with("Basic")), "{closed:?}");
    assert!(!closed.body.contains("# HELP"), "{closed:?}");
    for path in ["/healthz", "/readyz"] {
        assert_ne!(request(port, "GET", path, &[], b"").await.unwrap().status, 401, "{path}");
    }
    let right = basic("ops:correct.horse");
    for asked in 0..30 {
        let shown = metrics(&[("Authorization", &right)]).await;
        assert!(shown.status == 200 && shown.body.contains("# HELP"), "{asked}: {shown:?}");
    }
    let opened = enter(port, "/enter", "ops", "correct.horse").await;
    let cookie = opened.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(metrics(&[("Cookie", &cookie)]).await.status, 200, "a session is enough");

    // One try was the program's first, one the session's.
    for guess in 0..8 {
        let wrong = metrics(&[("Authorization", &basic(&format!("ops:guess-{guess}")))]).await;
        assert_eq!(wrong.status, 401, "{guess}: {wrong:?}");
    }
    for text in ["ops:guess", "ops:correct.horse"] {
        let locked = metrics(&[("Authorization", &basic(text))]).await;
        assert_eq!(locked.status, 429, "{text}: {locked:?}");
        assert!(locked.header("retry-after").is_some(), "{locked:?}");
    }
    assert_eq!(
        enter(port, "/enter", "ops", "correct.horse").await.status,
        429,
        "the door counts the same tries"
    );
    assert_eq!(metrics(&[("Cookie", &cookie)]).await.status, 200, "who is in stays in");
    assert!(!process.output().contains("guess-") && !process.output().contains("correct.horse"));
}

#[tokio::test]
async fn metrics_beside_open_pages_answer_this_machine_alone() {
    let here = Embedded::with(&[]);
    let (_process, port) = ui(&here, "127.0.0.1", &[], &[]).await;
    let metrics =
        async |headers: &[(&str, &str)]| request(port, "GET", "/metrics", headers, b"").await.unwrap();
    assert_eq!(metrics(&[]).await.status, 200);
    assert_eq!(
        metrics(&[("X-Forwarded-For", "192.0.2.7")]).await.status,
        403,
        "nobody knows who asked the proxy"
    );
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_key_source_and_remedy() {
    let here = Embedded::with(&[]);
    here.run(&["migrate", "up"]).await.done();
    let port = free_port().unwrap();
    let listen = format!("127.0.0.1:{port}");
    for (arguments, settings, said) in [
        (vec!["ui"], vec![("BACKSHIFT_UI_PASSWORD", "seven77")], "ui.password"),
        (vec!["ui", "--base-path", "ops"], vec![], "flag --base-path"),
        (vec!["ui", "--base-path", "/a/../b"], vec![], "write /ops"),
        (vec!["ui", "--listen", "nonsense"], vec![], "\"nonsense\" cannot be listened on"),
        (vec!["ui"], vec![("BACKSHIFT_UI_READ_ONLY", "perhaps")], "ui.read_only"),
        (
            vec!["worker", "--no-store", "--queue", "reports"],
            vec![("BACKSHIFT_BROKER_URL", "amqp://127.0.0.1:1/"), ("BACKSHIFT_UI_LISTEN", &listen)],
            "--no-store leaves it away",
        ),
    ] {
        let ended = crate::scene::backshift(&arguments, &here.settings.with(&settings).pairs()).await;
        assert_eq!(ended.code, 78, "{arguments:?} {settings:?}: {ended:?}");
        assert!(ended.err.contains(said) && !ended.err.contains("seven77"), "{arguments:?}: {}", ended.err);
    }
}

#[tokio::test]
async fn an_api_and_a_worker_serve_the_pages_too_when_they_are_told_where() {
    let here = Embedded::with(&[("JWT_SECRET", JWT_SECRET), ("BACKSHIFT_WORKER_HTTP_ADDR", "127.0.0.1:0")]);
    here.run(&["migrate", "up"]).await.done();
    for command in ["api", "worker"] {
        let (port, own) = (free_port().unwrap(), free_port().unwrap());
        let listen = format!("127.0.0.1:{port}");
        let settings =
            here.settings.with(&[("APP_PORT", &own.to_string()), ("BACKSHIFT_UI_LISTEN", &listen)]);
        let process = Running::start(&[command], &settings.pairs());
        let there = || async {
            request(port, "GET", "/overview", &[HTML], b"").await.is_ok_and(|answer| answer.status == 200)
        };
        assert!(wait::until(PATIENCE, there).await, "{command}: {}", process.output());
        if command == "api" {
            assert_eq!(get(own, "/overview").await.status, 404, "the public port has no pages");
        }
        drop(process);
    }
}
