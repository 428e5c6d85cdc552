//! Mail: who sends it (an SMTP server in production, the mailbox directory in `dev`), and system C's queue of mails.

use std::{sync::Arc, time::Duration};

use backshift_core::{Kind, QueueName, Registry, broker::Binding};
use backshift_domains::mail::{
    self, DatabaseSendLog, DatabaseSuppressions, MailDecoder, MailOptions, MailRetention, MailWorker,
    Mailbox, QUEUE_OF_SYSTEM_C,
};
use backshift_http::health::{Cause, Check};
use backshift_mail::{
    Class, Composer, Credentials, DevMailbox, EmailAddress, Limits, Mailer, NamedAddress, Outcome,
    SmtpOptions, SmtpTransport, Suppressions, TlsMode,
};
use backshift_store::{
    Database,
    migrate::{Line, MAIL},
};
use futures::FutureExt as _;

use super::{Bound, Domain, Equipment, Faces, Role};
use crate::{
    config::{Config, Form, Setting, set},
    exit::Failure,
    finding::{self, Finding},
    sources::Source,
    wiring::{Backend, Foreign, Plan, foreign, named, pem, private, protect},
};

const SETTINGS: &[Setting] = &[
    set(
        "smtp.host",
        &["SMTP_HOST"],
        "",
        Form::Text,
        "SMTP server; without one `dev` keeps mails in its mailbox.",
    ),
    set("smtp.port", &["SMTP_PORT"], "587", Form::Number(1, 65535), "SMTP port."),
    set("smtp.username", &["SMTP_USERNAME", "SMTP_USER"], "", Form::Text, "User for AUTH; none = no AUTH."),
    set("smtp.password", &["SMTP_PASSWORD", "SMTP_PASS"], "", Form::Secret, "Password for AUTH."),
    set("smtp.from", &["SMTP_FROM"], "", Form::Text, "Address in From; the user name when it is an address."),
    set("smtp.from_name", &["SMTP_FROM_NAME"], "", Form::Text, "Display name in From, encoded per RFC 2047."),
    set(
        "smtp.tls",
        &[],
        "",
        Form::Word(&["", "none", "starttls", "implicit"]),
        "implicit on 465, none on loopback, else starttls (required), when not set.",
    ),
    set(
        "smtp.ca_file",
        &[],
        "",
        Form::Text,
        "PEM file of the authority that signed the server, instead of the system's.",
    ),
    set(
        "smtp.command_timeout",
        &[],
        "60s",
        Form::Time,
        "Longest wait for a reply; 10 minutes after the final dot (RFC 5321).",
    ),
    set("mail.concurrency", &[], "10", Form::Number(1, 1000), "Mails sent at once by one process."),
    set("mail.retry_base", &[], "5s", Form::Duration, "Delay before a mail's second attempt."),
    set("mail.retry_cap", &[], "1h", Form::Duration, "Longest delay between a mail's attempts."),
    set("mail.max_attempts", &[], "12", Form::Number(1, 1000), "Attempts of a mail."),
    set("mail.pause", &[], "30s", Form::Time, "First pause of a transport that refuses us; doubles to 10m."),
    set(
        "mail.max_size",
        &[],
        "48MiB",
        Form::Size,
        "Largest mail; a message of 16 MiB can become as large when it is encoded.",
    ),
    set(
        "mail.keep_foreign_bodies",
        &[],
        "false",
        Form::Switch,
        "Keep the bodies of mails on the exchange that do not say what they are; C's own producer mails codes there.",
    ),
    set(
        "retention.email_sends",
        &[],
        "90d",
        Form::Duration,
        "How long the send log keeps an entry; 0s = for ever.",
    ),
    set("log.subjects", &[], "false", Form::Switch, "Logs subjects of mails."),
];

/// The longest pause of a mail transport.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// The log of sent mails and the suppressed addresses.
pub(crate) const TABLES: &Line = &MAIL;

