//! What can be typed. Every command that prints a list takes `--json`.

mod migrate;

use backshift_core::client::PRIORITIES;
use clap::{Args, Parser, Subcommand};

use crate::examples::literal;

pub(crate) use migrate::{Migrate, MigrateUp};

/// The most jobs that one `count` makes, as a flag and in a line of standard input.
pub(crate) const MOST: u64 = 100_000_000;

/// What a priority may be, as the parser of flags wants it.
fn priorities() -> std::ops::RangeInclusive<i64> {
    (*PRIORITIES.start()).into()..=(*PRIORITIES.end()).into()
}

/// Runs a product's background work.
#[derive(Debug, Parser)]
#[command(name = "backshift", version, max_term_width = 100, propagate_version = true)]
pub(crate) struct Cli {
    /// Configuration file; `backshift.toml` of this directory when it exists.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything in one process, no server needed: store, queue, workers, API, mailbox and jobs page.
    Dev,
    /// Work queues.
    Worker(Worker),
    /// Serve the HTTP API.
    Api(Connection),
    /// Serve the pages that show and steer jobs, alone: no worker, any store.
    Ui(Ui),
    /// Accept jobs and print their ids.
    Enqueue(Enqueue),
    /// Look at jobs and steer them.
    #[command(subcommand)]
    Jobs(Jobs),
    /// Dead letters.
    #[command(subcommand)]
    Dead(Dead),
    /// Look at queues, pause and resume them.
    #[command(subcommand)]
    Queues(Queues),
    /// Addresses that get no mail.
    #[command(subcommand)]
    Suppressions(Suppressions),
    /// Accounts of the API.
    #[command(subcommand)]
    Users(Users),
    /// The database schema.
    #[command(subcommand)]
    Migrate(Migrate),
    /// Check configuration, servers and their settings.
    Doctor(Doctor),
    /// Ask a running worker or API whether it is ready: for probes of containers. Exit 0 = ready.
    Health(Health),
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Measure enqueue and drain on your own servers, on a queue of its own.
    Bench(Bench),
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
        let prints = matches!(self, Self::Migrate(Migrate::Sql { .. }));
        !(looks_at_nothing || prints || matches!(self, Self::Dev | Self::Doctor(_)))
    }

    /// Whether it works until it is told to stop.
    pub(crate) fn runs_long(&self) -> bool {
        matches!(self, Self::Dev | Self::Worker(_) | Self::Api(_) | Self::Ui(_))
    }
}

/// Where the broker and the store are.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Connection {
    /// Broker: embedded:PATH, postgres:…, amqp:… (default: the store's own queue). A password here stands in the process list:
    /// set BACKSHIFT_BROKER_URL instead.
    #[arg(long, value_name = "URL")]
    pub(crate) broker: Option<String>,
    /// Store: postgres:… or sqlite:PATH (default: DATABASE_URL, else the embedded file). A password here stands in the process
    /// list: set DATABASE_URL instead.
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Worker {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Queue and slots, such as default:20; repeat for more queues.
    #[arg(long = "queue", value_name = "QUEUE[:SLOTS]")]
    pub(crate) queues: Vec<String>,
    /// The broker alone: at least once, no fencing, no search.
    #[arg(long, conflicts_with = "store")]
    pub(crate) no_store: bool,
}

