//! `backshift doctor`: looks at everything that a start depends on and says what to do about it.
//!
//! It makes nothing, but for the objects of a queue that `--queue` names.

mod store;

use backshift_core::{
    BrokerError, QueueName,
    way::{Check, Encryption, Safety, Way},
};
use serde_json::{Value, json};

use crate::{
    config::Config,
    domains,
    exit::Failure,
    finding::{Finding, PATIENCE},
    output,
    wiring::{
        Backend, Foreign, check_queues, contradictions, file_of, foreign, foreign_queues, open_files, places,
        private, refuse_unsupported, unsupported,
    },
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A queue of a foreign broker that a worker is to work; those of a plain `worker` when none is named.
    #[arg(long = "queue", value_name = "QUEUE")]
    queues: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const BROKER: &str = "broker";

/// Looks and reports; the exit code is that of the worst finding.
pub(super) async fn run(args: &Args, config: &Config) -> Result<(), Failure> {
    check_queues(&args.queues)?;
    let mut findings = vec![domains::configured(config)];
    findings.extend(settings(config));
    findings.extend(files(config));
    // Once: what is to be said about its servers is said when it is built.
    let (backend, failure) = match Backend::look(config) {
        Ok(backend) => (Some(backend), None),
        Err(failure) => (None, Some(failure)),
    };
    findings.extend(store::store(config, backend.as_ref(), failure).await);
    findings.extend(brokers(args, config, backend.as_ref()).await);
    findings.extend(domains::look(config).await);
    for finding in &mut findings {
        finding.problem = finding.problem.take().map(|problem| problem.placed(config));
    }
    print(args.json, &findings);
    let all = findings.len();
    let problems: Vec<Failure> = findings.into_iter().filter_map(|f| f.problem).collect();
    let rest = format!("{} of {all} findings are problems", problems.len());
    match problems.into_iter().max_by_key(Failure::gravity) {
        None => Ok(()),
        Some(worst) => Err(worst.already_said(rest)),
    }
}

/// What contradicts itself, and brokers that are set and not worked.
fn settings(config: &Config) -> Vec<Finding> {
    let part = "configuration";
    let refused = refuse_unsupported(config).err();
    let passed_over = unsupported(config).into_iter();
    let told = |cause: &str| cause.split(" (").next().unwrap_or_default().to_owned();
    let contradictions = contradictions(config).into_iter();
    let contradictions =
        contradictions.map(|cause| Finding::new(part, told(&cause), Some(Failure::configuration(cause))));
    match refused {
        Some(failure) => contradictions.chain([Finding::new(part, "broker", Some(failure))]).collect(),
        None => contradictions
            .chain(passed_over.map(|text| Finding::new(part, format!("{text} and passed over"), None)))
            .collect(),
    }
}

/// What a start would refuse or warn about.
fn files(config: &Config) -> Vec<Finding> {
    let (part, data) = ("files", config.data_dir());
    let Ok(places) = places(config, false) else { return Vec::new() };
    let file = places.store.as_deref().and_then(file_of);
    let here = file.filter(|file| file.parent().is_some_and(|parent| private::is_same(parent, data)));
    let refused = match &here {
        Some(file) if data.exists() => private::directory(data).and_then(|()| private::database(file)).err(),
        _ => None,
    };
    let what = format!("data_dir {}", data.display());
    let refused = refused.map(|problem| Finding::new(part, what, Some(problem)));
    let remarks = open_files(config, &places).into_iter();
    refused.into_iter().chain(remarks.map(|remark| Finding::new(part, remark, None))).collect()
}

/// The foreign brokers, and with the worker's own rights what the worker will need of them.
async fn brokers(args: &Args, config: &Config, backend: Option<&Backend>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (source, url) in foreign(config) {
        // A store that is not there is no reason not to look at the broker.
        let built =
            backend.and_then(|it| it.foreign.iter().find(|foreign| foreign.source.name == source.name));
        let Some(foreign) = built.cloned().or_else(|| Foreign::open(config, source, &url).ok()) else {
            continue;
        };
        let problem = answered(source.title, foreign.broker.ping()).await;
        let (what, answers) = (format!("{} at {}", source.title, foreign.way.place()), problem.is_none());
        findings.push(Finding { ways: vec![foreign.way.clone()], ..Finding::new(BROKER, what, problem) });
        if !answers {
            continue;
        }
        findings.extend(source.remark.map(|remark| Finding::new(BROKER, remark, None)));
        let queues = backend.and_then(|backend| foreign_queues(&args.queues, config, backend, &foreign).ok());
        for queue in queues.into_iter().flatten() {
            findings.push(queue_of(args, &foreign, &queue).await);
        }
    }
    findings
}

/// A queue that was named is made ready as a worker would; others are looked at as they are.
async fn queue_of(args: &Args, foreign: &Foreign, queue: &QueueName) -> Finding {
    let (broker, title) = (&foreign.broker, foreign.source.title);
    if !args.queues.is_empty() {
        let problem = answered(title, broker.prepare(queue)).await;
        return Finding::new(BROKER, format!("queue {queue} with its retries and dead letters"), problem);
    }
    let mut there = false;
    let problem = answered(title, async {
        there = broker.inspect(queue).await?;
        Ok(())
    })
    .await;
    let what = match there {
        true => format!(
            "queue {queue} is as a worker needs it; `doctor --queue {queue}` also makes its retries and dead letters"
        ),
        false if problem.is_some() => format!("queue {queue}"),
        false => format!(
            "queue {queue} is not there yet: a worker makes it; `doctor --queue {queue}` tries whether it may"
        ),
    };
    Finding::new(BROKER, what, problem)
}

async fn answered(title: &str, asked: impl Future<Output = Result<(), BrokerError>>) -> Option<Failure> {
    within(title, asked).await.err()
}

/// What a server answers in time; `who` is one that does not.
async fn within<T, E: Into<Failure>>(
    who: &str,
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(Failure::unreachable(format!("{who} gave no answer within {} s", PATIENCE.as_secs()))),
    }
}