pub(super) const DOMAIN: Domain = Domain {
    settings: SETTINGS,
    contradictions,
    look: |config| look(config).boxed(),
    queues: &[mail::QUEUE],
    peers: &[QUEUE_OF_SYSTEM_C],
    queue_of,
    attempts_of: |kind| (kind.as_str() == mail::KIND).then_some(ATTEMPTS),
    bindings,
    handlers,
    tables: Some(TABLES),
    is_on: |config, role| role == Role::Dev || config.some("smtp.host").is_some(),
    retention: |config, database| {
        let keep = config.duration("retention.email_sends");
        Some(Arc::new(MailRetention::new(database.clone(), keep)))
    },
    faces,
    ..Domain::EMPTY
};

/// The setting with the attempts of a mail, also of one with a code.
pub(super) const ATTEMPTS: &str = "mail.max_attempts";

/// What sends the mails of a process.
pub(crate) struct Post {
    /// Sends them.
    pub(crate) worker: Arc<MailWorker>,
    /// Where they stay, in `dev` without a server.
    pub(crate) mailbox: Option<Arc<DevMailbox>>,
}

impl Post {
    /// A worker's: needed where it works system C's mails.
    pub(crate) fn of_worker(
        config: &Config,
        backend: &Backend,
        plan: &Plan,
    ) -> Result<Option<Self>, Failure> {
        match (mailer_of(config)?, &backend.store) {
            (Some(mailer), Some(store)) => {
                Ok(Some(Self { worker: mail_worker(config, mailer, store.database())?, mailbox: None }))
            }
            (None, _) if works_mail(plan) => Err(Failure::configuration(
                "smtp.host is not set: set SMTP_HOST, the server that the mails of smtp_send_email go to",
            )),
            (_, None) if works_mail(plan) => Err(Failure::configuration(
                "mails need a store, for the ledger of what was sent: set DATABASE_URL",
            )),
            _ => Ok(None),
        }
    }

    /// `dev`'s: the SMTP server when one is set, else the mailbox.
    pub(crate) async fn of_dev(config: &Config, database: &Database) -> Result<Self, Failure> {
        let (mailer, mailbox) = match mailer_of(config)? {
            Some(mailer) => (mailer, None),
            None => {
                let mailbox = mailbox(config).await?;
                (Arc::clone(&mailbox) as Arc<dyn Mailer>, Some(mailbox))
            }
        };
        Ok(Self { worker: mail_worker(config, mailer, database)?, mailbox })
    }

    /// Why no mail is sent just now, for a probe.
    pub(crate) fn check(&self) -> impl Fn() -> Option<Check> + Send + Sync + 'static {
        let pause = self.worker.pause();
        move || {
            let view = pause.view()?;
            let next = view.next_probe.as_secs();
            let told = format!("paused: {}; next probe in {next} s", view.reason);
            Some(Check::down("mail", Cause::Paused, told))
        }
    }
}

/// Whether system C's mails are among what a worker works.
fn works_mail(plan: &Plan) -> bool {
    plan.own.iter().chain(&plan.beside).any(|(queue, _)| queue.as_str() == QUEUE_OF_SYSTEM_C)
}

/// Whether this worker is system C's consumer: its queue, from the broker that carries it.
pub(crate) fn is_of_system_c(plan: &Plan, backend: &Backend) -> bool {
    let own = backend.own().is_some_and(|own| own.is_bound(QUEUE_OF_SYSTEM_C));
    works_mail(plan) && (own || !plan.beside.is_empty())
}

/// The broker that carries system C's mails, if one does.
pub(super) fn carrier(backend: &Backend) -> Option<&Foreign> {
    backend.bound(QUEUE_OF_SYSTEM_C)
}

fn queue_of(kind: &Kind, own: Option<&Foreign>) -> Option<&'static str> {
    let carried = || own.is_some_and(|own| own.is_bound(QUEUE_OF_SYSTEM_C));
    (kind.as_str() == mail::KIND).then(|| if carried() { QUEUE_OF_SYSTEM_C } else { mail::QUEUE })
}

fn handlers(equipment: &Equipment<'_>, registry: Registry) -> Result<Registry, Failure> {
    Ok(match &equipment.post {
        Some(post) => mail::register(registry, Arc::clone(&post.worker)),
        None => registry,
    })
}

fn faces(equipment: &Equipment<'_>) -> Result<Faces, Failure> {
    let mailbox = equipment.post.as_ref().and_then(|post| post.mailbox.clone());
    let sections = mailbox.into_iter().map(|mailbox| Arc::new(Mailbox(mailbox)) as _).collect();
    Ok(Faces { sections, ..Faces::default() })
}