/// The pages of `ui`.
#[derive(Debug, Args)]
pub(crate) struct Ui {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Address and port; 127.0.0.1:8082 when neither this nor ui.listen says another.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Offer no button and accept none.
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Put every address under this path, such as /ops.
    #[arg(long, value_name = "PATH")]
    pub(crate) base_path: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Health {
    /// Which process of this machine: the worker's port (worker.http_addr) or the API's (api.host, api.port).
    #[arg(value_parser = ["worker", "api"], default_value = "worker")]
    pub(crate) process: String,
    /// Another address instead, such as 127.0.0.1:8080.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: Option<String>,
    /// Only whether it lives (/healthz): for a liveness probe, which must not end a worker because a server is away.
    #[arg(long)]
    pub(crate) live: bool,
    /// Print the answer as it came.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Enqueue {
    /// The kind, such as email.send.
    #[arg(required_unless_present = "stdin")]
    pub(crate) kind: Option<String>,
    // Its text is beside the examples: clap would make a line break of {n}.
    #[arg(long, value_name = "JSON", required_unless_present = "stdin", help = payload_help())]
    pub(crate) payload: Option<String>,
    /// The queue; without it the kind's own (email.send: mail), else default.
    #[arg(long)]
    pub(crate) queue: Option<String>,
    /// How many.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=MOST), conflicts_with = "id")]
    pub(crate) count: u64,
    /// A UUID; the same id again adds nothing.
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// Not before this long from now, such as 5m.
    #[arg(long = "in", value_name = "DURATION", conflicts_with = "at")]
    pub(crate) delay: Option<String>,
    /// Not before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Higher runs first, -100 to 100.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_parser = clap::value_parser!(i16).range(priorities()))]
    pub(crate) priority: i16,
    /// At most one unfinished job per key.
    #[arg(long, value_name = "KEY")]
    pub(crate) unique_key: Option<String>,
    /// What happens when the key is held: reject, replace, keep-last.
    #[arg(long, value_name = "POLICY", default_value = "reject", requires = "unique_key")]
    pub(crate) unique_policy: String,
    /// Also into a queue that nobody knows yet and whose name looks like a slip of the keys.
    #[arg(long)]
    pub(crate) new: bool,
    /// Read JSON lines from standard input.
    #[arg(long, conflicts_with_all = ["kind", "payload", "id", "count", "delay", "at", "unique_key"])]
    pub(crate) stdin: bool,
    /// Print one JSON array of ids.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Jobs {
    /// List jobs, newest first.
    List(Box<JobsList>),
    /// Show one job: what it is, what happened, why, what is next. Payload and errors are masked; --json is for programs.
    Show(OneJob),
    /// Say why a job does not run and what changes that. Exit 0 = nobody needs to act, 1 = somebody must.
    Explain(OneJob),
    /// Run jobs again now, with fresh attempts.
    Retry(Box<SomeJobs>),
    /// Cancel jobs that wait, ask running ones to stop.
    Cancel(Box<SomeJobs>),
    /// Delete jobs that are over, for good.
    Delete(Box<SomeJobs>),
    /// Show what people did to jobs and queues, the newest first.
    Hands(Hands),
}

#[derive(Debug, Args)]
pub(crate) struct Hands {
    /// Rows, up to 500.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) limit: u32,
    /// Only what was done before this time (RFC 3339), or longer ago than, such as 2h.
    #[arg(long, value_name = "TIME")]
    pub(crate) before: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Which jobs; all that is named must match.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub(crate) struct Filters {
    /// scheduled, available, running, retrying, completed, dead, cancelled, parked, held; failed, pending, active mean these too.
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// Only this kind.
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Only this queue.
    #[arg(long)]
    pub(crate) queue: Option<String>,
    /// none, intended, done, ambiguous.
    #[arg(long)]
    pub(crate) effect: Option<String>,
    /// Only those that concern this user.
    #[arg(long, value_name = "UUID")]
    pub(crate) user: Option<String>,
    /// Accepted at this time (RFC 3339) or later, or so long ago at most, such as 2h.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Accepted before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// With this text in error, payload, kind or queue; repeat for more.
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Vec<String>,
    /// With this text in the error; repeat for more.
    #[arg(long, value_name = "TEXT")]
    pub(crate) error: Vec<String>,
    /// With this text in the first 8 KiB of the payload; repeat for more.
    #[arg(long, value_name = "TEXT")]
    pub(crate) payload: Vec<String>,
    /// Only with an error of this cause, as `dead group` shows it.
    #[arg(long, value_name = "CAUSE")]
    pub(crate) cause: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct JobsList {
    #[command(flatten)]
    pub(crate) filters: Filters,
    /// Rows, up to 500.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) limit: u32,
    /// Continue after this job.
    #[arg(long, value_name = "ID")]
    pub(crate) cursor: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct OneJob {
    /// The job.
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct SomeJobs {
    /// The jobs; or name a state and more, for all that match.
    #[arg(conflicts_with = "state")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) many: Many,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// All that match.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Many {
    #[command(flatten)]
    pub(crate) filters: Filters,
    /// Say how many match and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do it without asking.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Why, for those who look at it later.
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Output {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Dead {
    /// Group them by cause, the most frequent first.
    Group(Box<DeadGroup>),
}

#[derive(Debug, Args)]
pub(crate) struct DeadGroup {
    #[command(flatten)]
    pub(crate) filters: Filters,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Queues {
    /// List queues with their counts.
    List(Output),
    /// Stop taking jobs from a queue, in every worker.
    Pause(SteeredQueue),
    /// Take jobs from it again.
    Resume(SteeredQueue),
    /// Say what stands in a queue's way and what changes that. Exit 0 = nobody needs to act, 1 = somebody must.
    Explain(OneQueue),
}

#[derive(Debug, Args)]
pub(crate) struct OneQueue {
    /// The queue.
    pub(crate) queue: String,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct SteeredQueue {
    /// The queue.
    pub(crate) queue: String,
    /// Also a queue that no job and no worker knows yet.
    #[arg(long)]
    pub(crate) new: bool,
    /// Why, for those who look at it later.
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Suppressions {
    /// List suppressed addresses.
    List(Output),
    /// Suppress an address.
    Add(Suppression),
    /// Let an address receive mail again.
    Remove(Suppression),
}

#[derive(Debug, Args)]
pub(crate) struct Suppression {
    /// The address.
    pub(crate) address: String,
    /// Why (for `add`).
    #[arg(long, default_value = "manual")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Users {
    /// Make an account an administrator.
    GrantAdmin {
        /// The account's address.
        email: String,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// A queue of a foreign broker that a worker is to work; those of a plain `worker` when none is named.
    #[arg(long = "queue", value_name = "QUEUE")]
    pub(crate) queues: Vec<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting; secrets are not printed.
    Show {
        /// Say where each value comes from.
        #[arg(long)]
        origin: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the commented configuration file with every key.
    Template,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Jobs of one round, up to a million.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) jobs: u64,
    /// Rounds, each enqueued and drained; the median is printed with the spread.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=20))]
    pub(crate) rounds: u64,
    /// Slots of the worker.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) slots: u64,
    #[command(flatten)]
    pub(crate) output: Output,
}

fn payload_help() -> String {
    literal("JSON; {n} in a string is the number of the job, from 0")
}

impl Connection {
    /// The flags as settings.
    pub(crate) fn flags(&self) -> Vec<(&'static str, &'static str, String)> {
        let broker = self.broker.iter().map(|url| ("broker.url", "--broker", url.clone()));
        broker.chain(self.store.iter().map(|url| ("database.url", "--store", url.clone()))).collect()
    }
}

impl Ui {
    /// The flags as settings.
    pub(crate) fn flags(&self) -> Vec<(&'static str, &'static str, String)> {
        let listen = self.listen.iter().map(|at| ("ui.listen", "--listen", at.clone()));
        let base = self.base_path.iter().map(|path| ("ui.base_path", "--base-path", path.clone()));
        let read_only = self.read_only.then(|| ("ui.read_only", "--read-only", "true".to_owned()));
        self.connection.flags().into_iter().chain(listen).chain(base).chain(read_only).collect()
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
}
