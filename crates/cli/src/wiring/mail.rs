//! Who sends mail: an SMTP server in production, the mailbox directory in `dev`.

use std::sync::Arc;

use backshift_mail::{
    Composer, Credentials, DevMailbox, EmailAddress, Limits, Mailer, NamedAddress, SmtpOptions,
    SmtpTransport, Suppressions, TlsMode,
};
use backshift_store::Database;
use backshift_workers::mail::{DatabaseSendLog, DatabaseSuppressions, MailOptions, MailWorker};

use super::{named, pem, private, protect};
use crate::{config::Config, exit::Failure};

/// From of mails that stay in the mailbox of `dev`.
const DEV_FROM: &str = "backshift@mail.example";

/// The configured transport; `None` when no SMTP server is set.
pub(crate) fn mailer_of(config: &Config) -> Result<Option<Arc<dyn Mailer>>, Failure> {
    let Some(options) = smtp_options(config)? else { return Ok(None) };
    let way = named(options.way(), config, "smtp.ca_file");
    let transport = SmtpTransport::new(options)
        .map_err(|error| Failure::configuration(format!("smtp ({}): {error}", way.place())))?;
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
            .map_err(|problem| Failure::configuration(format!("smtp.tls: {problem}")))?;
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
fn from(config: &Config) -> Result<NamedAddress, Failure> {
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
    let wrong =
        |error| Failure::configuration(format!("smtp.from ({}): {error}", config.origin("smtp.from")));
    let mut parsed = NamedAddress::parse(text).map_err(wrong)?;
    if let Some(name) = config.some("smtp.from_name") {
        let address: EmailAddress = parsed.address.clone();
        parsed = NamedAddress::named(name, address).map_err(|error| {
            Failure::configuration(format!("smtp.from_name ({}): {error}", config.origin("smtp.from_name")))
        })?;
    }
    Ok(parsed)
}
