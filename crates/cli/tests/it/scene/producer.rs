//! Runs `examples/producers/publish.py`, a producer that shares no line with us.

use std::process::Stdio;

use tokio::{io::AsyncWriteExt as _, process::Command};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/producers/publish.py");

/// Publishes with pika; `None` = there is no Python with pika here and it is not required.
pub(crate) async fn publish_py(url: &str, arguments: &[&str], body: &[u8]) -> Option<()> {
    let Some(python) = python().await else {
        let must = std::env::var("BACKSHIFT_REQUIRE").is_ok_and(|value| value == "all");
        assert!(!must, "no python3 with pika: install python3-pika");
        eprintln!("skipped: no python3 with pika");
        return None;
    };
    let mut command = Command::new(python);
    command.arg(SCRIPT).arg(url).args(arguments).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Without --raw it reads nothing and may be gone already.
    let _ = stdin.write_all(body).await;
    drop(stdin);
    assert!(child.wait().await.unwrap().success(), "publish.py {arguments:?} failed");
    Some(())
}

async fn python() -> Option<&'static str> {
    for python in ["/usr/bin/python3", "python3"] {
        let mut command = Command::new(python);
        let asked = command.args(["-c", "import pika"]).stderr(Stdio::null()).status().await;
        if asked.is_ok_and(|status| status.success()) {
            return Some(python);
        }
    }
    None
}
