//! One file a command. Long-running ones log to standard output, the others keep it for results.

mod api;
pub(crate) mod bench;
mod causes;
pub(crate) mod config;
pub(crate) mod dead;
mod dev;
mod dev_lock;
pub(crate) mod doctor;
pub(crate) mod enqueue;
mod hand;
pub(crate) mod health;
pub(crate) mod jobs;
mod known_kinds;
mod known_queues;
pub(crate) mod migrate;
mod port_holder;
pub(crate) mod queues;
pub(crate) mod suppressions;
pub(crate) mod ui;
pub(crate) mod users;
pub(crate) mod worker;

use std::process::ExitCode;

use backshift_store::migrate::Line;

use crate::{
    args::{Cli, Command},
    config::{Config, holds_password, setting},
    examples,
    exit::Failure,
    output,
    telemetry::{self, Stream},
    wiring::{Backend, Patience, Schema, arm_failpoint, contradictions, refuse_unsupported, unsupported},
};

/// Runs the command that was typed.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, Failure> {
    if let Command::Completions { shell } = &cli.command {
        // Into memory first: the generator panics when whoever reads has heard enough.
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut examples::command(), "backshift", &mut script);
        output::script(&script);
        return Ok(ExitCode::SUCCESS);
    }
    let stream = match &cli.command {
        Command::Worker(_) | Command::Api => Stream::Output,
        Command::Ui(_) => Stream::Chatter,
        Command::Dev => Stream::Chatter,
        _ => Stream::Error,
    };
    if let Some(contradiction) = cli.contradiction() {
        return Err(Failure::usage(contradiction));
    }
    let flags = cli.flags();
    let config = match Config::load(cli.config.as_deref(), &flags) {
        Ok(config) => config,
        Err(problems) => {
            telemetry::start(&Config::defaults(), stream);
            return Err(logged(stream, Failure::configuration(problems)));
        }
    };
    telemetry::start(&config, stream);
    config.remarks().iter().for_each(|remark| tracing::warn!("{remark}"));
    if cli.command.runs_long() {
        let passed_over = unsupported(&config).into_iter().map(|text| format!("{text} and passed over"));
        contradictions(&config).into_iter().chain(passed_over).for_each(|text| tracing::warn!("{text}"));
    }
    warn_of_passwords(&flags);
    arm_failpoint().map_err(|failure| logged(stream, failure))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("the runtime cannot start: {error}")))?;
    let result = runtime.block_on(dispatch(&cli.command, &config));
    // A blocking handler that does not end must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    result.map(|()| ExitCode::SUCCESS).map_err(|failure| logged(stream, failure.placed(&config)))
}

/// Whoever may list the processes of this machine reads the flags of each.
fn warn_of_passwords(flags: &[(&'static str, &'static str, String)]) {
    for (key, flag, _) in flags.iter().filter(|(_, _, url)| holds_password(url)) {
        let variable = setting(key).map(|setting| setting.variables().join(" or ")).unwrap_or_default();
        tracing::warn!(
            "the password in {flag} stands in the process list, where every user of this machine can read it: set {variable}, or \
             {key} in a configuration file that only you can read"
        );
    }
}

/// Long-running commands also log why they ended, where operators look.
fn logged(stream: Stream, failure: Failure) -> Failure {
    if stream != Stream::Output {
        return failure;
    }
    failure.to_string().lines().for_each(|cause| tracing::error!("{cause}"));
    failure.already_said("")
}

async fn dispatch(command: &Command, config: &Config) -> Result<(), Failure> {
    if command.needs_site() {
        refuse_unsupported(config)?;
    }
    match command {
        Command::Dev => dev::run(config).await,
        Command::Worker(args) => worker::run(args, config).await,
        Command::Api => api::run(config).await,
        Command::Ui(_) => ui::run(config).await,
        Command::Enqueue(args) => enqueue::run(args, ready(config).await).await,
        Command::Jobs(command) => jobs::run(command, config, &looking(config).await?).await,
        Command::Dead(command) => dead::run(command, &**looking(config).await?.store()?).await,
        Command::Queues(command @ (queues::Command::List { .. } | queues::Command::Explain(_))) => {
            queues::run(command, config, &looking(config).await?).await
        }
        Command::Queues(command) => queues::run(command, config, &ready(config).await?).await,
        Command::Suppressions(command @ suppressions::Command::List { .. }) => {
            suppressions::run(command, looking_at(config, suppressions::TABLES).await?.database()?).await
        }
        Command::Suppressions(command) => {
            let backend = Backend::build(config, false)?;
            backend.ready(config, Schema::With(suppressions::TABLES), Patience::Short).await?;
            suppressions::run(command, backend.database()?).await
        }
        Command::Users(command) => {
            users::run(command, config, looking_at(config, users::TABLES).await?.database()?).await
        }
        Command::Migrate(command) => migrate::run(command, config).await,
        Command::Doctor(args) => doctor::run(args, config).await,
        Command::Health(args) => health::run(args, config).await,
        Command::Config(command) => config::run(command, config),
        Command::Bench(args) => bench::run(args, config, &ready(config).await?).await,
        Command::Completions { .. } => Ok(()),
    }
}

/// The backend of a short command: the store answers within ten seconds or the command gives up.
async fn ready(config: &Config) -> Result<Backend, Failure> {
    let backend = Backend::build(config, false)?;
    backend.ready(config, Schema::Configured, Patience::Short).await?;
    Ok(backend)
}

/// The same for a command that has nothing to do where no database is.
async fn looking(config: &Config) -> Result<Backend, Failure> {
    let backend = Backend::look(config)?;
    backend.ready(config, Schema::Configured, Patience::Short).await?;
    Ok(backend)
}

/// The same for a command of this domain.
async fn looking_at(config: &Config, line: &'static Line) -> Result<Backend, Failure> {
    let backend = Backend::look(config)?;
    backend.ready(config, Schema::With(line), Patience::Short).await?;
    Ok(backend)
}
