//! The service behind the port `Identity`: what it owns, and which file does what.
//!
//! Every method is one short transaction or none; nothing is kept between calls.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use backshift_core::{
    Clock, SystemClock, Timestamp,
    identity::{
        Caller, Identity, IdentityError, ListQuery, Listed, Origin, Plan, PlanDraft, Session, Subscription,
        SubscriptionDraft, User,
    },
};
use backshift_store::Database;
use secrecy::SecretString;
use uuid::Uuid;

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

#[async_trait]
impl Identity for IdentityService {
    async fn register(
        &self,
        email: &str,
        password: SecretString,
        origin: Origin,
    ) -> Result<(), IdentityError> {
        self.make_account(email, &password, &origin).await
    }

    async fn send_otp(
        &self,
        email: &str,
        password: SecretString,
        origin: Origin,
    ) -> Result<(), IdentityError> {
        self.issue_code(email, &password, &origin).await
    }

    async fn verify_otp(&self, email: &str, otp: SecretString, origin: Origin) -> Result<(), IdentityError> {
        self.check_code(email, &otp, &origin).await
    }

    async fn login(
        &self,
        email: &str,
        password: SecretString,
        remember: bool,
        origin: Origin,
    ) -> Result<Session, IdentityError> {
        self.open_session(email, &password, remember, &origin).await
    }

    async fn authenticate(&self, token: &str) -> Result<Caller, IdentityError> {
        self.caller_of(token).await
    }

    async fn sign_out(&self, caller: Caller) -> Result<(), IdentityError> {
        self.end_sessions(caller).await
    }

    async fn me(&self, caller: Caller) -> Result<User, IdentityError> {
        self.account_of(caller).await
    }

    async fn plans(&self, query: &ListQuery) -> Result<Listed<Plan>, IdentityError> {
        self.list_plans(query).await
    }

    async fn plan(&self, id: Uuid) -> Result<Plan, IdentityError> {
        self.find_plan(id).await
    }

    async fn create_plan(&self, caller: Caller, draft: PlanDraft) -> Result<Plan, IdentityError> {
        self.require_admin(caller)?;
        self.make_plan(draft).await
    }

    async fn update_plan(&self, caller: Caller, id: Uuid, draft: PlanDraft) -> Result<Plan, IdentityError> {
        self.require_admin(caller)?;
        self.change_plan(id, draft).await
    }

    async fn delete_plan(&self, caller: Caller, id: Uuid) -> Result<(), IdentityError> {
        self.require_admin(caller)?;
        self.remove_plan(id).await
    }

    async fn subscriptions(
        &self,
        caller: Caller,
        query: &ListQuery,
    ) -> Result<Listed<Subscription>, IdentityError> {
        self.list_subscriptions(caller, query).await
    }

    async fn subscription(&self, caller: Caller, id: Uuid) -> Result<Subscription, IdentityError> {
        self.subscription_for(caller, id).await
    }

    async fn create_subscription(
        &self,
        caller: Caller,
        draft: SubscriptionDraft,
    ) -> Result<Subscription, IdentityError> {
        self.make_subscription(caller, draft).await
    }

    async fn update_subscription(
        &self,
        caller: Caller,
        id: Uuid,
        draft: SubscriptionDraft,
    ) -> Result<Subscription, IdentityError> {
        self.change_subscription(caller, id, draft).await
    }

    async fn delete_subscription(&self, caller: Caller, id: Uuid) -> Result<(), IdentityError> {
        self.remove_subscription(caller, id).await
    }

    async fn cancel_subscription(&self, caller: Caller, id: Uuid) -> Result<Subscription, IdentityError> {
        self.end_subscription(caller, id).await
    }
}
