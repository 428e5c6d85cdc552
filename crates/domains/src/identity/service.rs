//! What the use cases share. The use cases themselves are methods in the file of their subject.
//!
//! Every method is one short transaction or none; nothing is kept between calls.

use std::{sync::Arc, time::Duration};

use backshift_core::{Clock, SystemClock, Timestamp};
use backshift_store::Database;

use super::{CodeMail, IdentityConfig, guesses::Guesses, passwords::Passwords, tokens::Tokens};

/// System C's use cases on our tables.
pub struct IdentityService {
    pub(super) db: Database,
    pub(super) config: IdentityConfig,
    pub(super) passwords: Passwords,
    pub(super) guesses: Guesses,
    pub(super) tokens: Tokens,
    pub(super) mail: Arc<dyn CodeMail>,
    pub(super) clock: Arc<dyn Clock>,
}

impl IdentityService {
    /// A service on a migrated database; `mail` queues the mails with codes.
    ///
    /// # Errors
    /// The text names the setting that cannot be used, such as a `JWT_SECRET` that can be guessed.
    pub fn new(db: Database, config: IdentityConfig, mail: Arc<dyn CodeMail>) -> Result<Self, String> {
        let passwords = Passwords::new(config.hash_slots, config.hash_queue)?;
        let tokens = Tokens::new(&config.jwt_secret)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let guesses = Guesses::new(db.clone(), Arc::clone(&clock), &config);
        Ok(Self { db, config, passwords, guesses, tokens, mail, clock })
    }

    /// With another clock, for tests.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.guesses.clock = Arc::clone(&clock);
        self.clock = clock;
        self
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Waits until a refusal that began at `begun` may be told.
    pub(super) async fn floor(&self, begun: tokio::time::Instant) {
        tokio::time::sleep_until(begun + self.config.refusal_floor).await;
    }
}

/// The time `span` before `now`.
pub(super) fn before(now: Timestamp, span: Duration) -> Timestamp {
    now.checked_sub(span).unwrap_or(Timestamp::MIN)
}

/// The time `span` after `now`.
pub(super) fn after(now: Timestamp, span: Duration) -> Timestamp {
    now.checked_add(span).unwrap_or(Timestamp::MAX)
}

impl std::fmt::Debug for IdentityService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdentityService").field("config", &self.config).finish_non_exhaustive()
    }
}
