//! What is known about a mail's effect, and whether it may be sent now.
//!
//! A mail whose end nobody knows may be sent once more; that second sending is an effect of its own, so that it
//! never becomes a third. A mail that is held goes on when a person retries it, and only then: an attempt that wanted to
//! hold it and died before the job was dead has asked nobody.

use backshift_core::{EffectState, JobContext, JobError, Lease, Reason, State, Store};

use super::AmbiguousPolicy;

/// The effect of the first sending.
const FIRST: &str = "smtp";
/// The effect of the one resend after an ambiguous first sending.
const RESEND: &str = "smtp.resend";
/// Done while a person has to decide about the mail; its receipt is the token of the attempt that asked them. That it
/// runs again after that attempt ended as dead is their decision.
const HELD: &str = "smtp.held";

/// The right to send now.
pub(super) struct Sending<'a> {
    ledger: Option<Ledger<'a>>,
    key: &'static str,
}

/// What to do.
pub(super) enum Admitted<'a> {
    /// Send, then conclude.
    Send(Sending<'a>),
    /// It was sent by an earlier attempt; the server's words then.
    AlreadySent(Option<String>),
}

#[derive(Clone, Copy)]
struct Ledger<'a> {
    store: &'a dyn Store,
    lease: Lease,
}

/// Durably notes that the mail is about to be sent, unless it was sent or must be kept.
pub(super) async fn admit(context: &JobContext, policy: AmbiguousPolicy) -> Result<Admitted<'_>, JobError> {
    let (Some(store), Some(lease)) = (context.store(), context.lease()) else {
        return Ok(Admitted::Send(Sending { ledger: None, key: FIRST }));
    };
    let ledger = Ledger { store: &**store, lease };
    let send = |key| Ok(Admitted::Send(Sending { ledger: Some(ledger), key }));
    let first = ledger.store.intend(&lease, FIRST).await?;
    match first.before {
        EffectState::None => return send(FIRST),
        EffectState::Done => return Ok(Admitted::AlreadySent(first.receipt)),
        EffectState::Ambiguous if ledger.let_go().await? => return send(FIRST),
        EffectState::Intended => count_ambiguous(),
        EffectState::Ambiguous => {}
    }
    if policy == AmbiguousPolicy::Hold {
        return Err(ledger.hold("nobody knows whether an earlier attempt sent it").await?);
    }
    let second = ledger.store.intend(&lease, RESEND).await?;
    match second.before {
        EffectState::None => return send(RESEND),
        EffectState::Done => return Ok(Admitted::AlreadySent(second.receipt)),
        EffectState::Intended => count_ambiguous(),
        EffectState::Ambiguous => {}
    }
    Err(ledger.hold("it was sent twice and nobody knows whether it arrived").await?)
}

impl Sending<'_> {
    /// The server has taken it. After a resend the job stays flagged: the recipient may have the mail twice.
    pub(super) async fn done(&self, receipt: &str) -> Result<(), JobError> {
        self.conclude(EffectState::Done, Some(receipt)).await?;
        self.first_stays_ambiguous().await
    }

    /// It was certainly not sent.
    pub(super) async fn undone(&self) -> Result<(), JobError> {
        self.conclude(EffectState::None, None).await?;
        self.first_stays_ambiguous().await
    }

    /// Nobody knows; says what the job does.
    pub(super) async fn ambiguous(&self, policy: AmbiguousPolicy, why: String) -> Result<JobError, JobError> {
        count_ambiguous();
        self.conclude(EffectState::Ambiguous, None).await?;
        match self.ledger {
            _ if policy == AmbiguousPolicy::Resend && self.key == FIRST => Ok(JobError::retry(why)),
            Some(ledger) => ledger.hold(&why).await,
            None => Ok(held(&why)),
        }
    }

    /// What the resend shows of the mail is not the whole of it: the end of the first sending stays unknown.
    async fn first_stays_ambiguous(&self) -> Result<(), JobError> {
        match self.ledger {
            Some(ledger) if self.key == RESEND => ledger.conclude(FIRST, EffectState::Ambiguous, None).await,
            _ => Ok(()),
        }
    }

    async fn conclude(&self, state: EffectState, receipt: Option<&str>) -> Result<(), JobError> {
        match self.ledger {
            Some(ledger) => ledger.conclude(self.key, state, receipt).await,
            None => Ok(()),
        }
    }
}

impl Ledger<'_> {
    async fn hold(self, why: &str) -> Result<JobError, JobError> {
        let asked_by = self.lease.token.0.to_string();
        self.conclude(HELD, EffectState::Done, Some(&asked_by)).await?;
        self.conclude(FIRST, EffectState::Ambiguous, None).await?;
        Ok(held(why))
    }

    /// Whether the mail was held and a person has let it go; the next hold needs a decision of its own.
    async fn let_go(self) -> Result<bool, JobError> {
        let held = self.store.intend(&self.lease, HELD).await?;
        let asked = held.before == EffectState::Done && self.ended_as_dead(held.receipt.as_deref()).await?;
        self.conclude(HELD, EffectState::None, None).await?;
        Ok(asked)
    }

    /// Whether the attempt with this token has settled its job as dead.
    async fn ended_as_dead(self, token: Option<&str>) -> Result<bool, JobError> {
        let attempts = self.store.attempts(self.lease.job).await?;
        let asking = attempts.iter().find(|attempt| Some(attempt.token.0.to_string().as_str()) == token);
        Ok(asking.is_some_and(|attempt| attempt.outcome.as_deref() == Some(State::Dead.as_str())))
    }

    async fn conclude(self, key: &str, state: EffectState, receipt: Option<&str>) -> Result<(), JobError> {
        // A server's words are for people; what is longer than a line of theirs is not a receipt.
        let receipt =
            receipt.map(|text| text.chars().take(500).collect::<String>().replace('\0', "\u{FFFD}"));
        Ok(self.store.conclude(&self.lease, key, state, receipt.as_deref()).await?)
    }
}

fn held(why: &str) -> JobError {
    JobError::dead_letter(Reason::Ambiguous, format!("{why}; `backshift jobs retry` sends it again"))
}

fn count_ambiguous() {
    metrics::counter!("email_ambiguous_total").increment(1);
}
