//! `stop_signal()`: real processes, told to stop by SIGTERM and by SIGINT, once and twice.

use std::time::Duration;

use backshift::{
    Backshift, JobContext, JobResult, Registry, WorkerOptions, stop_signal,
    testkit::{
        process::{Running, Signal, example},
        wait,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::jobs::Order;

#[tokio::test]
async fn the_first_program_drains_and_ends_well_at_sigterm_and_at_sigint() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = tempfile::TempDir::new().unwrap();
        let none: [&str; 0] = [];
        let mut program = Running::launch_in(example("typed_job"), place.path(), &none, &[]);
        let ran = program.wait_for_output("picture 7 to 640", wait::PATIENCE).await;
        assert!(ran, "{}", program.output());
        program.signal(signal);
        let status = program.ended(wait::PATIENCE).await.expect("it ends");
        assert!(status.success(), "{signal:?}: {status}\n{}", program.output());
    }
}

/// The account and its job are one transaction, the worker runs beside the server, and one signal ends both.
#[tokio::test]
async fn the_program_with_axum_takes_a_request_welcomes_and_ends_gracefully() {
    let place = tempfile::TempDir::new().unwrap();
    let mut program = Running::launch_in(example("axum"), place.path(), &["127.0.0.1:0"], &[]);
    assert!(program.wait_for_output("http://", wait::PATIENCE).await, "{}", program.output());
    let address =
        program.output().lines().find_map(|line| line.strip_prefix("http://").map(str::to_owned)).unwrap();
    let body = r#"{"email":"ada@example.com"}"#;
    let request = format!(
        "POST /accounts HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let welcomed = program.wait_for_output("welcome, ada@example.com", wait::PATIENCE).await;
    assert!(welcomed, "{}", program.output());
    program.terminate();
    let status = program.ended(wait::PATIENCE).await.expect("it ends");
    assert!(
        status.success() && program.output().contains("0 jobs went back"),
        "{status}\n{}",
        program.output()
    );
}

const HERE: &str = "BACKSHIFT_TEST_STUBBORN_FILE";

/// The program of the next test: a handler that does not hear, and a grace of an hour.
#[tokio::test]
async fn stubborn_program() {
    let Ok(path) = std::env::var(HERE) else { return };
    let site = Backshift::embedded(&path).await.unwrap();
    site.client().enqueue(&Order { number: 1 }).await.unwrap();
    let stubborn = async |_: Order, _: JobContext| -> JobResult {
        println!("it began");
        std::future::pending().await
    };
    let hour = Duration::from_secs(3600);
    let options = WorkerOptions { grace: hour, handler_grace: hour, ..WorkerOptions::default() };
    let worker = site.worker(Registry::default().with(stubborn)).pool("orders", 1).unwrap();
    let stop = async {
        stop_signal().await;
        println!("told once");
    };
    let drained = worker.options(options).run(stop).await.unwrap();
    println!("{} went back", drained.returned);
}

#[tokio::test]
async fn a_second_signal_puts_back_at_once_what_does_not_end() {
    let place = tempfile::TempDir::new().unwrap();
    let path = place.path().join("jobs.db").to_string_lossy().into_owned();
    let arguments = ["--exact", "stopping::stubborn_program", "--nocapture"];
    let here = [(HERE, path.as_str())];
    let mut program = Running::launch_in(std::env::current_exe().unwrap(), place.path(), &arguments, &here);
    assert!(program.wait_for_output("it began", wait::PATIENCE).await, "{}", program.output());
    program.signal(Signal::INT);
    assert!(program.wait_for_output("told once", wait::PATIENCE).await, "{}", program.output());
    // The listener of the second signal stands a moment after the first was heard: repeated until it ends.
    let ended = wait::until(wait::PATIENCE, || async {
        program.signal(Signal::INT);
        program.output().contains("1 went back")
    });
    assert!(ended.await, "{}", program.output());
    assert!(
        program.ended(wait::PATIENCE).await.is_some_and(|status| status.success()),
        "{}",
        program.output()
    );
    let site = Backshift::embedded(&path).await.unwrap();
    let jobs = backshift::testing::enqueued::<Order>(&site.client()).await;
    assert_eq!((jobs.len(), jobs[0].record.attempt), (1, 1), "it waits again and nothing counts");
}

const GO: &str = "BACKSHIFT_TEST_EARLY_FILE";

/// The program of the next test: it has asked for the signal, and is busy with its start.
#[tokio::test]
async fn early_program() {
    let Ok(go) = std::env::var(GO) else { return };
    let stop = stop_signal();
    println!("it has asked");
    assert!(wait::until(wait::PATIENCE * 6, || async { std::fs::exists(&go).unwrap() }).await);
    stop.await;
    println!("it has heard");
}

#[tokio::test]
async fn a_signal_counts_from_the_call_on_and_not_from_the_first_poll() {
    let place = tempfile::TempDir::new().unwrap();
    let go = place.path().join("go");
    let arguments = ["--exact", "stopping::early_program", "--nocapture"];
    let settings = [(GO, go.to_str().unwrap())];
    let mut program =
        Running::launch_in(std::env::current_exe().unwrap(), place.path(), &arguments, &settings);
    assert!(program.wait_for_output("it has asked", wait::PATIENCE).await, "{}", program.output());
    program.signal(Signal::INT);
    std::fs::write(&go, "").unwrap();
    let status = program.ended(wait::PATIENCE * 6).await.expect("it ends");
    assert!(status.success() && program.output().contains("it has heard"), "{status}\n{}", program.output());
}
