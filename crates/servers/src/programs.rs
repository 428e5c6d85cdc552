//! What tests start beside the servers: where it is, and the Debian package that brings it. A test that starts something
//! new needs a line here; `cargo xtask tidy` sees to it.
//!
//! Ask here rather than by a path: the distribution keeps some programs outside of `PATH`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// Something that tests start or load.
#[derive(Debug)]
pub struct Program {
    /// As tests write it; a module stands behind its interpreter: `python3:pika`.
    pub name: &'static str,
    package: &'static str,
    /// Names under which other distributions have it.
    also: &'static [&'static str],
}

/// Everything that a test may start. What only a recipe of a server starts is installed with the server.
pub static PROGRAMS: &[Program] = &[
    brought("cat", "coreutils"),
    Program { name: "chromium", package: "chromium", also: &["chromium-browser", "google-chrome"] },
    brought("mount", "mount"),
    brought("pg_dump", "postgresql"),
    brought("pg_restore", "postgresql"),
    brought("prlimit", "util-linux"),
    brought("python3", "python3"),
    brought("python3:pika", "python3-pika"),
    brought("setsid", "util-linux"),
    brought("sh", "dash"),
    brought("sleep", "coreutils"),
    brought("sqlite3", "sqlite3"),
    brought("umount", "mount"),
];

const fn brought(name: &'static str, package: &'static str) -> Program {
    Program { name, package, also: &[] }
}

/// Where a program is.
///
/// # Errors
/// It is not installed; the text says what installs it.
pub fn find(name: &str) -> Result<PathBuf> {
    let known = PROGRAMS.iter().find(|program| program.name == name);
    let names = [name].into_iter().chain(known.into_iter().flat_map(|known| known.also.iter().copied()));
    let directories = directories();
    let mut files = names.flat_map(|name| directories.iter().map(move |directory| directory.join(name)));
    match files.find(|file| file.is_file()) {
        Some(file) => Ok(file),
        None => bail!("{name} is not installed: run `cargo xtask services up`"),
    }
}

/// A Python that has this module. The distribution's own is asked first: modules are installed for it, not for one that
/// stands before it in `PATH`.
///
/// # Errors
/// There is none; the text says what installs it.
pub fn python(module: &str) -> Result<PathBuf> {
    let has_it = |python: &PathBuf| {
        let mut command = Command::new(python);
        command.args(["-c", &format!("import {module}")]);
        let asked = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    match ["/usr/bin/python3", "python3"].map(PathBuf::from).into_iter().find(has_it) {
        Some(python) => Ok(python),
        None => bail!("a python3 that has {module} is not installed: run `cargo xtask services up`"),
    }
}

/// What is not there, by name.
pub fn missing() -> Vec<&'static str> {
    missing_ones().map(|program| program.name).collect()
}

/// The packages of what is not there.
pub fn missing_packages() -> BTreeSet<&'static str> {
    missing_ones().map(|program| program.package).collect()
}

fn missing_ones() -> impl Iterator<Item = &'static Program> {
    PROGRAMS.iter().filter(|program| match program.name.split_once(':') {
        Some((_, module)) => python(module).is_err(),
        None => find(program.name).is_err(),
    })
}

/// What tests start from this package: says in an error what it is wanted for.
pub fn brought_by(package: &str) -> Vec<&'static str> {
    PROGRAMS.iter().filter(|program| program.package == package).map(|program| program.name).collect()
}

/// The full path of a program on `PATH` or in the system directories that an ordinary user's `PATH` lacks.
pub fn which(program: &str) -> Option<PathBuf> {
    on_path().map(|directory| directory.join(program)).find(|candidate| candidate.is_file())
}

/// Where programs are looked for, first to last.
fn directories() -> Vec<PathBuf> {
    // The real scripts of RabbitMQ before those in `/usr/sbin`, which insist on the system's own node.
    let mut all = vec![PathBuf::from("/usr/lib/rabbitmq/bin")];
    all.extend(versions(Path::new("/usr/lib/postgresql"), ""));
    all.extend(versions(Path::new("/usr/lib/erlang"), "erts-"));
    all.extend(on_path());
    all
}

fn on_path() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    path.into_iter().chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from))
}

/// The directories of programs of each version below `directory`, newest first.
pub(crate) fn versions(directory: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
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
    fn each_name_stands_once_and_in_order() {
        let names: Vec<&str> = PROGRAMS.iter().map(|program| program.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }

    #[test]
    fn a_program_is_found_where_it_is_and_a_missing_one_says_what_installs_it() {
        assert!(find("sh").unwrap().is_absolute());
        let refused = find("backshift-has-no-such-program").unwrap_err().to_string();
        assert!(refused.contains("cargo xtask services up"), "{refused}");
    }

    #[test]
    fn a_module_that_nobody_has_is_missing() {
        assert!(python("backshift_has_no_such_module").is_err());
        assert_eq!(brought_by("python3-pika"), ["python3:pika"]);
    }

    #[test]
    fn the_newest_version_comes_first() {
        let directory = std::env::temp_dir().join(format!("backshift-versions-{}", std::process::id()));
        for name in ["9.6", "15", "17", "erts-1", "notes"] {
            std::fs::create_dir_all(directory.join(name)).unwrap();
        }
        let found = versions(&directory, "");
        let names: Vec<_> = found.iter().map(|bin| bin.parent().unwrap().file_name().unwrap()).collect();
        assert_eq!(names, ["17", "15", "9.6"]);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
