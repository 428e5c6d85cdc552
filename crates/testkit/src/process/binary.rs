//! Finds the `backshift` binary beside the test that runs, and builds it when it is missing.
//!
//! A binary that is there is taken as it is: `BACKSHIFT_TEST_BINARY` names another one.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The path of `backshift` in the same target directory and profile as the running test.
///
/// # Panics
/// When it is missing and cannot be built: the test cannot go on then.
pub fn backshift_binary() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| match std::env::var_os("BACKSHIFT_TEST_BINARY") {
        Some(path) => path.into(),
        None => beside_the_test(),
    })
}

/// An example program of the package under test; `cargo test` builds examples before it runs tests.
///
/// # Panics
/// When it is not there.
pub fn example(name: &str) -> PathBuf {
    let program = profile().join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "{} is missing: `cargo build --examples` makes it", program.display());
    program
}

fn beside_the_test() -> PathBuf {
    let profile = profile();
    let binary = profile.join(format!("backshift{}", std::env::consts::EXE_SUFFIX));
    if !binary.exists() {
        build(&profile);
    }
    assert!(binary.exists(), "{} is missing after `cargo build -p backshift-cli`", binary.display());
    binary
}

/// The directory of the running test's profile.
fn profile() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    test.ancestors()
        .skip(1)
        .find(|dir| dir.file_name().is_some_and(|name| name != "deps" && name != "examples"))
        .expect("tests lie in target/<profile>/deps")
        .to_owned()
}

fn build(profile: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = profile.parent().expect("a profile directory lies in the target directory");
    let mut command = Command::new(cargo);
    command.args(["build", "-p", "backshift-cli", "--target-dir"]).arg(target);
    if profile.file_name().is_some_and(|name| name == "release") {
        command.arg("--release");
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    let status = command.status().expect("cargo can be started");
    assert!(status.success(), "`cargo build -p backshift-cli` failed: {status}");
}
