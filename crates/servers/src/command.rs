//! Runs small commands to their end. Silent: what a command printed is only shown by its error.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a command silently; its error carries what the command printed.
///
/// # Errors
/// It cannot be started, or fails.
pub fn run(command: &mut Command) -> Result<String> {
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

/// The last `count` lines of a text, for error messages.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
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
