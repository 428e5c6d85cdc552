//! An `Identity` that answers by what it is asked, so that a route's reading and writing can be seen alone.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
    response::Response,
};
use backshift_core::{
    Timestamp,
    identity::{
        Caller, Identity, IdentityError, ListQuery, Listed, Origin, Plan, PlanDraft, Role, Session,
        Subscription, SubscriptionDraft, User,
    },
};
use backshift_http::{api, server};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tower::ServiceExt;
use uuid::Uuid;

pub(crate) const ID: Uuid = Uuid::from_u128(7);
pub(crate) const OTHER: Uuid = Uuid::from_u128(8);

/// What the stub was asked last.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) origin: Option<Origin>,
    pub(crate) query: Option<ListQuery>,
    pub(crate) plan: Option<PlanDraft>,
    pub(crate) subscription: Option<SubscriptionDraft>,
    pub(crate) remember: Option<bool>,
    pub(crate) signed_out: Option<Caller>,
}

#[derive(Clone, Default)]
pub(crate) struct Stub(pub(crate) Arc<Mutex<Seen>>);

fn at() -> Timestamp {
    "2025-01-02T03:04:05.678Z".parse().unwrap()
}

fn by_email(email: &str) -> Result<(), IdentityError> {
    match email.strip_suffix("@code.test").and_then(|code| code.parse().ok()) {
        Some(429) => Err(IdentityError::TooMany { retry_after: Duration::from_millis(41_200) }),
        Some(503) => Err(IdentityError::Busy { retry_after: Duration::from_secs(2) }),
        Some(500) => Err(IdentityError::Internal("secret cause".into())),
        Some(666) => panic!("a handler panics"),
        Some(code) => Err(IdentityError::Business { code, message: "said no" }),
        None => Ok(()),
    }
}

pub(crate) fn plan() -> Plan {
    Plan {
        id: ID,
        name: "Pro".into(),
        code: "pro".into(),
        description: None,
        max_usage: 3,
        created_at: at(),
        updated_at: at(),
    }
}

pub(crate) fn subscription(status: &str) -> Subscription {
    Subscription {
        id: ID,
        user_id: ID,
        plan_id: OTHER,
        status: status.into(),
        trial_ends_at: Some(at()),
        starts_at: at(),
        ends_at: None,
        cancelled_at: None,
        created_at: at(),
        updated_at: at(),
    }
}

#[async_trait]
impl Identity for Stub {
    async fn register(&self, email: &str, _: SecretString, origin: Origin) -> Result<(), IdentityError> {
        self.0.lock().unwrap().origin = Some(origin);
        by_email(email)
    }

    async fn send_otp(&self, email: &str, _: SecretString, origin: Origin) -> Result<(), IdentityError> {
        self.0.lock().unwrap().origin = Some(origin);
        by_email(email)
    }

    async fn verify_otp(&self, email: &str, _: SecretString, origin: Origin) -> Result<(), IdentityError> {
        self.0.lock().unwrap().origin = Some(origin);
        by_email(email)
    }

    async fn login(
        &self,
        email: &str,
        _: SecretString,
        remember: bool,
        origin: Origin,
    ) -> Result<Session, IdentityError> {
        by_email(email)?;
        let mut seen = self.0.lock().unwrap();
        (seen.remember, seen.origin) = (Some(remember), Some(origin));
        let user = User {
            id: ID,
            email: email.into(),
            full_name: None,
            is_active: true,
            role: Role::Admin,
            created_at: at(),
        };
        Ok(Session { user, token: "the.token".into(), expires_at: at(), session_id: OTHER })
    }

    async fn authenticate(&self, token: &str) -> Result<Caller, IdentityError> {
        match SecretString::from(token).expose_secret() {
            "admin" => Ok(Caller { user_id: ID, role: Role::Admin }),
            "user" => Ok(Caller { user_id: ID, role: Role::User }),
            _ => Err(IdentityError::Unauthorized),
        }
    }

    async fn sign_out(&self, caller: Caller) -> Result<(), IdentityError> {
        self.0.lock().unwrap().signed_out = Some(caller);
        Ok(())
    }

    async fn me(&self, _: Caller) -> Result<User, IdentityError> {
        Err(IdentityError::Unauthorized)
    }

    async fn plans(&self, query: &ListQuery) -> Result<Listed<Plan>, IdentityError> {
        self.0.lock().unwrap().query = Some(query.clone());
        Ok(Listed { rows: vec![plan()], total: 31 })
    }

    async fn plan(&self, id: Uuid) -> Result<Plan, IdentityError> {
        match id == ID {
            true => Ok(plan()),
            false => Err(IdentityError::Business { code: 120_002, message: "Plan not found" }),
        }
    }

    async fn create_plan(&self, caller: Caller, draft: PlanDraft) -> Result<Plan, IdentityError> {
        self.0.lock().unwrap().plan = Some(draft);
        match caller.role {
            Role::Admin => Ok(plan()),
            Role::User => Err(IdentityError::Forbidden),
        }
    }

    async fn update_plan(&self, caller: Caller, _: Uuid, draft: PlanDraft) -> Result<Plan, IdentityError> {
        self.create_plan(caller, draft).await
    }

    async fn delete_plan(&self, caller: Caller, _: Uuid) -> Result<(), IdentityError> {
        self.create_plan(caller, PlanDraft::default()).await.map(drop)
    }

    async fn subscriptions(
        &self,
        _: Caller,
        query: &ListQuery,
    ) -> Result<Listed<Subscription>, IdentityError> {
        self.0.lock().unwrap().query = Some(query.clone());
        Ok(Listed { rows: vec![subscription("cancelled"), subscription("trialing")], total: 2 })
    }

    async fn subscription(&self, _: Caller, _: Uuid) -> Result<Subscription, IdentityError> {
        Ok(subscription("active"))
    }

    async fn create_subscription(
        &self,
        _: Caller,
        draft: SubscriptionDraft,
    ) -> Result<Subscription, IdentityError> {
        self.0.lock().unwrap().subscription = Some(draft);
        Ok(subscription("active"))
    }

    async fn update_subscription(
        &self,
        caller: Caller,
        _: Uuid,
        draft: SubscriptionDraft,
    ) -> Result<Subscription, IdentityError> {
        self.create_subscription(caller, draft).await
    }

    async fn delete_subscription(&self, _: Caller, _: Uuid) -> Result<(), IdentityError> {
        Ok(())
    }

    async fn cancel_subscription(&self, _: Caller, _: Uuid) -> Result<Subscription, IdentityError> {
        Ok(subscription("cancelled"))
    }
}

impl Stub {
    /// The API as the server runs it.
    pub(crate) fn app(&self) -> Router {
        server::finish(api::router(api::Api { identity: Arc::new(self.clone()) }))
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.0.lock().unwrap().origin.as_ref().and_then(|origin| origin.ip)
    }
}

/// A request with a JSON body and, if `token` is not empty, a bearer token.
pub(crate) fn request(method: &str, path: &str, token: &str, body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(format!("/api/v1{path}"));
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

/// Sends a request and reads status and JSON.
pub(crate) async fn ask(app: &Router, request: Request<Body>) -> (StatusCode, Value) {
    let response: Response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let shown = String::from_utf8_lossy(&bytes).into_owned();
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("no JSON: {status} {shown}")))
}
