//! Brings one mail to the server: pause, suppression, effect, send, verdict, log.
//!
//! Running twice: an earlier attempt that is known to have sent makes this one complete at once; one whose end
//! nobody knows is decided by [`AmbiguousPolicy`]. The Message-ID comes from the job and is always the same.

use std::{collections::HashSet, sync::Arc, time::Instant};

use backshift_core::{Clock, JobContext, JobError, JobResult, Reason, SystemClock, Timestamp};
use backshift_mail::{
    ComposeError, Composer, EmailAddress, EmailData, MailClass, Mailer, Message, SendLog, SendLogEntry,
    Suppressions,
};
use tokio::sync::Semaphore;

use super::{
    AmbiguousPolicy, MailOptions, QUEUE_OF_SYSTEM_C, TransportPause,
    effect::{self, Admitted},
    verdict,
};

/// A payload of this many bytes is read, and its mail built, on a blocking thread: the threads of the others must not wait
/// for it. What a smaller one costs is less than what the way there and back does.
const LARGE: usize = 8 * 1024;
/// So many of them at once.
const TURNS: usize = 2;

/// Sends the mails of a process. Cheap to clone through its `Arc`.
pub struct MailWorker {
    /// The numbers.
    pub options: MailOptions,
    pub(super) mailer: Arc<dyn Mailer>,
    pub(super) composer: Composer,
    pub(super) suppressions: Arc<dyn Suppressions>,
    pub(super) log: Arc<dyn SendLog>,
    pub(super) pause: Arc<TransportPause>,
    /// Turns for work on a blocking thread: a large mail takes several times its bytes meanwhile.
    turns: Semaphore,
    pub(super) clock: Arc<dyn Clock>,
}

/// A mail and how it may be treated.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The mail.
    pub email: EmailData,
    /// How much it matters; decides about suppression.
    pub class: MailClass,
    /// What to do when nobody knows whether it was sent.
    pub ambiguous: AmbiguousPolicy,
    /// From when on it is of no use.
    pub expires_at: Option<Timestamp>,
}

impl MailWorker {
    /// A worker that sends through `mailer` what `composer` builds.
    pub fn new(
        mailer: Arc<dyn Mailer>,
        composer: Composer,
        suppressions: Arc<dyn Suppressions>,
        log: Arc<dyn SendLog>,
        options: MailOptions,
    ) -> Self {
        let pause = Arc::new(TransportPause::new(options.pause, options.pause_cap));
        let (turns, clock) = (Semaphore::new(TURNS), Arc::new(SystemClock));
        Self { options, mailer, composer, suppressions, log, pause, turns, clock }
    }

    /// With another clock, for tests.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The transport's pause: its view is a part of the readiness of the process.
    pub fn pause(&self) -> Arc<TransportPause> {
        Arc::clone(&self.pause)
    }

    /// Runs one attempt to send one mail.
    pub async fn deliver(&self, context: &JobContext, letter: Letter) -> JobResult {
        let recipient = letter.email.recipient.address.clone();
        self.log_start(context, &letter.email, &recipient);
        if letter.expires_at.is_some_and(|at| at <= self.clock.now()) {
            return Err(JobError::dead_letter(
                Reason::Expired,
                "the mail is of no use any more and was not sent",
            ));
        }
        if context.is_cancelled() {
            return Err(JobError::snooze(std::time::Duration::ZERO, "the worker is stopping"));
        }
        let from = self.composer.from().address.clone();
        if let Some(delay) = self.pause.wait(context, &*self.mailer, &from).await {
            return Err(JobError::snooze(delay, "the mail transport is paused"));
        }
        let Some(email) = self.without_suppressed(context, letter.email, letter.class).await? else {
            context.note("suppressed");
            return Ok(());
        };
        let message = self.compose(context, email).await?;
        match effect::admit(context, letter.ambiguous).await? {
            Admitted::AlreadySent(receipt) => {
                context.note(
                    receipt.map_or("sent by an earlier attempt".to_owned(), |r| format!("sent before: {r}")),
                );
                Ok(())
            }
            Admitted::Send(sending) => {
                let begun = Instant::now();
                let report = self.mailer.send(&message).await;
                let took = begun.elapsed();
                metrics::histogram!("smtp_send_duration_seconds").record(took.as_secs_f64());
                let now = self.clock.now();
                let id = context.id().to_string();
                let entry =
                    SendLogEntry::from_outcome(&id, context.attempt(), &message, &report.outcome, now);
                self.record(entry).await;
                verdict::settle(self, context, &message, &sending, letter.ambiguous, report, took).await
            }
        }
    }

