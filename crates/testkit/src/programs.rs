//! Programs that tests start beside our own: where they are, and what happens when one is missing.
//!
//! Each of them stands in the catalogue of [`backshift_servers::programs`], from which `cargo xtask services` installs its
//! package; `cargo xtask tidy` refuses a test that names a program which is not in it.

use std::{io, path::PathBuf};

use backshift_servers::programs;
use tokio::process::Command;

/// Where the program is.
///
/// # Errors
/// When it is not installed; the text says what installs it.
pub fn find(name: &str) -> io::Result<PathBuf> {
    programs::find(name).map_err(io::Error::other)
}

/// A command that starts the program.
///
/// # Errors
/// As [`find`].
pub fn command(name: &str) -> io::Result<Command> {
    find(name).map(Command::new)
}

/// The same for a test that can be left out: `None` = skip it, the reason is printed.
///
/// # Panics
/// When the program is missing although `BACKSHIFT_REQUIRE=all` says that everything must be there.
pub fn require(name: &str) -> Option<Command> {
    found_or_skipped(command(name))
}

/// A Python that has this module; `None` = skip the test, the reason is printed.
///
/// # Panics
/// When there is none although `BACKSHIFT_REQUIRE=all` says that everything must be there.
pub async fn python(module: &str) -> Option<Command> {
    let module = module.to_owned();
    let found = tokio::task::spawn_blocking(move || programs::python(&module)).await;
    found_or_skipped(
        found.map_err(io::Error::other).and_then(|found| found.map(Command::new).map_err(io::Error::other)),
    )
}

fn found_or_skipped(found: io::Result<Command>) -> Option<Command> {
    let reason = match found {
        Ok(command) => return Some(command),
        Err(reason) => reason,
    };
    let must = std::env::var("BACKSHIFT_REQUIRE").is_ok_and(|value| value == "all");
    assert!(!must, "{reason} (BACKSHIFT_REQUIRE=all forbids skipping)");
    eprintln!("skipped: {reason}");
    None
}
