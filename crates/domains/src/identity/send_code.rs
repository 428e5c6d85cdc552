//! The kind `identity.send_code`: renders the mail of a challenge, with the code, and sends it or hands it on.
//!
//! Running twice gives the same mail with the same code and the same id, never a new code. A challenge that was
//! used, replaced or has expired gives no mail; that is a completion with a note, not an error.

use std::sync::Arc;

use backshift_core::{
    Broker, BrokerError, Clock, Envelope, Handler, Headers, Job, JobContext, JobError, JobId, JobOptions,
    JobResult, Kind, QueueName, Reason, Registry, SystemClock, Timestamp,
    wire::{EXPIRES_AT, SENSITIVE, TRACEPARENT},
};
use backshift_mail::{EMAIL_VERIFICATION, EmailAddress, EmailData, MailClass, Templates, VERIFICATION_CODE};
use backshift_store::{Database, Executor};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    CodeKey,
    challenges::{ISSUED, Issued, IssuedRow, latest},
};
use crate::mail::{AmbiguousPolicy, KIND, Letter, MAIL_CLASS, MailWorker, QUEUE_OF_CODES, QUEUE_OF_SYSTEM_C};

/// The payload: which challenge, in which language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendCode {
    /// What the code is derived from.
    pub challenge: Uuid,
    /// The language of the mail.
    pub locale: String,
}

impl Job for SendCode {
    const KIND: &'static str = "identity.send_code";
    const QUEUE: &'static str = QUEUE_OF_CODES;
}

/// Where the mails with codes go.
pub enum CodeRoute {
    /// To the mail server.
    Direct(Arc<MailWorker>),
    /// To system C's queue at this broker, whose binding leads through C's exchange, for whoever consumes it.
    SystemC(Arc<dyn Broker>),
}

/// The handler's parts.
pub struct CodeSender {
    db: Database,
    key: CodeKey,
    templates: Arc<Templates>,
    route: CodeRoute,
    support_mail: Option<String>,
    app_name: Option<String>,
    options: JobOptions,
    clock: Arc<dyn Clock>,
}

impl CodeSender {
    /// A sender that derives codes with `key`, the key of the API, and takes attempts and delays from `options`.
    pub fn new(
        db: Database,
        key: CodeKey,
        templates: Arc<Templates>,
        route: CodeRoute,
        options: JobOptions,
    ) -> Self {
        Self {
            db,
            key,
            templates,
            route,
            support_mail: None,
            app_name: None,
            options,
            clock: Arc::new(SystemClock),
        }
    }

    /// With an address for questions in the mail's footer.
    #[must_use]
    pub fn with_support_mail(mut self, address: impl Into<String>) -> Self {
        self.support_mail = Some(address.into());
        self
    }

    /// In the name of this product where the mails go straight to the mail server. What goes to system C's exchange is always C's
    /// own mail, because C's consumers and its users know it.
    #[must_use]
    pub fn with_app_name(mut self, name: impl Into<String>) -> Self {
        self.app_name = Some(name.into());
        self
    }

    /// With another clock, for tests.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Adds `identity.send_code` to the handlers of a worker.
    #[must_use]
    pub fn register(self, registry: Registry) -> Registry {
        let options = self.options.clone();
        registry.with::<SendCode>(Arc::new(self)).configure(SendCode::KIND, |kind| *kind = options)
    }

    async fn run(&self, job: SendCode, context: &JobContext) -> JobResult {
        let Some((issued, recipient)) = self.pending(job.challenge).await? else {
            context.note("the code was used, replaced or has expired: no mail is needed");
            return Ok(());
        };
        let email = self.render(&issued, &recipient, &job.locale)?;
        match &self.route {
            CodeRoute::Direct(worker) => {
                let letter = Letter {
                    email,
                    class: MailClass::TransactionalCritical,
                    ambiguous: AmbiguousPolicy::Resend,
                    expires_at: Some(issued.expires_at),
                };
                worker.deliver(context, letter).await
            }
            CodeRoute::SystemC(broker) => {
                let mail = self.packed(&email, issued.expires_at, context)?;
                // An unknown outcome may have arrived: the next attempt publishes the same id again.
                broker.publish(vec![mail]).await.pop().unwrap_or(Err(BrokerError::Closed))?;
                context.note("published to the exchange");
                Ok(())
            }
        }
    }

