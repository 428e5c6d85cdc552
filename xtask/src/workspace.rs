//! Where the checkout is and how a command is run in it.
//! The root is found at run time, never compiled in: the binary may be copied to another checkout.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

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

/// Runs a command silently; its error carries what the command printed.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("{shown} could not be started"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    bail!("{shown} failed ({}):\n{}", output.status, last_lines(&text, 15));
}

/// Prints lines; a reader that has seen enough (`| head`) is not an error.
pub(crate) fn print_lines(lines: &[String]) -> Result<()> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("nothing can be printed"),
        _ => Ok(()),
    }
}

/// The last `count` lines of a text, for error messages.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// The full path of a program on `PATH` or in the system directories that an ordinary user's `PATH` lacks.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
}

fn is_root(dir: &Path) -> bool {
    std::fs::read_to_string(dir.join("Cargo.toml")).is_ok_and(|text| text.contains("[workspace]"))
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    let line = words.join(" ");
    if line.len() > 200 {
        format!("`{}…`", line.chars().take(200).collect::<String>())
    } else {
        format!("`{line}`")
    }
}
