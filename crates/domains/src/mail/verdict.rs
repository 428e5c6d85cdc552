//! What the server's answer means for the job: the table "Mail outcome" of docs/contracts/system-c.md, row by row.

use std::time::Duration;

use backshift_core::{JobContext, JobError, JobResult};
use backshift_mail::{
    EmailAddress, Failure, Message, Outcome, RefusedCopy, SendReport, Suppression, SuppressionReason,
};

use super::{AmbiguousPolicy, MailWorker, effect::Sending};

/// Writes down what is known, then says what the job does.
pub(super) async fn settle(
    worker: &MailWorker,
    context: &JobContext,
    message: &Message,
    sending: &Sending<'_>,
    policy: AmbiguousPolicy,
    report: SendReport,
    took: Duration,
) -> JobResult {
    let recipient = &message.envelope().to;
    if let Some(failure) = report.outcome.failure() {
        log_failure(recipient, failure);
    }
    match report.outcome {
        Outcome::Sent { reply, refused_cc } => {
            let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(recipient = recipient.masked(), duration_ms, "Email sent successfully");
            worker.pause.reached();
            sending.done(&reply).await?;
            refused_copies(worker, context, &refused_cc).await;
            Ok(())
        }
        Outcome::Retry { after, throttled, failure } => {
            sending.undone().await?;
            if let Some(pause) = worker.pause.failed(&failure, &context.envelope().kind) {
                return Err(JobError::snooze(pause, failure));
            }
            Err(match after.is_some() || throttled {
                true => JobError::throttled(after.map(|wish| wish.min(worker.options.retry_cap)), failure),
                false => JobError::retry(failure),
            })
        }
        Outcome::Pause { failure } => {
            sending.undone().await?;
            let pause = worker.pause.begin(&failure.to_string(), &context.envelope().kind);
            Err(JobError::snooze(pause, failure))
        }
        Outcome::Permanent { suppress, failure } => {
            sending.undone().await?;
            if suppress {
                suppressed(worker, recipient, &failure).await?;
            }
            Err(JobError::permanent(failure))
        }
        Outcome::Ambiguous { failure } => Err(sending.ambiguous(policy, failure.to_string()).await?),
    }
}

/// The seed's message, with the server's code in front as in its sample.
fn log_failure(recipient: &EmailAddress, failure: &Failure) {
    let code = failure.code.map(|code| format!("{code} ")).unwrap_or_default();
    let (recipient, text) = (recipient.masked(), &failure.text);
    tracing::error!(
        recipient,
        class = failure.class.as_str(),
        fault = failure.fault().as_str(),
        "smtp.usecase.SendEmail.DialAndSend: {code}{text}"
    );
}

/// The mail went to the others: a warning and no error.
async fn refused_copies(worker: &MailWorker, context: &JobContext, refused: &[RefusedCopy]) {
    if refused.is_empty() {
        return;
    }
    let shown: Vec<String> =
        refused.iter().map(|copy| format!("{} ({})", copy.address.masked(), copy.failure)).collect();
    let note = format!("copies refused: {}", shown.join(", "));
    tracing::warn!(note, "a mail was sent without some of its copies");
    context.note(note);
    for copy in refused.iter().filter(|copy| copy.suppress) {
        // The mail is sent: a list that cannot be written now must not send it again.
        if let Err(error) = suppressed(worker, &copy.address, &copy.failure).await {
            tracing::warn!(%error, "a refused copy could not be suppressed");
        }
    }
}

async fn suppressed(worker: &MailWorker, address: &EmailAddress, failure: &Failure) -> Result<(), JobError> {
    let entry = Suppression::new(
        address.clone(),
        SuppressionReason::HardBounce,
        &failure.to_string(),
        worker.clock.now(),
    );
    worker.suppressions.add(entry).await?;
    Ok(())
}
