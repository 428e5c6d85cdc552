//! What commands print: tables for people, JSON for programs.
//!
//! Standard output carries results only; problems go to standard error, one line a cause. Nobody else prints: what texts of others
//! could do to a terminal ends here.

use std::{io::Write, process::ExitCode};

use backshift_core::{JobRecord, Timestamp};
use rustix::fs::fstat;
use serde_json::{Value, json};

use crate::{config::Config, domains, exit::Failure, terminal};

/// Prints one line; a closed pipe is no error.
pub(crate) fn line(text: impl AsRef<str>) {
    send(&terminal::shown(text.as_ref()));
}

/// Prints a text of many lines.
pub(crate) fn lines(text: impl AsRef<str>) {
    send(&terminal::shown_lines(text.as_ref()));
}

/// Prints a JSON value on one line.
pub(crate) fn json(value: &Value) {
    send(&terminal::json(&value.to_string()));
}

/// Prints a piece of a line that the caller has put together from parts that are ours alone.
pub(crate) fn piece(text: &str) {
    let _ = std::io::stdout().write_all(terminal::shown_lines(text).as_bytes());
}

/// Prints a text of our own as it is; a closed pipe is no error.
pub(crate) fn script(text: &[u8]) {
    let _ = std::io::stdout().write_all(text);
}

/// Prints why a command failed; nothing a second time where standard output leads to the same place and has said it.
pub(crate) fn problem(failure: &Failure) {
    failure.last_words(together()).lines().for_each(note);
}

/// Whether both streams lead to one terminal, file or pipe.
fn together() -> bool {
    match (fstat(std::io::stdout()), fstat(std::io::stderr())) {
        (Ok(out), Ok(err)) => (out.st_dev, out.st_ino) == (err.st_dev, err.st_ino),
        _ => false,
    }
}

/// Prints what clap says: help as it is; a complaint repeats what was typed, which a script may have from anywhere.
pub(crate) fn misuse(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        let _ = write!(std::io::stderr(), "{}", terminal::shown_lines(&error.render().to_string()));
    } else {
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Says something beside the results.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "backshift: {}", terminal::shown(text));
}

/// Says why a list is empty, beside it: a program that reads the list reads nothing.
pub(crate) fn nothing(why: &str) {
    note(why);
}

/// `1 job`, `2 jobs`.
pub(crate) fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

fn send(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints rows under a heading, columns aligned; the last column is not padded.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(heading);
    // Before the widths are counted, and so that a line break makes no row of its own.
    table.add_rows(rows.iter().map(|row| row.iter().map(|cell| terminal::shown(cell))));
    for row in table.to_string().lines() {
        // The style without lines still pads every cell by one space on each side.
        line(row.strip_prefix(' ').unwrap_or(row).trim_end());
    }
}

/// A job as lists print it (docs/contracts/system-c.md, `--json`).
///
/// A job without a limit of its own has the one that the configuration gives its kind.
pub(crate) fn job_json(job: &JobRecord, config: &Config) -> Value {
    let own = || config.get(domains::attempts_of(&job.kind));
    let most = job.max_attempts.unwrap_or_else(own);
    json!({
        "id": job.id.to_string(),
        "kind": job.kind.as_str(),
        "queue": job.queue.as_str(),
        "broker": job.broker,
        "state": job.state.as_str(),
        "attempt": job.attempt,
        "max_attempts": most,
        "run_at": time(job.run_at),
        "created_at": time(job.created_at),
        "finished_at": job.finished_at.map(time),
        "error": job.error,
        "effect": job.effect.as_str(),
        "reason": job.reason,
        "priority": job.priority,
        "token": job.token.0,
        "worker": job.worker,
    })
}

/// RFC 3339, UTC, always with six digits of a second, so that texts sort as times do.
pub(crate) fn time(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// How long ago or in how long, in words.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.as_second() - now.as_second();
    let (number, unit) = match seconds.abs() {
        s @ 0..=119 => (s, "s"),
        s @ 120..=7199 => (s / 60, "min"),
        s @ 7200..=172_799 => (s / 3600, "h"),
        s => (s / 86_400, "d"),
    };
    match seconds {
        0 => "now".to_owned(),
        s if s < 0 => format!("{number} {unit} ago"),
        _ => format!("in {number} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sort_as_texts() {
        let texts: Vec<_> =
            [0, 500_000, 512_345].map(|us| time(Timestamp::from_microsecond(us).unwrap())).into();
        assert_eq!(texts[1], "1970-01-01T00:00:00.500000Z");
        assert!(texts.is_sorted());
    }
}
