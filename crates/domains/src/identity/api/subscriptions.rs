//! `/subscriptions`: one's own; everybody's for admins. Every route needs a token.

use axum::{
    Router,
    extract::{Path, Query, State},
    routing::{get, post},
};
use backshift_core::Timestamp;
use backshift_http::{
    ApiError, envelope,
    json::{Form, Strict},
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    Answer, Api, Signed,
    listing::{self, Refusals},
    path,
    wire::{Shown as _, SubscriptionBody, time},
};
use crate::identity::{
    Caller, ListQuery, SubscriptionDraft,
    refusals::{SUBSCRIPTION_BODY, SUBSCRIPTION_ID, SUBSCRIPTION_NOT_FOUND, SUBSCRIPTION_QUERY},
};

const REFUSALS: Refusals = Refusals { id: SUBSCRIPTION_ID, query: SUBSCRIPTION_QUERY };

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/", get(list).post(create))
        .route("/page", get(page))
        .route("/me", get(mine))
        .route("/{id}", get(one).put(change).delete(remove))
        .route("/{id}/cancel", post(cancel))
}

#[derive(Deserialize)]
struct Body {
    user_id: Option<Uuid>,
    plan_id: Option<Uuid>,
    status: Option<String>,
    #[serde(default, deserialize_with = "time")]
    starts_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    trial_ends_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    ends_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    cancelled_at: Option<Timestamp>,
}

impl Form for Body {
    const REFUSED: (u32, &'static str) = (SUBSCRIPTION_BODY.0, SUBSCRIPTION_BODY.1);
}

impl From<Body> for SubscriptionDraft {
    fn from(body: Body) -> Self {
        Self {
            user_id: body.user_id,
            plan_id: body.plan_id,
            status: body.status,
            starts_at: body.starts_at,
            trial_ends_at: body.trial_ends_at,
            ends_at: body.ends_at,
            cancelled_at: body.cancelled_at,
        }
    }
}

type Pairs = Query<Vec<(String, String)>>;

async fn list(State(api): State<Api>, Signed(caller): Signed, Query(pairs): Pairs) -> Answer {
    rows(&api, caller, listing::query(&pairs, false, REFUSALS)?).await
}

async fn page(State(api): State<Api>, Signed(caller): Signed, Query(pairs): Pairs) -> Answer {
    rows(&api, caller, listing::query(&pairs, true, REFUSALS)?).await
}

async fn rows(api: &Api, caller: Caller, query: ListQuery) -> Answer {
    let listed = api.identity.subscriptions(caller, &query).await?;
    Ok(listing::answer::<_, SubscriptionBody>("subscriptions", listed, &query))
}

/// The one that is in force: a user has at most one that is active or trialing.
async fn mine(State(api): State<Api>, Signed(caller): Signed) -> Answer {
    let query = ListQuery { user_id: Some(caller.user_id), per_page: 100, ..ListQuery::default() };
    let listed = api.identity.subscriptions(caller, &query).await?;
    let current = listed.rows.into_iter().find(|row| matches!(row.status.as_str(), "active" | "trialing"));
    Ok(envelope::success(SubscriptionBody::from(current.ok_or(ApiError::from(SUBSCRIPTION_NOT_FOUND))?)))
}

async fn one(State(api): State<Api>, Signed(caller): Signed, Path(id): Path<String>) -> Answer {
    SubscriptionBody::answer(api.identity.subscription(caller, path::id(&id, SUBSCRIPTION_ID)?).await)
}

async fn create(State(api): State<Api>, Signed(caller): Signed, Strict(body): Strict<Body>) -> Answer {
    SubscriptionBody::answer(api.identity.create_subscription(caller, body.into()).await)
}

async fn change(
    State(api): State<Api>,
    Signed(caller): Signed,
    Path(id): Path<String>,
    Strict(body): Strict<Body>,
) -> Answer {
    let id = path::id(&id, SUBSCRIPTION_ID)?;
    SubscriptionBody::answer(api.identity.update_subscription(caller, id, body.into()).await)
}

async fn remove(State(api): State<Api>, Signed(caller): Signed, Path(id): Path<String>) -> Answer {
    api.identity.delete_subscription(caller, path::id(&id, SUBSCRIPTION_ID)?).await?;
    Ok(envelope::done())
}

async fn cancel(State(api): State<Api>, Signed(caller): Signed, Path(id): Path<String>) -> Answer {
    SubscriptionBody::answer(api.identity.cancel_subscription(caller, path::id(&id, SUBSCRIPTION_ID)?).await)
}
