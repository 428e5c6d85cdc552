//! One command that runs to its end, with what it printed and how it ended.

use std::process::Stdio;

use backshift_testkit::process::{backshift_binary, run};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; -1 = killed by a signal.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Ended {
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Standard output as a JSON array.
    pub(crate) fn list(&self) -> Vec<Value> {
        self.json().as_array().unwrap_or_else(|| panic!("no array: {self:?}")).clone()
    }

    /// Fails the test unless the command ended well.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

impl From<std::process::Output> for Ended {
    fn from(output: std::process::Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs `backshift` with exactly these settings.
pub(crate) async fn backshift(arguments: &[&str], settings: &[(&str, &str)]) -> Ended {
    run(arguments, settings).await.into()
}

/// Runs it with something on its standard input.
pub(crate) async fn backshift_fed(
    arguments: &[&str],
    settings: &[(&str, &str)],
    input: impl AsRef<[u8]>,
) -> Ended {
    let mut command = tokio::process::Command::new(backshift_binary());
    command.args(arguments).env_clear().envs(settings.iter().copied());
    fed(command, input).await
}

/// The same with any command.
pub(crate) async fn fed(mut command: tokio::process::Command, input: impl AsRef<[u8]>) -> Ended {
    command.kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.as_ref().to_vec();
    // A command that refuses its flags reads nothing: that it closes its input early is not a failure.
    let feeding = tokio::spawn(async move { drop(stdin.write_all(&input).await) });
    let output = child.wait_with_output().await.unwrap();
    feeding.await.unwrap();
    output.into()
}