fn contradictions(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    config.not_above(
        "mail.retry_base",
        "mail.retry_cap",
        "every delay is the cap then: make the cap the longer one",
        &mut found,
    );
    if config.duration("mail.pause") > LONGEST_PAUSE {
        let told = config.told("mail.pause");
        found.push(format!("{told} is longer than 10m, the longest pause: write 10m or less"));
    }
    // Who is told to stop hands his jobs back within the grace; what he cannot is free when its lease ends.
    let (grace, command) = (config.duration("shutdown.grace"), config.duration("smtp.command_timeout"));
    if config.some("smtp.host").is_some() && grace.is_zero() {
        found.push(format!(
            "{} leaves no mail the time to be answered (smtp.command_timeout is {command:?}), so a stop makes mails ambiguous: \
             write 30s",
            config.told("shutdown.grace")
        ));
    }
    found
}

/// From of mails that stay in the mailbox of `dev`.
const DEV_FROM: &str = "backshift@mail.example";

/// The configured transport; `None` when no SMTP server is set.
pub(crate) fn mailer_of(config: &Config) -> Result<Option<Arc<dyn Mailer>>, Failure> {
    let Some(options) = smtp_options(config)? else { return Ok(None) };
    let way = named(options.way(), config, "smtp.ca_file");
    let transport = SmtpTransport::new(options)
        .map_err(|error| Failure::configuration(format!("{}: {error}", smtp_of(config))))?;
    protect(config, &[way])?;
    Ok(Some(Arc::new(transport)))
}

/// What the settings say about the SMTP server; `None` when there is none.
pub(crate) fn smtp_options(config: &Config) -> Result<Option<SmtpOptions>, Failure> {
    let Some(host) = config.some("smtp.host") else { return Ok(None) };
    let mut options = SmtpOptions::new(host, config.number("smtp.port") as u16);
    if let Some(mode) = config.some("smtp.tls") {
        options.tls = mode
            .parse::<TlsMode>()
            .map_err(|problem| Failure::configuration(format!("{}: {problem}", config.told("smtp.tls"))))?;
    }
    options.ca_pem = pem(config, "smtp.ca_file")?;
    if let Some(username) = config.some("smtp.username") {
        let password = config.secret("smtp.password").unwrap_or_else(|| "".into());
        options.credentials = Some(Credentials { username: username.to_owned(), password });
    }
    options.command_timeout = config.duration("smtp.command_timeout");
    options.max_connections = config.number("mail.concurrency") as usize;
    Ok(Some(options))
}

/// What sends mails through this transport, with suppressions and send log in the database.
pub(crate) fn mail_worker(
    config: &Config,
    mailer: Arc<dyn Mailer>,
    database: &Database,
) -> Result<Arc<MailWorker>, Failure> {
    let limits = Limits { message_bytes: config.size("mail.max_size") as usize, ..Limits::default() };
    let composer = Composer::new(from(config)?).with_limits(limits);
    let options = MailOptions {
        max_attempts: config.number("mail.max_attempts") as u32,
        retry_base: config.duration("mail.retry_base"),
        retry_cap: config.duration("mail.retry_cap"),
        pause: config.duration("mail.pause"),
        log_subjects: config.switch("log.subjects"),
        ..MailOptions::default()
    };
    let log = Arc::new(DatabaseSendLog::new(database.clone()));
    Ok(Arc::new(MailWorker::new(mailer, composer, suppressions(database), log, options)))
}

/// The settings that lead to the mail server.
pub(crate) fn smtp_of(config: &Config) -> String {
    format!("{}, {}", config.told("smtp.host"), config.told("smtp.port"))
}

