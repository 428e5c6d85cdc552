//! `backshift doctor`: looks at everything that a start depends on and says what to do about it.
//!
//! It makes nothing, but for the objects of a queue that `--queue` names.

mod store;

use std::time::Duration;

use backshift_brokers::rabbitmq::RabbitMqBroker;
use backshift_core::{
    Broker, BrokerError, QueueName,
    way::{Check, Encryption, Safety, Way},
};
use serde_json::{Value, json};

use crate::{
    args::Doctor,
    config::Config,
    exit::Failure,
    output,
    wiring::{
        Backend, Keys, Place, check_queues, file_of, from, mailer_of, named, open_files, places, private,
        rabbit, rabbit_config, rabbit_queues, refuse_unsupported, smtp_failure, smtp_of, smtp_options,
        unsupported,
    },
};

/// The longest time that one server gets.
const PATIENCE: Duration = Duration::from_secs(10);

/// No client is told the value, so it is said how a person sees it.
const PATIENCE_OF_RABBITMQ: &str = "RabbitMQ hands a job out again that runs longer than its consumer_timeout (30 min unless it was \
     changed; `rabbitmqctl eval 'application:get_env(rabbit, consumer_timeout).'` says it, and a policy may set \
     consumer-timeout for a queue). With a store a job that runs longer than worker.hand_over_after is kept by the store alone, \
     unless its body must not be kept or its message has no id: such a job goes on, and starts no second time";

/// One finding.
struct Finding {
    part: &'static str,
    what: String,
    problem: Option<Failure>,
    /// The ways to the servers of this part.
    ways: Vec<Way>,
}

impl Finding {
    fn new(part: &'static str, what: impl Into<String>, problem: Option<Failure>) -> Self {
        Self { part, what: what.into(), problem, ways: Vec::new() }
    }
}

/// Looks and reports; the exit code is that of the worst finding.
pub(super) async fn run(args: &Doctor, config: &Config) -> Result<(), Failure> {
    check_queues(&args.queues)?;
    let mut findings = vec![configuration(config)];
    findings.extend(settings(config));
    findings.extend(files(config));
    // Once: what is to be said about its servers is said when it is built.
    let (backend, failure) = match Backend::look(config) {
        Ok(backend) => (Some(backend), None),
        Err(failure) => (None, Some(failure)),
    };
    findings.extend(store::store(config, backend.as_ref(), failure).await);
    findings.extend(broker(args, config, backend.as_ref()).await);
    findings.push(mail(config).await);
    for finding in &mut findings {
        finding.problem = finding.problem.take().map(|problem| problem.placed(config));
    }
    print(args.output.json, &findings);
    let all = findings.len();
    let problems: Vec<Failure> = findings.into_iter().filter_map(|f| f.problem).collect();
    let rest = format!("{} of {all} findings are problems", problems.len());
    match problems.into_iter().max_by_key(Failure::gravity) {
        None => Ok(()),
        Some(worst) => Err(worst.already_said(rest)),
    }
}

fn configuration(config: &Config) -> Finding {
    let keys = Keys::configured(config);
    let what = match (&keys, Keys::weakness(config)) {
        (Ok(Some(_)), None) => "every key is known; JWT_SECRET is set".to_owned(),
        (Ok(Some(_)), Some(weakness)) => format!("every key is known; {weakness}"),
        (Ok(None), _) => "every key is known; JWT_SECRET is not set, so `api` will not start".to_owned(),
        (Err(_), _) => "JWT_SECRET".to_owned(),
    };
    Finding::new("configuration", what, keys.err())
}

