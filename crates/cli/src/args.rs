//! What can be typed: the commands, each with its arguments in its own file, and what every one of them takes.

use clap::{Parser, Subcommand};

use crate::commands::{
    bench, config, dead, doctor, enqueue, health, jobs, migrate, queues, suppressions, ui, users, worker,
};

/// Where the help shows what every command takes.
const EVERYWHERE: &str = "Options of every command";

/// Runs a product's background work.
#[derive(Debug, Parser)]
#[command(name = "backshift", version, max_term_width = 100, propagate_version = true)]
pub(crate) struct Cli {
    /// Configuration file; `backshift.toml` of this directory when it exists.
    #[arg(long, global = true, value_name = "FILE", help_heading = EVERYWHERE)]
    pub(crate) config: Option<String>,
    /// Broker, such as embedded:PATH, postgres:… or amqp:… (default: the store's own queue). A password here stands in the process list:
    /// set BACKSHIFT_BROKER_URL instead.
    #[arg(long, global = true, value_name = "URL", help_heading = EVERYWHERE)]
    broker: Option<String>,
    /// Store: postgres:… or sqlite:PATH (default: DATABASE_URL, else the embedded file). A password here stands in the process
    /// list: set DATABASE_URL instead.
    #[arg(long, global = true, value_name = "URL", help_heading = EVERYWHERE)]
    store: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// What was typed as settings: key, flag, value.
    pub(crate) fn flags(&self) -> Vec<(&'static str, &'static str, String)> {
        let places = [("broker.url", "--broker", &self.broker), ("database.url", "--store", &self.store)];
        let places = places.into_iter().filter_map(|(key, flag, url)| Some((key, flag, url.clone()?)));
        match &self.command {
            Command::Ui(args) => places.chain(args.flags()).collect(),
            _ => places.collect(),
        }
    }

    /// What clap cannot see, because a flag may stand before the command and after it.
    pub(crate) fn contradiction(&self) -> Option<&'static str> {
        let without = matches!(&self.command, Command::Worker(args) if args.no_store);
        (without && self.store.is_some())
            .then_some("--store and --no-store contradict each other: leave one of them out")
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything in one process, no server needed: store, queue, workers, API, mailbox and jobs page.
    Dev,
    /// Work queues.
    Worker(worker::Args),
    /// Serve the HTTP API.
    Api,
    /// Serve the pages that show and steer jobs, alone: no worker, any store.
    Ui(ui::Args),
    /// Accept jobs and print their ids.
    Enqueue(enqueue::Args),
    /// Look at jobs and steer them.
    #[command(subcommand)]
    Jobs(jobs::Command),
    /// Dead letters.
    #[command(subcommand)]
    Dead(dead::Command),
    /// Look at queues, pause and resume them.
    #[command(subcommand)]
    Queues(queues::Command),
    /// Addresses that get no mail.
    #[command(subcommand)]
    Suppressions(suppressions::Command),
    /// Accounts of the API.
    #[command(subcommand)]
    Users(users::Command),
    /// The database schema.
    #[command(subcommand)]
    Migrate(migrate::Command),
    /// Check configuration, servers and their settings.
    Doctor(doctor::Args),
    /// Ask a running worker or API whether it is ready: for probes of containers. Exit 0 = ready.
    Health(health::Args),
    /// The configuration.
    #[command(subcommand)]
    Config(config::Command),
    /// Measure enqueue and drain on your own servers, on a queue of its own.
    Bench(bench::Args),
    /// Print shell completions.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// Whether it works on the jobs of a site, which then must be the one that was meant. `dev` has its own, `doctor` reports.
    pub(crate) fn needs_site(&self) -> bool {
        let looks_at_nothing = matches!(self, Self::Health(_) | Self::Config(_) | Self::Completions { .. });
        let prints = matches!(self, Self::Migrate(migrate::Command::Sql { .. }));
        !(looks_at_nothing || prints || matches!(self, Self::Dev | Self::Doctor(_)))
    }

    /// Whether it works until it is told to stop.
    pub(crate) fn runs_long(&self) -> bool {
        matches!(self, Self::Dev | Self::Worker(_) | Self::Api | Self::Ui(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn count_and_id_do_not_go_together() {
        let parse = |args: &[&str]| Cli::try_parse_from(args);
        let id = "019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55";
        assert!(parse(&["backshift", "enqueue", "k", "--payload", "{}", "--id", id]).is_ok());
        assert!(
            parse(&["backshift", "enqueue", "k", "--payload", "{}", "--id", id, "--count", "2"]).is_err()
        );
        assert!(parse(&["backshift", "enqueue"]).is_err());
        assert!(parse(&["backshift", "enqueue", "--stdin"]).is_ok());
    }

    #[test]
    fn where_the_jobs_are_may_be_said_before_the_command_and_after_it() {
        let parse = |args: &[&str]| Cli::try_parse_from(args).unwrap();
        for args in [
            ["backshift", "--store", "sqlite:a.db", "jobs", "list"],
            ["backshift", "jobs", "list", "--store", "sqlite:a.db"],
        ] {
            assert_eq!(parse(&args).flags(), [("database.url", "--store", "sqlite:a.db".to_owned())]);
        }
        for args in [
            ["backshift", "--store", "sqlite:a.db", "worker", "--no-store"],
            ["backshift", "worker", "--no-store", "--store", "sqlite:a.db"],
        ] {
            assert!(parse(&args).contradiction().is_some(), "{args:?}");
        }
        assert!(parse(&["backshift", "worker", "--no-store"]).contradiction().is_none());
    }
}
