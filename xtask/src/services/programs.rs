//! The other half of the catalogue: what tests start beside the servers, and the Debian package that brings each.
//! A test that starts something new needs a line here; `cargo xtask tidy` sees to it. `testkit::programs` finds them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{postgres, rabbitmq};
use crate::workspace::which;

/// Something that tests start or load.
pub(crate) struct Program {
    /// As tests write it; a module stands behind its interpreter: `python3:pika`.
    pub(crate) name: &'static str,
    package: &'static str,
    is_there: fn(&str) -> bool,
}

/// Everything that a test may start.
pub(crate) static PROGRAMS: &[Program] = &[
    Program { name: "cat", package: "coreutils", is_there: on_path },
    Program { name: "chromium", package: "chromium", is_there: a_browser },
    Program { name: "epmd", package: "rabbitmq-server", is_there: on_path },
    Program { name: "initdb", package: "postgresql", is_there: of_postgres },
    Program { name: "mount", package: "mount", is_there: on_path },
    Program { name: "pg_dump", package: "postgresql", is_there: of_postgres },
    Program { name: "pg_restore", package: "postgresql", is_there: of_postgres },
    Program { name: "postgres", package: "postgresql", is_there: of_postgres },
    Program { name: "prlimit", package: "util-linux", is_there: on_path },
    Program { name: "python3", package: "python3", is_there: on_path },
    Program { name: "python3:pika", package: "python3-pika", is_there: python_module },
    Program { name: "rabbitmq-server", package: "rabbitmq-server", is_there: of_rabbitmq },
    Program { name: "rabbitmqctl", package: "rabbitmq-server", is_there: of_rabbitmq },
    Program { name: "setsid", package: "util-linux", is_there: on_path },
    Program { name: "sh", package: "dash", is_there: on_path },
    Program { name: "sleep", package: "coreutils", is_there: on_path },
    Program { name: "sqlite3", package: "sqlite3", is_there: on_path },
    Program { name: "umount", package: "mount", is_there: on_path },
];

/// What is not there, by name.
pub(super) fn missing() -> Vec<&'static str> {
    missing_ones().map(|program| program.name).collect()
}

/// The packages of what is not there.
pub(super) fn missing_packages() -> BTreeSet<&'static str> {
    missing_ones().map(|program| program.package).collect()
}

fn missing_ones() -> impl Iterator<Item = &'static Program> {
    PROGRAMS.iter().filter(|program| !(program.is_there)(program.name))
}

/// What tests start from this package: says in an error what it is wanted for.
pub(super) fn brought_by(package: &str) -> Vec<&'static str> {
    PROGRAMS.iter().filter(|program| program.package == package).map(|program| program.name).collect()
}

fn on_path(name: &str) -> bool {
    which(name).is_some()
}

fn a_browser(name: &str) -> bool {
    [name, "chromium-browser", "google-chrome"].into_iter().any(on_path)
}

fn of_postgres(name: &str) -> bool {
    postgres::binaries().is_some_and(|bin| bin.join(name).is_file())
}

fn of_rabbitmq(name: &str) -> bool {
    Path::new(rabbitmq::DISTRIBUTION_SCRIPTS).join(name).is_file()
}

/// Asked as the tests ask: the distribution's own Python, else the one in `PATH`.
fn python_module(name: &str) -> bool {
    let module = name.split_once(':').map_or(name, |(_, module)| module);
    [PathBuf::from("/usr/bin/python3"), PathBuf::from("python3")].iter().any(|python| {
        let mut command = Command::new(python);
        command.args(["-c", &format!("import {module}")]);
        let asked = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    })
}

#[cfg(test)]
mod tests {
    use super::{PROGRAMS, brought_by, python_module};

    #[test]
    fn each_name_stands_once_and_in_order() {
        let names: Vec<&str> = PROGRAMS.iter().map(|program| program.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }

    #[test]
    fn a_module_that_nobody_has_is_missing() {
        assert!(!python_module("python3:backshift_has_no_such_module"));
        assert_eq!(brought_by("python3-pika"), ["python3:pika"]);
    }
}
