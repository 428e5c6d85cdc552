//! Programs that tests start beside our own: where they are, and what happens when one is missing.
//!
//! Each of them stands in the catalogue of `cargo xtask services`, which installs its package; `cargo xtask tidy`
//! refuses a test that names a program which is not in it. Ask here rather than by a path: the distribution keeps
//! some of them outside of `PATH`.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;

/// Names under which other distributions have the same program.
const OTHER_NAMES: &[(&str, &[&str])] = &[("chromium", &["chromium-browser", "google-chrome"])];

/// Where the program is.
///
/// # Errors
/// When it is not installed; the text says what installs it.
pub fn find(name: &str) -> io::Result<PathBuf> {
    let others = OTHER_NAMES.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, others)| others);
    let directories = directories();
    let names = [name].into_iter().chain(others.iter().copied());
    let mut files = names.flat_map(|name| directories.iter().map(move |directory| directory.join(name)));
    files.find(|file| file.is_file()).ok_or_else(|| io::Error::other(missing(name)))
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
    found_or_skipped(command(name).map_err(|error| error.to_string()))
}

/// A Python that has this module; `None` = skip the test, the reason is printed.
///
/// # Panics
/// When there is none although `BACKSHIFT_REQUIRE=all` says that everything must be there.
pub async fn python(module: &str) -> Option<Command> {
    // The distribution's own first: modules are installed for it, not for one that stands before it in PATH.
    for python in [Path::new("/usr/bin/python3"), Path::new("python3")] {
        let question = format!("import {module}");
        let asked = Command::new(python).args(["-c", &question]).stderr(Stdio::null()).status().await;
        if asked.is_ok_and(|status| status.success()) {
            return Some(Command::new(python));
        }
    }
    found_or_skipped(Err(missing(&format!("a python3 that has {module}"))))
}

fn found_or_skipped(found: Result<Command, String>) -> Option<Command> {
    let reason = match found {
        Ok(command) => return Some(command),
        Err(reason) => reason,
    };
    let must = std::env::var("BACKSHIFT_REQUIRE").is_ok_and(|value| value == "all");
    assert!(!must, "{reason} (BACKSHIFT_REQUIRE=all forbids skipping)");
    eprintln!("skipped: {reason}");
    None
}

fn missing(what: &str) -> String {
    format!("{what} is not installed: run `cargo xtask services up`")
}

/// Where programs are looked for, first to last.
fn directories() -> Vec<PathBuf> {
    // The real scripts of RabbitMQ before those in `/usr/sbin`, which insist on the system's own node.
    let mut all = vec![PathBuf::from("/usr/lib/rabbitmq/bin")];
    all.extend(versions("/usr/lib/postgresql", ""));
    all.extend(versions("/usr/lib/erlang", "erts-"));
    all.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    all.extend(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from));
    all
}

/// The directories of programs of each installed version, newest first.
fn versions(below: &str, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(below).into_iter().flatten().flatten();
    let mut found: Vec<(Vec<u32>, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.split('.').map(|part| part.parse().ok());
            Some((version.collect::<Option<Vec<u32>>>()?, entry.path().join("bin")))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, directory)| directory).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_where_it_is_and_a_missing_one_says_what_installs_it() {
        assert!(find("sh").unwrap().is_absolute());
        let refused = find("backshift-has-no-such-program").unwrap_err().to_string();
        assert!(refused.contains("cargo xtask services up"), "{refused}");
    }

    #[test]
    fn the_newest_version_comes_first() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["9.6", "15", "17", "erts-1", "notes"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let found = versions(directory.path().to_str().unwrap(), "");
        let names: Vec<_> = found.iter().map(|bin| bin.parent().unwrap().file_name().unwrap()).collect();
        assert_eq!(names, ["17", "15", "9.6"]);
    }
}
