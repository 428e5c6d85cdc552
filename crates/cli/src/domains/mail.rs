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
use backshift_store::{Database, migrate::Line};
use futures::FutureExt as _;

use super::{Bound, Domain, Equipment, Faces, Role, WorkedBy, is_site};
use crate::{
    config::{Bytes, Config, Form, Key, Secret, Setting, Text, keys, set, settings},
    exit::Failure,
    finding::{self, Finding},
    sources::Source,
    wiring::{Backend, Foreign, Plan, foreign, named, pem, private, protect},
};

settings! {
    SETTINGS
    SMTP_HOST: Text = set("smtp.host", &["SMTP_HOST"], "", Form::Text, "SMTP server; without one `dev` keeps mails in its mailbox.");
    SMTP_PORT: u16 = set("smtp.port", &["SMTP_PORT"], "587", Form::Number(1, 65535), "SMTP port.");
    SMTP_USERNAME: Text = set("smtp.username", &["SMTP_USERNAME", "SMTP_USER"], "", Form::Text, "User for AUTH; none = no AUTH.");
    SMTP_PASSWORD: Secret = set("smtp.password", &["SMTP_PASSWORD", "SMTP_PASS"], "", Form::Secret, "Password for AUTH.");
    SMTP_FROM: Text = set("smtp.from", &["SMTP_FROM"], "", Form::Text, "Address in From; the user name when it is an address.");
    SMTP_FROM_NAME: Text = set("smtp.from_name", &["SMTP_FROM_NAME"], "", Form::Text, "Display name in From, encoded per RFC 2047.");
    SMTP_TLS: Text = set("smtp.tls", &[], "", Form::Word(&["", "none", "starttls", "implicit"]), "implicit on 465, none on loopback, else starttls (required), when not set.");
    SMTP_CA_FILE: Text = set("smtp.ca_file", &[], "", Form::Text, "PEM file of the authority that signed the server, instead of the system's.");
    SMTP_COMMAND_TIMEOUT: Duration = set("smtp.command_timeout", &[], "60s", Form::Time, "Longest wait for a reply; 10 minutes after the final dot (RFC 5321).");
    MAIL_CONCURRENCY: usize = set("mail.concurrency", &[], "10", Form::Number(1, 1000), "Mails sent at once by one process.");
    MAIL_RETRY_BASE: Duration = set("mail.retry_base", &[], "5s", Form::Duration, "Delay before a mail's second attempt.");
    MAIL_RETRY_CAP: Duration = set("mail.retry_cap", &[], "1h", Form::Duration, "Longest delay between a mail's attempts.");
    MAIL_MAX_ATTEMPTS: u32 = set("mail.max_attempts", &[], "12", Form::Number(1, 1000), "Attempts of a mail.");
    MAIL_PAUSE: Duration = set("mail.pause", &[], "30s", Form::Time, "First pause of a transport that refuses us; doubles to 10m.");
    MAIL_MAX_SIZE: Bytes = set("mail.max_size", &[], "48MiB", Form::Size, "Largest mail; a message of 16 MiB can become as large when it is encoded.");
    MAIL_KEEP_FOREIGN_BODIES: bool = set("mail.keep_foreign_bodies", &[], "false", Form::Switch, "Keep the bodies of mails on the exchange that do not say what they are; C's own producer mails codes there.");
    RETENTION_EMAIL_SENDS: Duration = set("retention.email_sends", &[], "90d", Form::Duration, "How long the send log keeps an entry; 0s = for ever.");
    LOG_SUBJECTS: bool = set("log.subjects", &[], "false", Form::Switch, "Logs subjects of mails.");
}

/// The longest pause of a mail transport.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// The log of sent mails and the suppressed addresses.
pub(crate) const TABLES: &Line = &backshift_domains::mail::TABLES;

