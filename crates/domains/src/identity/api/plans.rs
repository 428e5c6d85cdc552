//! `/plans`: everybody reads, admins write.

use axum::{
    Router,
    extract::{Path, Query, State},
    routing::get,
};
use backshift_http::{
    envelope,
    json::{Form, Strict},
};
use serde::Deserialize;

use super::{
    Answer, Api, Signed,
    listing::{self, Refusals},
    path,
    wire::{PlanBody, Shown as _},
};
use crate::identity::{
    ListQuery, PlanDraft,
    refusals::{PLAN_BODY, PLAN_ID, PLAN_QUERY},
};

const REFUSALS: Refusals = Refusals { id: PLAN_ID, query: PLAN_QUERY };

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/", get(list).post(create))
        .route("/page", get(page))
        .route("/{id}", get(one).put(change).delete(remove))
}

#[derive(Deserialize)]
struct Body {
    name: Option<String>,
    code: Option<String>,
    description: Option<String>,
    max_usage: Option<i32>,
}

impl Form for Body {
    const REFUSED: (u32, &'static str) = (PLAN_BODY.0, PLAN_BODY.1);
}

impl From<Body> for PlanDraft {
    fn from(body: Body) -> Self {
        Self { name: body.name, code: body.code, description: body.description, max_usage: body.max_usage }
    }
}

type Pairs = Query<Vec<(String, String)>>;

async fn list(State(api): State<Api>, Query(pairs): Pairs) -> Answer {
    rows(&api, listing::query(&pairs, false, REFUSALS)?).await
}

async fn page(State(api): State<Api>, Query(pairs): Pairs) -> Answer {
    rows(&api, listing::query(&pairs, true, REFUSALS)?).await
}

async fn rows(api: &Api, query: ListQuery) -> Answer {
    Ok(listing::answer::<_, PlanBody>("plans", api.identity.plans(&query).await?, &query))
}

async fn one(State(api): State<Api>, Path(id): Path<String>) -> Answer {
    PlanBody::answer(api.identity.plan(path::id(&id, PLAN_ID)?).await)
}

async fn create(State(api): State<Api>, Signed(caller): Signed, Strict(body): Strict<Body>) -> Answer {
    PlanBody::answer(api.identity.create_plan(caller, body.into()).await)
}

async fn change(
    State(api): State<Api>,
    Signed(caller): Signed,
    Path(id): Path<String>,
    Strict(body): Strict<Body>,
) -> Answer {
    PlanBody::answer(api.identity.update_plan(caller, path::id(&id, PLAN_ID)?, body.into()).await)
}

async fn remove(State(api): State<Api>, Signed(caller): Signed, Path(id): Path<String>) -> Answer {
    api.identity.delete_plan(caller, path::id(&id, PLAN_ID)?).await?;
    Ok(envelope::done())
}