fn print(as_json: bool, findings: &[Finding]) {
    if as_json {
        let one = |f: &Finding| json!({"part": f.part, "what": f.what, "ok": f.problem.is_none(), "problem": f.problem.as_ref().map(ToString::to_string), "connections": f.ways.iter().map(connection).collect::<Vec<_>>()});
        output::json(&Value::Array(findings.iter().map(one).collect()));
        return;
    }
    for finding in findings {
        let mark = if finding.problem.is_none() { "ok     " } else { "problem" };
        output::line(format!("{mark}  {:<14} {}", finding.part, finding.what));
        if let Some(problem) = &finding.problem {
            output::line(format!("{:24} {problem}", ""));
        }
        for way in &finding.ways {
            // A server that was refused is none of these things: they are what it must be.
            let wanted = if finding.problem.is_some() { "wanted: " } else { "" };
            let risk = match way.safety() {
                Safety::Exposed(why) => format!("; not safe: {why}"),
                Safety::Local | Safety::Verified => String::new(),
            };
            output::line(format!("{:24} {wanted}{} at {way}{risk}", "", way.service));
        }
    }
}

/// Where it leads, whether it is encrypted, verified, and by whom.
fn connection(way: &Way) -> Value {
    let encrypted = match way.encryption {
        Encryption::Never => "no",
        Encryption::IfOffered => "if offered",
        Encryption::Always => "yes",
    };
    let verified = way.encryption != Encryption::Never && way.check == Check::Full;
    let authority = (way.check != Check::Nothing).then(|| way.authority.to_string());
    json!({
        "service": way.service, "host": way.host, "port": way.port, "this_machine": way.local,
        "encrypted": encrypted, "verified": verified, "authority": authority,
        "safe": !matches!(way.safety(), Safety::Exposed(_)),
    })
}