pub(super) const DOMAIN: Domain = Domain {
    settings: SETTINGS,
    contradictions,
    look: |config| look(config).boxed(),
    queues: &[mail::QUEUE],
    peers: &[QUEUE_OF_SYSTEM_C],
    queue_of,
    kinds: |config| vec![(mail::KIND, if sends(config) { WorkedBy::Worker } else { WorkedBy::Dev })],
    attempts_of: |kind| (kind.as_str() == mail::KIND).then_some(ATTEMPTS),
    bindings,
    handlers,
    tables: Some(TABLES),
    is_on: |config, role| role == Role::Dev || config.some(&SMTP_HOST).is_some(),
    retention: |config, database| {
        let keep = config.get(&RETENTION_EMAIL_SENDS);
        Some(Arc::new(MailRetention::new(database.clone(), keep)))
    },
    faces,
    ..Domain::EMPTY
};

/// The setting with the attempts of a mail, also of one with a code.
pub(super) const ATTEMPTS: &Key<u32> = &MAIL_MAX_ATTEMPTS;

/// Whether a worker started here would send mails, as far as that can be seen.
pub(super) fn sends(config: &Config) -> bool {
    is_site(config) || config.some(&SMTP_HOST).is_some()
}

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
        &MAIL_RETRY_BASE,
        &MAIL_RETRY_CAP,
        "every delay is the cap then: make the cap the longer one",
        &mut found,
    );
    if config.get(&MAIL_PAUSE) > LONGEST_PAUSE {
        let told = config.told(&MAIL_PAUSE);
        found.push(format!("{told} is longer than 10m, the longest pause: write 10m or less"));
    }
    // Who is told to stop hands his jobs back within the grace; what he cannot is free when its lease ends.
    let (grace, command) = (config.get(&keys::SHUTDOWN_GRACE), config.get(&SMTP_COMMAND_TIMEOUT));
    if config.some(&SMTP_HOST).is_some() && grace.is_zero() {
        found.push(format!(
            "{} leaves no mail the time to be answered (smtp.command_timeout is {command:?}), so a stop makes mails ambiguous: \
             write 30s",
            config.told(&keys::SHUTDOWN_GRACE)
        ));
    }
    found
}

/// From of mails that stay in the mailbox of `dev`.
const DEV_FROM: &str = "backshift@mail.example";

/// The configured transport; `None` when no SMTP server is set.
fn mailer_of(config: &Config) -> Result<Option<Arc<dyn Mailer>>, Failure> {
    let Some(options) = smtp_options(config)? else { return Ok(None) };
    let way = named(options.way(), config, &SMTP_CA_FILE);
    let transport = SmtpTransport::new(options)
        .map_err(|error| Failure::configuration(format!("{}: {error}", smtp_of(config))))?;
    protect(config, &[way])?;
    Ok(Some(Arc::new(transport)))
}

/// What the settings say about the SMTP server; `None` when there is none.
fn smtp_options(config: &Config) -> Result<Option<SmtpOptions>, Failure> {
    let Some(host) = config.some(&SMTP_HOST) else { return Ok(None) };
    let mut options = SmtpOptions::new(host, config.get(&SMTP_PORT));
    if let Some(mode) = config.some(&SMTP_TLS) {
        options.tls = mode
            .parse::<TlsMode>()
            .map_err(|problem| Failure::configuration(format!("{}: {problem}", config.told(&SMTP_TLS))))?;
    }
    options.ca_pem = pem(config, &SMTP_CA_FILE)?;
    if let Some(username) = config.some(&SMTP_USERNAME) {
        let password = config.get(&SMTP_PASSWORD).unwrap_or_else(|| "".into());
        options.credentials = Some(Credentials { username: username.to_owned(), password });
    }
    options.command_timeout = config.get(&SMTP_COMMAND_TIMEOUT);
    options.max_connections = config.get(&MAIL_CONCURRENCY);
    Ok(Some(options))
}

/// What sends mails through this transport, with suppressions and send log in the database.
fn mail_worker(
    config: &Config,
    mailer: Arc<dyn Mailer>,
    database: &Database,
) -> Result<Arc<MailWorker>, Failure> {
    let limits = Limits { message_bytes: config.get(&MAIL_MAX_SIZE), ..Limits::default() };
    let composer = Composer::new(from(config)?).with_limits(limits);
    let options = MailOptions {
        max_attempts: config.get(&MAIL_MAX_ATTEMPTS),
        retry_base: config.get(&MAIL_RETRY_BASE),
        retry_cap: config.get(&MAIL_RETRY_CAP),
        pause: config.get(&MAIL_PAUSE),
        log_subjects: config.get(&LOG_SUBJECTS),
        ..MailOptions::default()
    };
    let log = Arc::new(DatabaseSendLog::new(database.clone()));
    Ok(Arc::new(MailWorker::new(mailer, composer, suppressions(database), log, options)))
}