    /// The log is for people: a mail that was sent must not be sent again because its entry could not be written.
    pub(super) async fn record(&self, entry: SendLogEntry) {
        if let Err(error) = self.log.record(entry).await {
            tracing::warn!(%error, "an entry of the send log was lost");
        }
    }

    fn log_start(&self, context: &JobContext, email: &EmailData, recipient: &EmailAddress) {
        // System C's operators look for its own message; nobody else knows what it speaks of.
        let name = match context.queue().as_str() {
            QUEUE_OF_SYSTEM_C => "smtp.delivery.rabbitmq.consumer.sendEmailWorker",
            _ => "sending a mail",
        };
        match self.options.log_subjects {
            true => tracing::info!(recipient = recipient.masked(), subject = email.subject, "{name}"),
            false => tracing::info!(recipient = recipient.masked(), "{name}"),
        }
    }

    /// The mail without suppressed copies; `None` = the recipient itself is suppressed, which is written down.
    async fn without_suppressed(
        &self,
        context: &JobContext,
        mut email: EmailData,
        class: MailClass,
    ) -> Result<Option<EmailData>, JobError> {
        let now = self.clock.now();
        let suppressed = self.suppressed(&email, class, now).await?;
        email.cc_addresses.retain(|copy| !suppressed.contains(&copy.address));
        let recipient = &email.recipient.address;
        if !suppressed.contains(recipient) {
            return Ok(Some(email));
        }
        let (id, attempt) = (context.id().to_string(), context.attempt());
        let message_id = self.composer.message_id(&id);
        self.record(SendLogEntry::suppressed(&id, attempt, &message_id, recipient.clone(), now)).await;
        Ok(None)
    }

    /// Those of a mail's addresses that get none of its class: one question for all of them.
    async fn suppressed(
        &self,
        email: &EmailData,
        class: MailClass,
        now: Timestamp,
    ) -> Result<HashSet<EmailAddress>, JobError> {
        let copies = email.cc_addresses.iter().map(|copy| &copy.address);
        let everybody: HashSet<&EmailAddress> =
            std::iter::once(&email.recipient.address).chain(copies).collect();
        let everybody: Vec<EmailAddress> = everybody.into_iter().cloned().collect();
        let found = self.suppressions.find_all(&everybody, now).await?;
        let found = found.into_iter().filter(|suppression| suppression.applies_to(class));
        Ok(found
            .map(|suppression| {
                let address = suppression.address;
                metrics::counter!("email_suppressed_total").increment(1);
                tracing::info!(
                    recipient = address.masked(),
                    "the address is suppressed: no mail is sent to it"
                );
                address
            })
            .collect())
    }

    /// Work in proportion to `size` bytes: here when they are few, else in its turn on a blocking thread.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        size: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JobError> {
        if size <= LARGE {
            return Ok(work());
        }
        let _turn = self.turns.acquire().await.map_err(JobError::retry)?;
        Ok(tokio::task::spawn_blocking(work).await?)
    }

    async fn compose(&self, context: &JobContext, email: EmailData) -> Result<Message, JobError> {
        let (composer, id, now) = (self.composer.clone(), context.id().to_string(), self.clock.now());
        let size = context.envelope().payload.len();
        let built = self.work(size, move || composer.compose(&email, &id, now)).await?;
        built.map_err(|error| {
            let reason = match &error {
                ComposeError::HeaderInjection(_) => Reason::Malformed,
                ComposeError::TooLarge { .. } => Reason::TooLarge,
                _ => Reason::Permanent,
            };
            JobError::dead_letter(reason, error)
        })
    }
}

impl std::fmt::Debug for MailWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MailWorker").field("options", &self.options).finish_non_exhaustive()
    }
}
