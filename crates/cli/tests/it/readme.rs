//! The README's production block, line by line, with real addresses in place of its dots.

use std::collections::BTreeMap;

use serde_json::json;

use backshift_testkit::{ports::free_port, process::Running, wait};

use crate::scene::{Api, JWT_SECRET, PATIENCE, Settings, SystemC, Worker, backshift, request};

const README: &str = include_str!("../../../../README.md");

/// The block under *Production*, comments left out.
fn block() -> Vec<&'static str> {
    let chapter = README.split("\n## Production\n").nth(1).expect("the README has the chapter");
    let block =
        chapter.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("it has a block");
    let code = |line: &'static str| line.split(" #").next().unwrap_or(line).trim();
    block.lines().map(code).filter(|line| !line.is_empty()).collect()
}

/// The pages, on a port of the test's own.
async fn pages(settings: &Settings) -> Running {
    let port = free_port().unwrap();
    let settings = settings.with(&[("BACKSHIFT_UI_LISTEN", &format!("127.0.0.1:{port}"))]);
    let process = Running::start(&["ui"], &settings.pairs());
    let there = || async { request(port, "GET", "/overview", &[], b"").await.is_ok_and(|a| a.status == 200) };
    assert!(wait::until(PATIENCE, there).await, "{}", process.output());
    process
}

#[tokio::test]
async fn the_production_block_works_as_it_is_printed() {
    let Some(system) = SystemC::unmigrated().await else { return };
    let port = system.smtp.port.to_string();
    let database = system.database.url();
    let values = BTreeMap::from([
        ("DATABASE_URL", database.as_str()),
        ("RABBITMQ_URL", system.vhost.url()),
        ("SMTP_HOST", "127.0.0.1"),
        ("SMTP_FROM", "noreply@smap.example"),
        ("JWT_SECRET", JWT_SECRET),
    ]);
    // The mail server of a test has a port of its own; everything else is what the README names, and no more.
    let mut settings = Settings::of(&[("SMTP_PORT", &port)]);
    let (mut api, mut worker, mut ui) = (None, None, None);
    for line in block() {
        if let Some(exports) = line.strip_prefix("export ") {
            for (name, pattern) in exports.split_whitespace().filter_map(|one| one.split_once('=')) {
                assert!(pattern.ends_with('…'), "{name} has a value that is meant to be taken as it is");
                settings = settings.with(&[(name, values[name])]);
            }
            continue;
        }
        for command in line.split(" && ") {
            let mut words = command.split_whitespace();
            assert_eq!(words.next(), Some("backshift"), "{command}");
            match words.collect::<Vec<_>>().as_slice() {
                ["api"] => api = Some(Api::ready(&settings).await),
                ["worker"] => worker = Some(Worker::ready(&["worker"], &settings).await),
                ["ui"] => ui = Some(pages(&settings).await),
                once => drop(backshift(once, &settings.pairs()).await.done()),
            }
        }
    }
    let (api, _worker) = (api.expect("it starts an API"), worker.expect("it starts a worker"));
    let _ui = ui.expect("it starts the pages");
    let account = json!({"email": "ada@example.com", "password": "correct horse"});
    assert_eq!(api.post("/authentication/register", account.clone()).await.status, 200);
    assert_eq!(api.post("/authentication/send-otp", account).await.status, 200);
    let mails = || async { system.smtp.mails().len() == 1 };
    assert!(wait::until(PATIENCE, mails).await, "the mail with the code");
}