/// The settings that lead to the mail server.
fn smtp_of(config: &Config) -> String {
    format!("{}, {}", config.told(&SMTP_HOST), config.told(&SMTP_PORT))
}

/// What the mail server answered, with the settings that it is about; 78 when the same settings get the same answer.
fn smtp_failure(config: &Config, outcome: &Outcome) -> Failure {
    let Some(failure) = outcome.failure() else { return Failure::failed(outcome) };
    let told = format!("{}: no mail can be sent there: {failure}", smtp_of(config));
    let tls = || config.told(&SMTP_TLS);
    match failure.class {
        Class::Config => {
            let account = format!("{} and smtp.password", config.told(&SMTP_USERNAME));
            Failure::configuration(format!("{told}; check {account} (SMTP_USERNAME, SMTP_PASSWORD)"))
        }
        Class::Tls => Failure::configuration(format!(
            "{told}; {} (BACKSHIFT_SMTP_TLS): implicit is usual on port 465, starttls on 587 and 25",
            tls()
        )),
        Class::Sender => Failure::configuration(format!(
            "{told}; {} (SMTP_FROM): the server does not let us send as this address",
            config.told(&SMTP_FROM)
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
async fn mailbox(config: &Config) -> Result<Arc<DevMailbox>, Failure> {
    let path = config.data_dir().join("mail");
    private::directory(&path)?;
    let opened = DevMailbox::open(&path).await;
    opened.map(Arc::new).map_err(|error| Failure::failed(format!("the mailbox {}: {error}", path.display())))
}

/// From: `SMTP_FROM`, else the user name when it is an address; only `dev` may have neither.
fn from(config: &Config) -> Result<NamedAddress, Failure> {
    let user = config.some(&SMTP_USERNAME).filter(|name| name.contains('@'));
    let text = match (config.some(&SMTP_FROM).or(user), config.some(&SMTP_HOST)) {
        (Some(text), _) => text,
        (None, None) => DEV_FROM,
        (None, Some(_)) => {
            return Err(Failure::configuration(
                "smtp.from is not set: SMTP_FROM is the address that mails come from",
            ));
        }
    };
    let wrong = |error| {
        Failure::configuration(format!("{}: {error}; write it as name@example.com", config.told(&SMTP_FROM)))
    };
    let mut parsed = NamedAddress::parse(text).map_err(wrong)?;
    if let Some(name) = config.some(&SMTP_FROM_NAME) {
        let address: EmailAddress = parsed.address.clone();
        parsed = NamedAddress::named(name, address)
            .map_err(|error| Failure::configuration(format!("{}: {error}", config.told(&SMTP_FROM_NAME))))?;
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
    let keeps_foreign_bodies = config.get(&MAIL_KEEP_FOREIGN_BODIES);
    let binding = Binding {
        queue: QueueName::new(QUEUE_OF_SYSTEM_C).map_err(Failure::configuration)?,
        feed: Some(EXCHANGE.to_owned()),
        decoder: Arc::new(MailDecoder { keeps_foreign_bodies }),
    };
    Ok(vec![Bound { binding, slots: config.get(&MAIL_CONCURRENCY) }])
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
        Err(failure) => return Finding::new(part, config.get(&SMTP_HOST), Some(failure)),
    };
    let what = format!("{}:{}", config.get(&SMTP_HOST), config.get(&SMTP_PORT));
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
            config.told(&SMTP_TLS)
        ))),
    };
    mailer.close().await;
    let options = smtp_options(config).ok().flatten();
    let ways = options.iter().map(|options| named(options.way(), config, &SMTP_CA_FILE)).collect();
    Finding { ways, ..Finding::new(part, what, problem) }
}
