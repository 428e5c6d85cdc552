//! Subscriptions, written: one's own, everybody's for admins; at most one open a user.
//!
//! What a subscription is worth is not its owner's to say: a user names a plan and nothing else, and gets a trial once.
//! The user's row is held while the rules are checked: C's table has no constraint that would do it.

use backshift_core::Timestamp;
use backshift_store::{Executor, Sql, Tx};
use uuid::Uuid;

use super::{
    IdentityService,
    accounts::lock_user,
    plans::find_plan,
    refusals::{
        SUBSCRIPTION_ACTIVE_EXISTS, SUBSCRIPTION_CANNOT_CANCEL, SUBSCRIPTION_FIELD_REQUIRED,
        SUBSCRIPTION_INVALID, SUBSCRIPTION_NOT_FOUND, SUBSCRIPTION_STATUS, USER_NOT_FOUND, internal,
        is_taken,
    },
    service::after,
    subscriptions::{IN_FORCE, allowed, find, has_one_besides},
};
use crate::identity::{Caller, IdentityError, Role, Subscription, SubscriptionDraft};

const STATUSES: [&str; 5] = ["active", "trialing", "past_due", "cancelled", "expired"];

/// A row to insert.
pub(super) struct NewSubscription<'a> {
    pub(super) id: Uuid,
    pub(super) user_id: Uuid,
    pub(super) plan_id: Uuid,
    pub(super) status: &'a str,
    pub(super) starts_at: Timestamp,
    pub(super) trial_ends_at: Option<Timestamp>,
    pub(super) ends_at: Option<Timestamp>,
    pub(super) cancelled_at: Option<Timestamp>,
}

/// Writes a row; refused with 130007 when the database itself knows of another current one.
pub(super) async fn insert_subscription(
    tx: &Tx,
    row: &NewSubscription<'_>,
    now: Timestamp,
) -> Result<(), IdentityError> {
    const INSERT: Sql = Sql {
        pg: "INSERT INTO subscriptions (id, user_id, plan_id, status, starts_at, trial_ends_at, ends_at, \
             cancelled_at, created_at, updated_at) \
             VALUES ($1, $2, $3, CAST($4 AS subscription_status), $5, $6, $7, $8, $9, $9)",
        sqlite: "INSERT INTO subscriptions (id, user_id, plan_id, status, starts_at, trial_ends_at, ends_at, \
             cancelled_at, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
    };
    let insert = Executor::sql(tx, INSERT).bind(row.id).bind(row.user_id).bind(row.plan_id).bind(row.status);
    let insert = insert.bind(row.starts_at).bind(row.trial_ends_at).bind(row.ends_at).bind(row.cancelled_at);
    taken_is_current(insert.bind(now).run().await)
}

impl IdentityService {
    /// Subscribes. What a caller who is not an admin may not say is refused with 403.
    pub async fn create_subscription(
        &self,
        caller: Caller,
        draft: SubscriptionDraft,
    ) -> Result<Subscription, IdentityError> {
        let user_id = draft.user_id.unwrap_or(caller.user_id);
        allowed(caller, user_id)?;
        self.may_say(caller, &draft)?;
        let plan_id = draft.plan_id.ok_or(SUBSCRIPTION_FIELD_REQUIRED)?;
        let status = status_of(draft.status.as_deref())?.unwrap_or("active");
        let now = self.now();
        let starts_at = draft.starts_at.unwrap_or(now);
        in_order(starts_at, draft.trial_ends_at, draft.ends_at)?;
        let mut row = NewSubscription {
            id: Uuid::now_v7(),
            user_id,
            plan_id,
            status,
            starts_at,
            trial_ends_at: draft.trial_ends_at,
            ends_at: draft.ends_at,
            cancelled_at: draft.cancelled_at,
        };
        let tx = self.db.begin().await.map_err(internal)?;
        if !lock_user(&tx, user_id).await? {
            return Err(USER_NOT_FOUND.into());
        }
        find_plan(&tx, plan_id).await?;
        if !self.says_all(caller) {
            match had_trial(&tx, user_id).await? {
                true => row.status = "past_due",
                false => {
                    let ends = Some(after(now, self.config.trial));
                    (row.status, row.trial_ends_at, row.ends_at) = ("trialing", ends, ends);
                }
            }
        }
        self.one_open(&tx, user_id, row.id, row.status).await?;
        insert_subscription(&tx, &row, now).await?;
        self.answer(tx, row.id).await
    }

    /// Changes a subscription.
    pub async fn update_subscription(
        &self,
        caller: Caller,
        id: Uuid,
        draft: SubscriptionDraft,
    ) -> Result<Subscription, IdentityError> {
        if !self.says_all(caller) {
            return Err(IdentityError::Forbidden);
        }
        let tx = self.db.begin().await.map_err(internal)?;
        let row = held(&tx, id).await?;
        allowed(caller, row.user_id)?;
        if let Some(other) = draft.user_id.filter(|user| *user != row.user_id) {
            // A subscription is never handed to somebody else, also not by an admin.
            allowed(caller, other)?;
            return Err(SUBSCRIPTION_INVALID.into());
        }
        let plan_id = draft.plan_id.unwrap_or(row.plan_id);
        if plan_id != row.plan_id {
            find_plan(&tx, plan_id).await?;
        }
        let status = status_of(draft.status.as_deref())?.unwrap_or(&row.status);
        let starts_at = draft.starts_at.unwrap_or(row.starts_at);
        let (trial, ends) = (draft.trial_ends_at.or(row.trial_ends_at), draft.ends_at.or(row.ends_at));
        in_order(starts_at, trial, ends)?;
        self.one_open(&tx, row.user_id, id, status).await?;
        let changed = NewSubscription {
            id,
            user_id: row.user_id,
            plan_id,
            status,
            starts_at,
            trial_ends_at: trial,
            ends_at: ends,
            cancelled_at: draft.cancelled_at.or(row.cancelled_at),
        };
        update_subscription(&tx, &changed, self.now()).await?;
        self.answer(tx, id).await
    }

