//! Addresses that get no more mail: the port. The rows live in another crate.
//!
//! One row an address; it holds for every mail but `transactional-critical` (docs/contracts/system-c.md, "Mail outcome").

use async_trait::async_trait;
use backshift_core::{StoreError, Timestamp};

use crate::address::EmailAddress;

/// How long a suppression holds: 90 days.
pub const SUPPRESSION_DAYS: i64 = 90;

/// How much a mail matters to its recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MailClass {
    /// Codes, sign-in, recovery, deletion: sent even to suppressed addresses.
    TransactionalCritical,
    /// Everything that a person's own action caused.
    Transactional,
    /// Everything else.
    Marketing,
}

impl MailClass {
    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TransactionalCritical => "transactional-critical",
            Self::Transactional => "transactional",
            Self::Marketing => "marketing",
        }
    }

    /// Reads [`MailClass::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::TransactionalCritical, Self::Transactional, Self::Marketing];
        all.into_iter().find(|class| class.as_str() == text)
    }
}

/// Why an address is suppressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SuppressionReason {
    /// The server said that there is no such mailbox.
    HardBounce,
    /// The recipient reported spam.
    Complaint,
    /// The recipient unsubscribed.
    Unsubscribe,
    /// An operator decided.
    Manual,
}

impl SuppressionReason {
    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HardBounce => "hard_bounce",
            Self::Complaint => "complaint",
            Self::Unsubscribe => "unsubscribe",
            Self::Manual => "manual",
        }
    }

    /// Reads [`SuppressionReason::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::HardBounce, Self::Complaint, Self::Unsubscribe, Self::Manual];
        all.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// One suppressed address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// Whose.
    pub address: EmailAddress,
    /// Why.
    pub reason: SuppressionReason,
    /// The server's words or the operator's note, masked and capped.
    pub detail: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when; later it is as if it were not there.
    pub until: Timestamp,
}

impl Suppression {
    /// A suppression from `now` for [`SUPPRESSION_DAYS`].
    pub fn new(address: EmailAddress, reason: SuppressionReason, detail: &str, now: Timestamp) -> Self {
        let span = jiff::SignedDuration::from_hours(24 * SUPPRESSION_DAYS);
        let until = now.checked_add(span).unwrap_or(Timestamp::MAX);
        Self { address, reason, detail: crate::masking::mask_text(detail), since: now, until }
    }

    /// Whether mail of this class is held back.
    pub fn applies_to(&self, class: MailClass) -> bool {
        class != MailClass::TransactionalCritical
    }
}

/// The suppression list. Addresses are compared by [`EmailAddress::canonical`].
#[async_trait]
pub trait Suppressions: Send + Sync + 'static {
    /// The suppressions of these addresses that hold at `now`, in any order: one question however many they are.
    async fn find_all(
        &self,
        addresses: &[EmailAddress],
        now: Timestamp,
    ) -> Result<Vec<Suppression>, StoreError>;

    /// The suppression of this address that holds at `now`.
    async fn find(&self, address: &EmailAddress, now: Timestamp) -> Result<Option<Suppression>, StoreError> {
        Ok(self.find_all(std::slice::from_ref(address), now).await?.pop())
    }

    /// Adds or renews.
    async fn add(&self, suppression: Suppression) -> Result<(), StoreError>;

    /// Takes an address off the list; false when it was not on it.
    async fn remove(&self, address: &EmailAddress) -> Result<bool, StoreError>;

    /// Those that hold at `now`, ordered by canonical address, after the given one.
    async fn list(
        &self,
        after: Option<&EmailAddress>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Suppression>, StoreError>;
}
