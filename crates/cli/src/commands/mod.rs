//! One file a command. Long-running ones log to standard output, the others keep it for results.

mod api;
mod bench;
mod config;
mod dead;
mod dev;
mod dev_lock;
mod doctor;
mod enqueue;
mod explain;
mod hands;
mod health;
mod jobs;
mod known_kinds;
mod known_queues;
mod many;
mod migrate;
mod port_holder;
mod queues;
mod suppressions;
mod ui;
mod users;
mod worker;

use std::process::ExitCode;

use backshift_store::migrate::Line;

use crate::{
    args::{Cli, Command, Connection, Dead, Jobs, Migrate, Queues, Suppressions, Users},
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
        Command::Worker(_) | Command::Api(_) => Stream::Output,
        Command::Ui(_) => Stream::Chatter,
        Command::Dev => Stream::Chatter,
        _ => Stream::Error,
    };
    let flags = match &cli.command {
        Command::Ui(args) => args.flags(),
        command => connection(command).flags(),
    };
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
        Command::Api(_) => api::run(config).await,
        Command::Ui(_) => ui::run(config).await,
        Command::Enqueue(args) => enqueue::run(args, ready(config).await).await,
        Command::Jobs(command) => jobs::run(command, config, &looking(config).await?).await,
        Command::Dead(command) => dead::run(command, &**looking(config).await?.store()?).await,
        Command::Queues(command @ (Queues::List(_) | Queues::Explain(_))) => {
            queues::run(command, config, &looking(config).await?).await
        }
        Command::Queues(command) => queues::run(command, config, &ready(config).await?).await,
        Command::Suppressions(command @ Suppressions::List(_)) => {
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

/// `--broker` and `--store` of whatever was typed.
fn connection(command: &Command) -> Connection {
    let found = match command {
        Command::Worker(args) => &args.connection,
        Command::Api(connection) => connection,
        Command::Enqueue(args) => &args.connection,
        Command::Jobs(Jobs::List(args)) => &args.output.connection,
        Command::Jobs(Jobs::Show(args) | Jobs::Explain(args)) => &args.output.connection,
        Command::Jobs(Jobs::Retry(args) | Jobs::Cancel(args) | Jobs::Delete(args)) => &args.output.connection,
        Command::Jobs(Jobs::Hands(args)) => &args.output.connection,
        Command::Dead(Dead::Group(args)) => &args.output.connection,
        Command::Queues(Queues::List(output)) => &output.connection,
        Command::Queues(Queues::Pause(args) | Queues::Resume(args)) => &args.output.connection,
        Command::Queues(Queues::Explain(args)) => &args.output.connection,
        Command::Suppressions(Suppressions::List(output)) => &output.connection,
        Command::Suppressions(Suppressions::Add(args) | Suppressions::Remove(args)) => {
            &args.output.connection
        }
        Command::Users(Users::GrantAdmin { output, .. }) => &output.connection,
        Command::Migrate(Migrate::Up(args)) => &args.output.connection,
        Command::Migrate(Migrate::Status(output)) => &output.connection,
        Command::Doctor(args) => &args.output.connection,
        Command::Bench(args) => &args.output.connection,
        _ => return Connection::default(),
    };
    found.clone()
}