    /// Removes a subscription.
    pub async fn delete_subscription(&self, caller: Caller, id: Uuid) -> Result<(), IdentityError> {
        self.subscription(caller, id).await?;
        const DELETE: &str =
            "UPDATE subscriptions SET deleted_at = $2, updated_at = $2 WHERE id = $1 AND deleted_at IS NULL";
        match self.db.sql(DELETE).bind(id).bind(self.now()).run().await.map_err(internal)? {
            0 => Err(SUBSCRIPTION_NOT_FOUND.into()),
            _ => Ok(()),
        }
    }

    /// Cancels an active or trialing one.
    pub async fn cancel_subscription(&self, caller: Caller, id: Uuid) -> Result<Subscription, IdentityError> {
        let tx = self.db.begin().await.map_err(internal)?;
        let row = held(&tx, id).await?;
        allowed(caller, row.user_id)?;
        const CANCEL: &str = "UPDATE subscriptions SET status = 'cancelled', cancelled_at = $2, updated_at = $2 \
            WHERE id = $1 AND status IN ('active', 'trialing') AND deleted_at IS NULL";
        let cancelled = Executor::sql(&tx, CANCEL).bind(id).bind(self.now()).run().await.map_err(internal)?;
        if cancelled == 0 {
            return Err(SUBSCRIPTION_CANNOT_CANCEL.into());
        }
        self.answer(tx, id).await
    }

    /// Whether this caller says what a subscription is: admins, and everybody where that was chosen.
    fn says_all(&self, caller: Caller) -> bool {
        caller.role == Role::Admin || self.config.open_subscriptions
    }

    fn may_say(&self, caller: Caller, draft: &SubscriptionDraft) -> Result<(), IdentityError> {
        let times = [draft.starts_at, draft.ends_at, draft.trial_ends_at, draft.cancelled_at];
        match !self.says_all(caller) && (draft.status.is_some() || times.iter().any(Option::is_some)) {
            true => Err(IdentityError::Forbidden),
            false => Ok(()),
        }
    }

    /// One that is past due is open too; where users say all, the original's rule stands: it is not.
    async fn one_open(&self, tx: &Tx, user: Uuid, id: Uuid, status: &str) -> Result<(), IdentityError> {
        let open: &[&str] =
            if self.config.open_subscriptions { &IN_FORCE } else { &["active", "trialing", "past_due"] };
        if open.contains(&status) && has_one_besides(tx, user, id, open).await? {
            return Err(SUBSCRIPTION_ACTIVE_EXISTS.into());
        }
        Ok(())
    }

    async fn answer(&self, tx: Tx, id: Uuid) -> Result<Subscription, IdentityError> {
        let row = find(&tx, id).await?;
        tx.commit().await.map_err(internal)?;
        Ok(row)
    }
}

/// The row, with its user's row held.
async fn held(tx: &Tx, id: Uuid) -> Result<Subscription, IdentityError> {
    let row = find(tx, id).await?;
    lock_user(tx, row.user_id).await?;
    find(tx, id).await
}

async fn update_subscription(
    tx: &Tx,
    row: &NewSubscription<'_>,
    now: Timestamp,
) -> Result<(), IdentityError> {
    const UPDATE: Sql = Sql {
        pg: "UPDATE subscriptions SET plan_id = $2, status = CAST($3 AS subscription_status), starts_at = $4, \
             trial_ends_at = $5, ends_at = $6, cancelled_at = $7, updated_at = $8 WHERE id = $1",
        sqlite: "UPDATE subscriptions SET plan_id = $2, status = $3, starts_at = $4, \
             trial_ends_at = $5, ends_at = $6, cancelled_at = $7, updated_at = $8 WHERE id = $1",
    };
    let update =
        Executor::sql(tx, UPDATE).bind(row.id).bind(row.plan_id).bind(row.status).bind(row.starts_at);
    let update = update.bind(row.trial_ends_at).bind(row.ends_at).bind(row.cancelled_at).bind(now);
    taken_is_current(update.run().await)
}

fn taken_is_current(result: Result<u64, backshift_core::StoreError>) -> Result<(), IdentityError> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if is_taken(&error) => Err(SUBSCRIPTION_ACTIVE_EXISTS.into()),
        Err(error) => Err(internal(error)),
    }
}

/// Whether the user ever had a trial; one that was deleted was one too.
async fn had_trial(tx: &Tx, user: Uuid) -> Result<bool, IdentityError> {
    const TRIAL: &str = "SELECT id FROM subscriptions WHERE user_id = $1 \
        AND (trial_ends_at IS NOT NULL OR status = 'trialing') LIMIT 1";
    let found = Executor::sql(tx, TRIAL).bind(user).optional::<Uuid>().await.map_err(internal)?;
    Ok(found.is_some())
}

fn status_of(text: Option<&str>) -> Result<Option<&'static str>, IdentityError> {
    let Some(text) = text else { return Ok(None) };
    let known = STATUSES.into_iter().find(|status| *status == text);
    known.map(Some).ok_or_else(|| SUBSCRIPTION_STATUS.into())
}

fn in_order(
    starts: Timestamp,
    trial_ends: Option<Timestamp>,
    ends: Option<Timestamp>,
) -> Result<(), IdentityError> {
    match [trial_ends, ends].into_iter().flatten().all(|end| end >= starts) {
        true => Ok(()),
        false => Err(SUBSCRIPTION_INVALID.into()),
    }
}
