//! The kind `email.send`: reads the payload as the exchange carries it and hands the mail to [`MailWorker`].
//!
//! Running twice: see [`MailWorker::deliver`].

use std::sync::Arc;

use backshift_core::{
    Envelope, JobContext, JobError, JobResult, Kind, Reason, Registry, Timestamp, wire::EXPIRES_AT,
};
use backshift_mail::MailClass;

use super::{AmbiguousPolicy, Letter, MAIL_CLASS, MailWorker};

/// The wire name.
pub const KIND: &str = "email.send";

/// Adds `email.send` to the handlers of a worker.
#[must_use]
pub fn register(registry: Registry, worker: Arc<MailWorker>) -> Registry {
    let kind = Kind::new(KIND).expect("the name is legal: a test reads it");
    let options = worker.options.job_options();
    registry.with_raw(&kind, options, move |context| {
        let worker = Arc::clone(&worker);
        async move { handle(&worker, context).await }
    })
}

async fn handle(worker: &MailWorker, context: JobContext) -> JobResult {
    let letter = letter(worker, context.envelope()).await?;
    worker.deliver(&context, letter).await
}

async fn letter(worker: &MailWorker, envelope: &Envelope) -> Result<Letter, JobError> {
    let payload = envelope.payload.clone();
    let read = worker.work(payload.len(), move || backshift_mail::decode(&payload)).await?;
    let email = read.map_err(|malformed| JobError::dead_letter(Reason::Malformed, malformed))?;
    let said = envelope.headers.get(MAIL_CLASS).and_then(|text| MailClass::parse(text));
    // A sensitive mail carries a code, whoever sent it.
    let class = said.or(envelope.is_sensitive().then_some(MailClass::TransactionalCritical));
    let ambiguous = match class {
        Some(MailClass::TransactionalCritical) => AmbiguousPolicy::Resend,
        Some(_) => AmbiguousPolicy::Hold,
        None => worker.options.unknown,
    };
    let expires_at = envelope.headers.get(EXPIRES_AT).and_then(|text| text.parse::<Timestamp>().ok());
    Ok(Letter { email, class: class.unwrap_or(MailClass::Transactional), ambiguous, expires_at })
}