/// What the mail server answered, with the settings that it is about; 78 when the same settings get the same answer.
pub(crate) fn smtp_failure(config: &Config, outcome: &Outcome) -> Failure {
    let Some(failure) = outcome.failure() else { return Failure::failed(outcome) };
    let told = format!("{}: no mail can be sent there: {failure}", smtp_of(config));
    let tls = || config.told("smtp.tls");
    match failure.class {
        Class::Config => {
            let account = format!("{} and smtp.password", config.told("smtp.username"));
            Failure::configuration(format!("{told}; check {account} (SMTP_USERNAME, SMTP_PASSWORD)"))
        }
        Class::Tls => Failure::configuration(format!(
            "{told}; {} (BACKSHIFT_SMTP_TLS): implicit is usual on port 465, starttls on 587 and 25",
            tls()
        )),
        Class::Sender => Failure::configuration(format!(
            "{told}; {} (SMTP_FROM): the server does not let us send as this address",
            config.told("smtp.from")
        )),
        Class::Protocol => {
            Failure::configuration(format!("{told}; is it a mail server (SMTP_HOST, SMTP_PORT)?"))
        }
        Class::Timeout => Failure::unreachable(format!(
            "{told}; {} (BACKSHIFT_SMTP_TLS): a server that waits for TLS says nothing, then implicit is right; or a firewall \
             stands between",
            tls()
        )),
        _ => Failure::unreachable(format!("{told}; is it running, and are SMTP_HOST and SMTP_PORT right?")),
    }
}

/// The suppression list.
pub(crate) fn suppressions(database: &Database) -> Arc<dyn Suppressions> {
    Arc::new(DatabaseSuppressions::new(database.clone()))
}

/// The mailbox of `dev`.
pub(crate) async fn mailbox(config: &Config) -> Result<Arc<DevMailbox>, Failure> {
    let path = config.data_dir().join("mail");
    private::directory(&path)?;
    let opened = DevMailbox::open(&path).await;
    opened.map(Arc::new).map_err(|error| Failure::failed(format!("the mailbox {}: {error}", path.display())))
}

/// From: `SMTP_FROM`, else the user name when it is an address; only `dev` may have neither.
pub(crate) fn from(config: &Config) -> Result<NamedAddress, Failure> {
    let user = config.some("smtp.username").filter(|name| name.contains('@'));
    let text = match (config.some("smtp.from").or(user), config.some("smtp.host")) {
        (Some(text), _) => text,
        (None, None) => DEV_FROM,
        (None, Some(_)) => {
            return Err(Failure::configuration(
                "smtp.from is not set: SMTP_FROM is the address that mails come from",
            ));
        }
    };
    let wrong = |error| {
        Failure::configuration(format!("{}: {error}; write it as name@example.com", config.told("smtp.from")))
    };
    let mut parsed = NamedAddress::parse(text).map_err(wrong)?;
    if let Some(name) = config.some("smtp.from_name") {
        let address: EmailAddress = parsed.address.clone();
        parsed = NamedAddress::named(name, address)
            .map_err(|error| Failure::configuration(format!("{}: {error}", config.told("smtp.from_name"))))?;
    }
    Ok(parsed)
}

/// System C's exchange (docs/contracts/system-c.md, "AMQP").
const EXCHANGE: &str = "smtp_send_email_exc";

/// System C's mails come from a broker with exchanges.
fn bindings(config: &Config, source: &Source) -> Result<Vec<Bound>, Failure> {
    if !source.has_exchanges {
        return Ok(Vec::new());
    }
    let keeps_foreign_bodies = config.switch("mail.keep_foreign_bodies");
    let binding = Binding {
        queue: QueueName::new(QUEUE_OF_SYSTEM_C).map_err(Failure::configuration)?,
        feed: Some(EXCHANGE.to_owned()),
        decoder: Arc::new(MailDecoder { keeps_foreign_bodies }),
    };
    Ok(vec![Bound { binding, slots: config.number("mail.concurrency") as usize }])
}

/// Whether a configured broker carries system C's mails.
fn carries_mails(config: &Config) -> bool {
    foreign(config).into_iter().any(|(source, _)| source.has_exchanges)
}

/// Whether the mail server answers and takes mails of ours.
async fn look(config: &Config) -> Vec<Finding> {
    vec![server(config).await]
}

async fn server(config: &Config) -> Finding {
    let part = "mail";
    let mailer = match mailer_of(config) {
        Ok(Some(mailer)) => mailer,
        Ok(None) if carries_mails(config) => {
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
    let problem = match tokio::time::timeout(finding::PATIENCE, mailer.probe(&from)).await {
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
