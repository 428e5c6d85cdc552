//! Where the checkout is and how a command is run in it.
//! The root is found at run time, never compiled in: the binary may be copied to another checkout.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
pub(crate) use backshift_servers::command::run;
pub(crate) use backshift_servers::programs::which;

/// The directory of the workspace manifest.
pub(crate) fn root() -> Result<PathBuf> {
    if let Some(package) = std::env::var_os("CARGO_MANIFEST_DIR")
        && let Some(root) = Path::new(&package).parent().filter(|dir| is_root(dir))
    {
        return Ok(root.to_path_buf());
    }
    let here = std::env::current_dir().context("the current directory cannot be read")?;
    here.ancestors()
        .find(|dir| is_root(dir))
        .map(Path::to_path_buf)
        .context("this is not inside a Backshift checkout: run `cargo xtask …` from it")
}

/// `cargo`, the one that runs us where it can be known, started in `root`.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).stdin(Stdio::null());
    command
}

/// Prints lines; a reader that has seen enough (`| head`) is not an error.
pub(crate) fn print_lines(lines: &[String]) -> Result<()> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("nothing can be printed"),
        _ => Ok(()),
    }
}

fn is_root(dir: &Path) -> bool {
    std::fs::read_to_string(dir.join("Cargo.toml")).is_ok_and(|text| text.contains("[workspace]"))
}
