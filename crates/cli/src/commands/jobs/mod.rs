//! `backshift jobs`: look at jobs and steer them, one file a command.

mod explain;
mod filters;
mod hands;
mod list;
mod many;
mod show;
mod steer;

use backshift_core::{Deed, JobId, Store};

use crate::{config::Config, exit::Failure, wiring::Backend};

pub(super) use filters::{Filters, filter, words};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List jobs, newest first.
    List(Box<list::Args>),
    /// Show one job: what it is, what happened, why, what is next. Payload and errors are masked; --json is for programs.
    Show(show::Args),
    /// Say why a job does not run and what changes that. Exit 0 = nobody needs to act, 1 = somebody must.
    Explain(explain::Args),
    /// Run jobs again now, with fresh attempts.
    Retry(Box<steer::Args>),
    /// Cancel jobs that wait, ask running ones to stop.
    Cancel(Box<steer::Args>),
    /// Delete jobs that are over, for good.
    Delete(Box<steer::Args>),
    /// Show what people did to jobs and queues, the newest first.
    Hands(hands::Args),
}

/// Runs the subcommand.
pub(super) async fn run(command: &Command, config: &Config, backend: &Backend) -> Result<(), Failure> {
    let store: &dyn Store = &**backend.store()?;
    match command {
        Command::List(args) => list::run(args, config, backend).await,
        Command::Show(args) => show::run(args, config, store).await,
        Command::Explain(args) => explain::run(args, config, store).await,
        Command::Retry(args) => steer::run(Deed::Retry, args, backend).await,
        Command::Cancel(args) => steer::run(Deed::Cancel, args, backend).await,
        Command::Delete(args) => steer::run(Deed::Delete, args, backend).await,
        Command::Hands(args) => hands::run(args, store).await,
    }
}

fn id(text: &str) -> Result<JobId, Failure> {
    text.parse().map_err(Failure::usage)
}