    /// The challenge and its user, if the code is still good for something.
    async fn pending(&self, id: Uuid) -> Result<Option<(Issued, Recipient)>, JobError> {
        let query = Executor::sql(&self.db, ISSUED).push(" WHERE id = ").push_bind(id);
        let Some(issued) = query.optional::<IssuedRow>().await?.map(Issued::from) else { return Ok(None) };
        let latest = latest(&self.db, issued.user_id).await?;
        let replaced =
            latest.asked_from(issued.network.as_deref()).is_none_or(|newest| newest.id != issued.id);
        if issued.used || replaced || issued.expires_at <= self.clock.now() {
            return Ok(None);
        }
        const USER: &str =
            "SELECT username, full_name FROM users WHERE id = $1 AND is_active = $2 AND deleted_at IS NULL";
        let user = self.db.sql(USER).bind(issued.user_id).bind(false);
        let Some((username, full_name)) = user.optional::<(String, Option<String>)>().await? else {
            return Ok(None);
        };
        let address = EmailAddress::parse(&username).map_err(|error| {
            JobError::dead_letter(Reason::Permanent, format!("the user's address: {error}"))
        })?;
        let name = full_name.filter(|name| !name.trim().is_empty()).unwrap_or(username);
        Ok(Some((issued, Recipient { address, name })))
    }

    fn render(&self, issued: &Issued, recipient: &Recipient, locale: &str) -> Result<EmailData, JobError> {
        let code = self.key.code(&issued.challenge());
        let left = issued.expires_at.duration_since(self.clock.now()).as_secs();
        let mut data = json!({
            "Name": recipient.name,
            "OTP": code.expose_secret(),
            "OTPExpireMin": (left + 59).div_euclid(60).max(1),
            "Email": recipient.address.to_string(),
        });
        if let (Some(address), Some(fields)) = (&self.support_mail, data.as_object_mut()) {
            fields.insert("SupportMail".to_owned(), json!(address));
        }
        let template = match (&self.app_name, &self.route) {
            (Some(name), CodeRoute::Direct(_)) => {
                data["App"] = json!(name);
                VERIFICATION_CODE
            }
            _ => EMAIL_VERIFICATION,
        };
        let rendered = self.templates.render(template, locale, &data).map_err(JobError::permanent)?;
        let mut email = EmailData::new(recipient.address.clone(), rendered.subject, rendered.html);
        email.text = Some(rendered.text);
        Ok(email)
    }

    /// C's own consumers read Subject, Recipient and Body; the text alternative is an addition that they skip.
    fn packed(
        &self,
        email: &EmailData,
        expires_at: Timestamp,
        context: &JobContext,
    ) -> Result<Envelope, JobError> {
        let mut headers = Headers::from([
            (SENSITIVE.to_owned(), "true".to_owned()),
            (MAIL_CLASS.to_owned(), MailClass::TransactionalCritical.as_str().to_owned()),
            (EXPIRES_AT.to_owned(), expires_at.to_string()),
        ]);
        if let Some(trace) = context.headers().get(TRACEPARENT) {
            headers.insert(TRACEPARENT.to_owned(), trace.clone());
        }
        let kind = Kind::new(KIND).map_err(JobError::permanent)?;
        let queue = QueueName::new(QUEUE_OF_SYSTEM_C).map_err(JobError::permanent)?;
        let mail = Envelope::new(kind, queue, email.encode(), self.clock.now());
        // An id of its own, the same on every attempt: under the id of this job the ledger has another payload.
        let id = JobId(Uuid::new_v5(&context.id().0, b"smtp_send_email"));
        Ok(Envelope { id, headers, ..mail })
    }
}

struct Recipient {
    address: EmailAddress,
    name: String,
}

impl Handler<SendCode> for Arc<CodeSender> {
    async fn handle(&self, job: SendCode, context: JobContext) -> JobResult {
        self.run(job, &context).await
    }
}
