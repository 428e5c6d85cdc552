//! Runs `examples/producers/publish.py`, a producer that shares no line with us.

use std::process::Stdio;

use backshift_testkit::programs;
use tokio::io::AsyncWriteExt as _;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/producers/publish.py");

/// Publishes with pika; `None` = skip the test.
pub(crate) async fn publish_py(url: &str, arguments: &[&str], body: &[u8]) -> Option<()> {
    let mut command = programs::python("pika").await?;
    command.arg(SCRIPT).arg(url).args(arguments).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Without --raw it reads nothing and may be gone already.
    let _ = stdin.write_all(body).await;
    drop(stdin);
    assert!(child.wait().await.unwrap().success(), "publish.py {arguments:?} failed");
    Some(())
}
