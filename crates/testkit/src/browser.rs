//! A page in a real Chromium: what a person sees, and what the console said.
//!
//! Whoever may do without a browser asks [`programs::require`](crate::programs::require) first.

use std::{io, time::Duration};

use crate::{pace, programs, wait};

/// The longest time that one page may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the browser made of a page.
#[derive(Debug)]
pub struct Seen {
    /// The document after its scripts have run.
    pub dom: String,
    /// The lines of the console.
    pub console: String,
}

/// Looks at a page in a window of this width.
///
/// # Errors
/// There is no browser, it does not end in time, or it fails.
pub async fn look(url: &str, width: u32) -> io::Result<Seen> {
    let profile = tempfile::tempdir()?;
    let mut command = programs::command("chromium")?;
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--dump-dom",
        ])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", &format!("--window-size={width},800")])
        // A page that was not there by then would be judged as it stands.
        .arg(format!("--timeout={}", pace::stretched(Duration::from_secs(20)).as_millis()))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .kill_on_drop(true);
    let output = wait::within(PATIENCE, command.output()).await;
    let output = output.ok_or_else(|| io::Error::other(format!("{url}: the browser does not end")))??;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(io::Error::other(format!("{url}: {}: {stderr}", output.status)));
    }
    let console: Vec<&str> = stderr.lines().filter(|line| line.contains("CONSOLE")).collect();
    Ok(Seen { dom: String::from_utf8_lossy(&output.stdout).into_owned(), console: console.join("\n") })
}