/// What contradicts itself, and brokers that are set and not worked.
fn settings(config: &Config) -> Vec<Finding> {
    let part = "configuration";
    let refused = refuse_unsupported(config).err();
    let passed_over = unsupported(config).into_iter();
    let told = |cause: &str| cause.split(" (").next().unwrap_or_default().to_owned();
    let contradictions = config.contradictions().into_iter();
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

/// The server, and with the worker's own rights what the worker will need of it.
async fn broker(args: &Doctor, config: &Config, backend: Option<&Backend>) -> Vec<Finding> {
    let part = "broker";
    // A store that is not there is no reason not to look at the broker.
    let rabbit = match backend {
        Some(backend) => backend.rabbit.clone(),
        None => url_of_rabbit(config).and_then(|url| rabbit(config, &url).ok()),
    };
    let Some(rabbit) = rabbit else { return Vec::new() };
    let what = format!("RabbitMQ at {}", rabbit.address());
    let problem = answered(rabbit.ping()).await;
    let answers = problem.is_none();
    let mut findings = vec![Finding { ways: way_to_rabbit(config), ..Finding::new(part, what, problem) }];
    if answers {
        findings.push(Finding::new(part, PATIENCE_OF_RABBITMQ, None));
    }
    let queues = backend.and_then(|backend| rabbit_queues(&args.queues, config, backend).ok());
    for queue in queues.into_iter().flatten().filter(|_| answers) {
        findings.push(rabbit_queue(args, &rabbit, &queue).await);
    }
    findings
}

/// A queue that was named is made ready as a worker would; others are looked at as they are.
async fn rabbit_queue(args: &Doctor, rabbit: &RabbitMqBroker, queue: &QueueName) -> Finding {
    let part = "broker";
    if !args.queues.is_empty() {
        let problem = answered(rabbit.prepare(queue)).await;
        return Finding::new(part, format!("queue {queue} with its retries and dead letters"), problem);
    }
    let mut there = false;
    let problem = answered(async {
        there = rabbit.inspect(queue).await?;
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
    Finding::new(part, what, problem)
}

async fn answered(asked: impl Future<Output = Result<(), BrokerError>>) -> Option<Failure> {
    within("RabbitMQ gave", asked).await.err()
}

/// What a server answers in time; `who` begins the sentence about one that does not.
async fn within<T, E: Into<Failure>>(
    who: &str,
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(Failure::unreachable(format!("{who} no answer within {} s", PATIENCE.as_secs()))),
    }
}

fn url_of_rabbit(config: &Config) -> Option<String> {
    match places(config, false).map(|places| places.broker) {
        Ok(Place::RabbitMq(url)) => Some(url),
        _ => config.some("rabbitmq.url").map(str::to_owned),
    }
}

fn way_to_rabbit(config: &Config) -> Vec<Way> {
    let way =
        url_of_rabbit(config).and_then(|url| rabbit_config(config, &url).ok()).map(|rabbit| rabbit.way());
    way.map(|way| named(way, config, "rabbitmq.ca_file")).into_iter().collect()
}

async fn mail(config: &Config) -> Finding {
    let part = "mail";
    let mailer = match mailer_of(config) {
        Ok(Some(mailer)) => mailer,
        Ok(None) if url_of_rabbit(config).is_some() => {
            let what = "SMTP_HOST is not set, so a `worker` of smtp_send_email will not start";
            return Finding::new(part, what, None);
        }
        Ok(None) => {
            return Finding::new(part, "SMTP_HOST is not set; `dev` keeps mails in its mailbox", None);
        }
        Err(failure) => return Finding::new(part, config.text("smtp.host"), Some(failure)),
    };
    let what = format!("{}:{}", config.text("smtp.host"), config.text("smtp.port"));
    let from = match from(config) {
        Ok(from) => from.address,
        Err(problem) => return Finding::new(part, what, Some(problem)),
    };
    let problem = match tokio::time::timeout(PATIENCE, mailer.probe(&from)).await {
        Ok(Ok(())) => None,
        Ok(Err(outcome)) => Some(smtp_failure(config, &outcome)),
        Err(_) => Some(Failure::unreachable(format!(
            "{}: no answer within 10 s; {} (BACKSHIFT_SMTP_TLS): a server that waits for TLS says nothing, then implicit is right; or \
             a firewall stands between",
            smtp_of(config),
            config.told("smtp.tls")
        ))),
    };
    mailer.close().await;
    let options = smtp_options(config).ok().flatten();
    let ways = options.iter().map(|options| named(options.way(), config, "smtp.ca_file")).collect();
    Finding { ways, ..Finding::new(part, what, problem) }
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
