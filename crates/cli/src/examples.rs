//! An example or two for the help of every command. They are true: a test parses each.
//!
//! They are added to clap's definition here and not in `args.rs`, so that what can be typed stays readable there.

use clap::{Command, CommandFactory};

use crate::{args::Cli, literal::literal};

/// By the words of the command.
const EXAMPLES: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "backshift dev",
            "backshift enqueue email.send --payload '{\"Recipient\": \"ann@example.com\", \"Subject\": \"Hi\", \"Body\": \"Hello\"}'",
            "backshift jobs list --state dead",
            "backshift doctor",
        ],
    ),
    ("dev", &["backshift dev", "BACKSHIFT_DEV_PORT=9000 backshift dev"]),
    (
        "worker",
        &[
            "DATABASE_URL=postgres://app@db.example/app backshift worker",
            "backshift worker --queue default:20 --queue mail:5",
            "BACKSHIFT_BROKER_URL=amqp://mq.example/ backshift worker --queue reports --no-store",
        ],
    ),
    ("api", &["JWT_SECRET_FILE=/run/secrets/jwt DATABASE_URL=postgres://app@db.example/app backshift api"]),
    (
        "ui",
        &[
            "backshift ui",
            "backshift ui --listen 0.0.0.0:8082 --read-only",
            "backshift ui --base-path /ops --store postgres://host/database",
        ],
    ),
    (
        "enqueue",
        &[
            "backshift enqueue report.make --payload '{\"month\": \"2026-11\"}' --in 5m",
            "backshift enqueue report.make --payload '{\"n\": \"{n}\"}' --count 1000",
            "backshift enqueue report.make --payload '{}' --unique-key november",
            "cat jobs.ndjson | backshift enqueue --stdin --json",
        ],
    ),
    (
        "jobs",
        &["backshift jobs list --state dead", "backshift jobs retry 019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55"],
    ),
    (
        "jobs list",
        &[
            "backshift jobs list --state dead --kind email.send",
            "backshift jobs list --effect ambiguous --json",
        ],
    ),
    ("jobs show", &["backshift jobs show 019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55"]),
    (
        "jobs retry",
        &[
            "backshift jobs retry 019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55",
            "backshift jobs retry --state dead --queue mail --error timeout --dry-run",
            "backshift jobs retry --state dead --cause 'error: connection refused' --why 'the server is back'",
        ],
    ),
    (
        "jobs cancel",
        &[
            "backshift jobs cancel 019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55",
            "backshift jobs cancel --state scheduled --kind report.make --since 2h",
        ],
    ),
    ("jobs delete", &["backshift jobs delete --state cancelled --queue imports --yes"]),
    ("jobs hands", &["backshift jobs hands", "backshift jobs hands --limit 500 --json"]),
    ("dead", &["backshift dead group"]),
    ("dead group", &["backshift dead group --queue mail", "backshift dead group --json"]),
    ("jobs explain", &["backshift jobs explain 019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55"]),
    ("queues explain", &["backshift queues explain mail"]),
    ("queues", &["backshift queues list", "backshift queues pause mail"]),
    ("queues list", &["backshift queues list", "backshift queues list --json"]),
    ("queues pause", &["backshift queues pause mail", "backshift queues pause not-used-yet --new"]),
    ("queues resume", &["backshift queues resume mail"]),
    ("suppressions", &["backshift suppressions list", "backshift suppressions remove ann@example.com"]),
    ("suppressions list", &["backshift suppressions list --json"]),
    ("suppressions add", &["backshift suppressions add ann@example.com --reason 'asked by phone'"]),
    ("suppressions remove", &["backshift suppressions remove ann@example.com"]),
    ("users", &["backshift users grant-admin ann@example.com"]),
    ("users grant-admin", &["backshift users grant-admin ann@example.com"]),
    ("migrate", &["backshift migrate status", "backshift migrate up"]),
    (
        "migrate up",
        &[
            "DATABASE_URL=postgres://owner@db.example/app backshift migrate up",
            "backshift migrate up --line identity --dry-run",
        ],
    ),
    ("migrate status", &["backshift migrate status --json"]),
    ("migrate sql", &["backshift migrate sql > schema.sql", "backshift migrate sql --dialect sqlite"]),
    ("doctor", &["backshift doctor", "backshift doctor --queue reports --json"]),
    (
        "health",
        &["backshift health", "backshift health --live", "backshift health api --address 127.0.0.1:8080"],
    ),
    ("config", &["backshift config show --origin", "backshift config template > backshift.toml"]),
    ("config show", &["backshift config show --origin"]),
    ("config template", &["backshift config template > backshift.toml"]),
    ("bench", &["backshift bench --jobs 2000 --rounds 3"]),
    (
        "completions",
        &["backshift completions bash > /etc/bash_completion.d/backshift", "backshift completions fish"],
    ),
];

/// Everything that can be typed, with examples.
pub(crate) fn command() -> Command {
    with_examples(Cli::command(), "")
}

fn with_examples(command: Command, path: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let command = match text(path) {
        Some(text) => command.after_help(text),
        None => command,
    };
    names.into_iter().fold(command, |command, name| {
        let path = format!("{path} {name}");
        command.mut_subcommand(name, |sub| with_examples(sub, path.trim()))
    })
}

fn text(path: &str) -> Option<String> {
    let (_, examples) = EXAMPLES.iter().find(|(of, _)| *of == path)?;
    let lines: Vec<String> = examples.iter().map(|line| format!("  {}", literal(line))).collect();
    Some(format!("Examples:\n{}", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    /// As a shell would: single quotes, and an end at `>` or `|`.
    fn words(line: &str) -> Vec<String> {
        let begin = line.find("backshift ").unwrap();
        let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
        for c in line[begin..].chars() {
            match c {
                '\'' => quoted = !quoted,
                '>' | '|' if !quoted => break,
                ' ' if !quoted => {
                    words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()))
                }
                c => word.push(c),
            }
        }
        words.extend(Some(word).filter(|word| !word.is_empty()));
        words
    }

    /// Every command by its words. One whose examples stand beside its definition needs none here.
    fn leaves(command: &Command, path: &str, found: &mut Vec<String>) {
        let own = command.get_after_help().is_some_and(|text| text.to_string().contains("Examples:"));
        assert!(own || text(path.trim()).is_some(), "`backshift {path}` has no example");
        found.push(path.trim().to_owned());
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            leaves(sub, &format!("{path} {}", sub.get_name()), found);
        }
    }

    #[test]
    fn every_command_has_examples_that_are_true() {
        let mut paths = Vec::new();
        leaves(&Cli::command(), "", &mut paths);
        for (path, examples) in EXAMPLES {
            assert!(paths.iter().any(|known| known == path), "there is no `backshift {path}`");
            for line in *examples {
                let words = words(line);
                let matches =
                    command().try_get_matches_from(&words).unwrap_or_else(|error| panic!("{line}: {error}"));
                Cli::from_arg_matches(&matches).unwrap_or_else(|error| panic!("{line}: {error}"));
                assert!(
                    format!("{} ", words.join(" ")).starts_with(&format!("backshift {path}")),
                    "{line} shows {path}"
                );
            }
        }
    }

    #[test]
    fn the_number_of_a_job_stands_in_the_help() {
        let help = command().find_subcommand_mut("enqueue").unwrap().render_long_help().to_string();
        assert_eq!(help.matches("{n}").count(), 2, "{help}");
    }
}
