//! The free trial: begins with the activation, once, unless the user has a subscription already.
//!
//! Its plan is made when it is missing, and taken out of the bin when somebody deleted it.

use std::time::Duration;

use backshift_core::Timestamp;
use backshift_store::{Executor, Tx};
use uuid::Uuid;

use super::{refusals::internal, service::after, subscriptions_write::insert_subscription};
use crate::identity::IdentityError;

const CODE: &str = "free";
const NAME: &str = "Free Plan";
const DESCRIPTION: &str = "Free plan for new users";
const MAX_USAGE: i64 = 100;

/// Begins the trial inside the activation's transaction, which holds the user's row.
pub(super) async fn begin_trial(
    tx: &Tx,
    user: Uuid,
    now: Timestamp,
    lasts: Duration,
) -> Result<(), IdentityError> {
    if super::subscriptions::has_current(tx, user).await? {
        return Ok(());
    }
    let plan = free_plan(tx, now).await?;
    let ends = Some(after(now, lasts));
    let row = super::subscriptions_write::NewSubscription {
        id: Uuid::now_v7(),
        user_id: user,
        plan_id: plan,
        status: "trialing",
        starts_at: now,
        trial_ends_at: ends,
        ends_at: ends,
        cancelled_at: None,
    };
    insert_subscription(tx, &row, now).await
}

async fn free_plan(tx: &Tx, now: Timestamp) -> Result<Uuid, IdentityError> {
    if let Some(plan) = find(tx, now).await? {
        return Ok(plan);
    }
    // The name may be taken by a plan with another code, the code by another program just now.
    for name in [NAME, "Free Plan (free)"] {
        add(tx, name, now).await?;
        if let Some(plan) = find(tx, now).await? {
            return Ok(plan);
        }
    }
    Err(IdentityError::Internal(
        "the plan `free` could not be made: its names are taken by other plans".into(),
    ))
}

async fn find(tx: &Tx, now: Timestamp) -> Result<Option<Uuid>, IdentityError> {
    let query = Executor::sql(tx, "SELECT id, deleted_at FROM plans WHERE code = $1").bind(CODE);
    let Some((plan, deleted)) = query.optional::<(Uuid, Option<Timestamp>)>().await.map_err(internal)? else {
        return Ok(None);
    };
    if deleted.is_some() {
        let revive = "UPDATE plans SET deleted_at = NULL, updated_at = $2 WHERE id = $1";
        Executor::sql(tx, revive).bind(plan).bind(now).run().await.map_err(internal)?;
    }
    Ok(Some(plan))
}

async fn add(tx: &Tx, name: &str, now: Timestamp) -> Result<(), IdentityError> {
    const INSERT: &str = "INSERT INTO plans (id, name, code, description, max_usage, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT DO NOTHING";
    let insert = Executor::sql(tx, INSERT).bind(Uuid::now_v7()).bind(name).bind(CODE).bind(DESCRIPTION);
    insert.bind(MAX_USAGE).bind(now).run().await.map_err(internal)?;
    Ok(())
}
