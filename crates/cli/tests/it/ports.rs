//! Ports that are taken: a chosen one is an error, a default one is done without.

use std::net::TcpListener;

use backshift_testkit::{ports::free_port, wait};

use crate::scene::{PATIENCE, Settings, Worker, backshift};

fn settings(directory: &tempfile::TempDir) -> Settings {
    Settings::of(&[
        ("BACKSHIFT_DATA_DIR", directory.path().to_str().unwrap()),
        ("JWT_SECRET", crate::scene::JWT_SECRET),
    ])
}

/// Holds a default port. Whoever else has it for good, it is taken; another test's `dev` lets go of it soon, and then it
/// would be free in the middle of this one.
pub(crate) async fn taken(port: u16) -> Option<TcpListener> {
    wait::until_some(PATIENCE, || async { TcpListener::bind(("127.0.0.1", port)).ok() }).await
}

#[tokio::test]
async fn a_chosen_port_that_is_taken_is_78() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    let _holder = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let address = format!("127.0.0.1:{port}");
    for (command, name, value) in [
        ("worker", "BACKSHIFT_WORKER_HTTP_ADDR", address.clone()),
        ("api", "APP_PORT", port.to_string()),
        ("worker", "BACKSHIFT_WORKER_HTTP_ADDR", "no address".to_owned()),
    ] {
        let ended = backshift(&[command], &settings(&directory).with(&[(name, &value)]).pairs()).await;
        assert_eq!(ended.code, 78, "{command} {name}={value}: {ended:?}");
        assert!(format!("{}{}", ended.out, ended.err).contains(&value), "{ended:?}");
    }
}

#[tokio::test]
async fn a_worker_goes_on_without_its_default_port() {
    let directory = tempfile::tempdir().unwrap();
    let _holder = taken(8081).await;
    let pairs = settings(&directory);
    let mut worker = Worker {
        process: backshift_testkit::process::Running::start(&["worker"], &pairs.pairs()),
        port: 8081,
    };
    assert!(worker.process.wait_for_output("the port is taken", PATIENCE).await, "{}", worker.output());
    assert!(worker.process.wait_for_output("consuming", PATIENCE).await, "{}", worker.output());
    worker.process.terminate();
    assert_eq!(worker.process.ended(PATIENCE).await.and_then(|status| status.code()), Some(0));
}
