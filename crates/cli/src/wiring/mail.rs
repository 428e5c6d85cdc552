//! Who sends mail: an SMTP server in production, the mailbox directory in `dev`.

use std::sync::Arc;

use backshift_core::{QueueName, broker::Binding};
use backshift_mail::{
    Class, Composer, Credentials, DevMailbox, EmailAddress, Limits, Mailer, NamedAddress, Outcome,
    SmtpOptions, SmtpTransport, Suppressions, TlsMode,
};
use backshift_store::Database;
use backshift_workers::mail::{
    DatabaseSendLog, DatabaseSuppressions, MailDecoder, MailOptions, MailWorker, QUEUE_OF_SYSTEM_C,
};

use super::{named, pem, private, protect};
use crate::{config::Config, exit::Failure, sources::Source};

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

/// What the domains bind to a foreign broker: system C's mails, to one with exchanges.
pub(crate) fn bindings(config: &Config, source: &Source) -> Result<Vec<Binding>, Failure> {
    if !source.has_exchanges {
        return Ok(Vec::new());
    }
    let keeps_foreign_bodies = config.switch("mail.keep_foreign_bodies");
    Ok(vec![Binding {
        queue: QueueName::new(QUEUE_OF_SYSTEM_C).map_err(Failure::configuration)?,
        feed: Some(EXCHANGE.to_owned()),
        decoder: Arc::new(MailDecoder { keeps_foreign_bodies }),
    }])
}
