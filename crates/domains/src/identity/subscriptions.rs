//! Subscriptions, read: one's own, everybody's for admins.

use backshift_core::Timestamp;
use backshift_store::{Executor, Query, Tx};
use uuid::Uuid;

use super::{
    IdentityService,
    plans::{one_of, paged},
    refusals::{SUBSCRIPTION_NOT_FOUND, internal},
};
use crate::identity::{Caller, IdentityError, ListQuery, Listed, Role, Subscription};

pub(super) type SubscriptionRow = (
    Uuid,
    Uuid,
    Uuid,
    String,
    Option<Timestamp>,
    Timestamp,
    Option<Timestamp>,
    Option<Timestamp>,
    Option<Timestamp>,
    Option<Timestamp>,
);

const COLUMNS: &str = "SELECT id, user_id, plan_id, CAST(status AS text), trial_ends_at, starts_at, ends_at, \
    cancelled_at, created_at, updated_at";

fn subscription(row: SubscriptionRow) -> Subscription {
    let (id, user_id, plan_id, status, trial_ends_at, starts_at, ends_at, cancelled_at, created, updated) =
        row;
    let created_at = created.unwrap_or(starts_at);
    Subscription {
        id,
        user_id,
        plan_id,
        status,
        trial_ends_at,
        starts_at,
        ends_at,
        cancelled_at,
        created_at,
        updated_at: updated.unwrap_or(created_at),
    }
}

/// The subscription, unless it was deleted.
pub(super) async fn find(on: &impl Executor, id: Uuid) -> Result<Subscription, IdentityError> {
    let query = on.sql(COLUMNS).push(" FROM subscriptions WHERE deleted_at IS NULL AND id = ").push_bind(id);
    let row = query.optional::<SubscriptionRow>().await.map_err(internal)?;
    row.map(subscription).ok_or_else(|| SUBSCRIPTION_NOT_FOUND.into())
}

/// The statuses of one that may be used.
pub(super) const IN_FORCE: [&str; 2] = ["active", "trialing"];

/// Whether the user has one that may be used.
pub(super) async fn has_current(tx: &Tx, user: Uuid) -> Result<bool, IdentityError> {
    has_one_besides(tx, user, Uuid::nil(), &IN_FORCE).await
}

/// Whether the user has one with such a status, not counting one of them.
pub(super) async fn has_one_besides(
    tx: &Tx,
    user: Uuid,
    besides: Uuid,
    statuses: &[&'static str],
) -> Result<bool, IdentityError> {
    const HELD: &str = "SELECT id FROM subscriptions WHERE user_id = $1 AND id <> $2 AND deleted_at IS NULL";
    let query = Executor::sql(tx, HELD).bind(user).bind(besides);
    let query = one_of(query, "CAST(status AS text)", statuses.iter().copied()).push(" LIMIT 1");
    Ok(query.optional::<Uuid>().await.map_err(internal)?.is_some())
}

/// Refuses a caller for whom this row is none of their business.
pub(super) fn allowed(caller: Caller, owner: Uuid) -> Result<(), IdentityError> {
    match caller.role == Role::Admin || caller.user_id == owner {
        true => Ok(()),
        false => Err(IdentityError::Forbidden),
    }
}

impl IdentityService {
    /// One subscription.
    pub async fn subscription(&self, caller: Caller, id: Uuid) -> Result<Subscription, IdentityError> {
        let row = find(&self.db, id).await?;
        allowed(caller, row.user_id)?;
        Ok(row)
    }

    /// The caller's subscriptions; everybody's for an admin.
    pub async fn subscriptions(
        &self,
        caller: Caller,
        query: &ListQuery,
    ) -> Result<Listed<Subscription>, IdentityError> {
        if let Some(user) = query.user_id {
            allowed(caller, user)?;
        }
        let mut query = query.clone();
        if caller.role != Role::Admin {
            query.user_id = Some(caller.user_id);
        }
        let rows = filtered(self.db.sql(COLUMNS), &query).push(" ORDER BY created_at DESC, id DESC");
        let rows = paged(rows, &query).all::<SubscriptionRow>().await.map_err(internal)?;
        let total = filtered(self.db.sql("SELECT count(*)"), &query).one::<u64>().await.map_err(internal)?;
        Ok(Listed { rows: rows.into_iter().map(subscription).collect(), total })
    }
}

fn filtered<'a>(query: Query<'a>, by: &ListQuery) -> Query<'a> {
    let query = query.push(" FROM subscriptions WHERE deleted_at IS NULL").and("user_id =", by.user_id);
    let query = one_of(query, "id", by.ids.iter().copied());
    match by.codes.is_empty() {
        true => query,
        false => {
            let query = query.push(" AND plan_id IN (SELECT id FROM plans WHERE true");
            one_of(query, "code", by.codes.iter().map(String::as_str)).push(")")
        }
    }
}
