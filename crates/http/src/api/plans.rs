//! `/plans`: everybody reads, admins write.

use axum::{
    Router,
    extract::{Path, Query, State},
    response::Response,
    routing::get,
};
use backshift_core::identity::{Listed, Plan, PlanDraft};
use serde::{Deserialize, Serialize};

use super::{
    Api, Form, Signed, Strict,
    listing::{self, Paginator, Refusals},
    path::{self, PLAN_ID},
    wire::PlanBody,
};
use crate::{ApiError, envelope};

/// C's "wrong body" of plans.
const REFUSED: (u32, &str) = (120_001, "Wrong body");

const REFUSALS: Refusals =
    Refusals { id: || PLAN_ID, query: || ApiError::Business { code: REFUSED.0, message: "Wrong query" } };

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
    const REFUSED: (u32, &'static str) = REFUSED;
}

impl From<Body> for PlanDraft {
    fn from(body: Body) -> Self {
        Self { name: body.name, code: body.code, description: body.description, max_usage: body.max_usage }
    }
}

#[derive(Serialize)]
struct Plans {
    plans: Vec<PlanBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paginator: Option<Paginator>,
}

impl Plans {
    fn of(listed: Listed<Plan>, paginator: Option<Paginator>) -> Self {
        Self { plans: listed.rows.into_iter().map(PlanBody::from).collect(), paginator }
    }
}

type Pairs = Query<Vec<(String, String)>>;

async fn list(State(api): State<Api>, Query(pairs): Pairs) -> Result<Response, ApiError> {
    let query = listing::query(&pairs, false, REFUSALS)?;
    Ok(envelope::success(Plans::of(api.identity.plans(&query).await?, None)))
}

async fn page(State(api): State<Api>, Query(pairs): Pairs) -> Result<Response, ApiError> {
    let query = listing::query(&pairs, true, REFUSALS)?;
    let listed = api.identity.plans(&query).await?;
    let paginator = Paginator::of(&listed, &query);
    Ok(envelope::success(Plans::of(listed, Some(paginator))))
}

async fn one(State(api): State<Api>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let plan = api.identity.plan(path::id(&id, PLAN_ID)?).await?;
    Ok(envelope::success(PlanBody::from(plan)))
}

async fn create(
    State(api): State<Api>,
    Signed(caller): Signed,
    Strict(body): Strict<Body>,
) -> Result<Response, ApiError> {
    let plan = api.identity.create_plan(caller, body.into()).await?;
    Ok(envelope::success(PlanBody::from(plan)))
}

async fn change(
    State(api): State<Api>,
    Signed(caller): Signed,
    Path(id): Path<String>,
    Strict(body): Strict<Body>,
) -> Result<Response, ApiError> {
    let plan = api.identity.update_plan(caller, path::id(&id, PLAN_ID)?, body.into()).await?;
    Ok(envelope::success(PlanBody::from(plan)))
}

async fn remove(
    State(api): State<Api>,
    Signed(caller): Signed,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    api.identity.delete_plan(caller, path::id(&id, PLAN_ID)?).await?;
    Ok(envelope::done())
}
