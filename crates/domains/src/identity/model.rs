//! What accounts are made of: people, sessions, plans and subscriptions, and the refusals that clients branch on.
//!
//! The numbers of [`IdentityError::code`] are system C's wire codes; clients branch on them, so they never
//! change. Codes, passwords and tokens pass through here and are never part of an error.

use std::time::Duration;

use backshift_core::Timestamp;
use secrecy::SecretString;
use uuid::Uuid;

/// Somebody with an account.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// Identity.
    pub id: Uuid,
    /// The address as it was given at registration (system C's `username`).
    pub email: String,
    /// The person's name, if known.
    pub full_name: Option<String>,
    /// Whether the address was confirmed.
    pub is_active: bool,
    /// What the person may do.
    pub role: Role,
    /// When the account was made.
    pub created_at: Timestamp,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sees and changes only what is their own.
    User,
    /// Writes plans, sees and changes everybody's subscriptions.
    Admin,
}

impl Role {
    /// The wire form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "USER",
            Self::Admin => "ADMIN",
        }
    }
}

/// A signed-in session (docs/contracts/system-c.md, "HTTP").
#[derive(Debug, Clone)]
pub struct Session {
    /// Who signed in.
    pub user: User,
    /// The bearer token (JWT, HS256).
    pub token: SecretString,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The session's own id.
    pub session_id: Uuid,
}

/// Who calls: read from a verified token and asked of the database in the same moment. It stands for one request and
/// is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub user_id: Uuid,
    /// What they may do now.
    pub role: Role,
}

/// A plan that can be subscribed to.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Identity.
    pub id: Uuid,
    /// Unique display name, at most 50 characters.
    pub name: String,
    /// Unique code, at most 50 characters.
    pub code: String,
    /// Free text.
    pub description: Option<String>,
    /// How much may be used.
    pub max_usage: i32,
    /// Made at.
    pub created_at: Timestamp,
    /// Changed at.
    pub updated_at: Timestamp,
}

/// What a caller says about a plan; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlanDraft {
    /// Display name; needed for a new plan.
    pub name: Option<String>,
    /// Code; needed for a new plan.
    pub code: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// How much may be used; at least 0.
    pub max_usage: Option<i32>,
}

/// A user's subscription to a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// Identity.
    pub id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// To what.
    pub plan_id: Uuid,
    /// `active`, `trialing`, `past_due`, `cancelled`, `expired`.
    pub status: String,
    /// End of the trial.
    pub trial_ends_at: Option<Timestamp>,
    /// Begin.
    pub starts_at: Timestamp,
    /// End.
    pub ends_at: Option<Timestamp>,
    /// When it was cancelled.
    pub cancelled_at: Option<Timestamp>,
    /// Made at.
    pub created_at: Timestamp,
    /// Changed at.
    pub updated_at: Timestamp,
}

/// What a caller says about a subscription; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SubscriptionDraft {
    /// Whose; the caller's own unless the caller is an admin.
    pub user_id: Option<Uuid>,
    /// To what; needed for a new one.
    pub plan_id: Option<Uuid>,
    /// One of the five statuses.
    pub status: Option<String>,
    /// Begin; now when absent.
    pub starts_at: Option<Timestamp>,
    /// End of the trial.
    pub trial_ends_at: Option<Timestamp>,
    /// End.
    pub ends_at: Option<Timestamp>,
    /// When it was cancelled.
    pub cancelled_at: Option<Timestamp>,
}

/// Which rows of a list; `page` is 1-based.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListQuery {
    /// Only these ids; empty = all.
    pub ids: Vec<Uuid>,
    /// Only these plan codes; empty = all.
    pub codes: Vec<String>,
    /// Only of this user.
    pub user_id: Option<Uuid>,
    /// 1-based page; `None` = everything, bounded to 1,000 rows.
    pub page: Option<u32>,
    /// Rows a page: 15 by default, 100 at most.
    pub per_page: u32,
}

/// Rows of a list, with the total that matches.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed<T> {
    /// The rows of this page.
    pub rows: Vec<T>,
    /// How many match in all.
    pub total: u64,
}

/// What went wrong, with system C's code.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A business rule said no: C's code and message.
    #[error("{message} ({code})")]
    Business {
        /// 1100xx accounts, 1200xx plans, 1300xx subscriptions.
        code: u32,
        /// C's message.
        message: &'static str,
    },
    /// A cool-down or limit: HTTP 429, code 110009.
    #[error("Too many attempts")]
    TooMany {
        /// When to come back.
        retry_after: Duration,
    },
    /// More passwords wait to be hashed than are taken on: HTTP 503, code 503.
    #[error("Too busy")]
    Busy {
        /// When to come back.
        retry_after: Duration,
    },
    /// No or a bad token: 401.
    #[error("Unauthorized")]
    Unauthorized,
    /// Not allowed for this caller: 403.
    #[error("Forbidden")]
    Forbidden,
    /// The database is away or an invariant broke: 500, the text is for the log only.
    #[error("{0}")]
    Internal(String),
}

/// Facts about a request that the rules need.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The client's address, for the hourly limits; loopback in `dev` is exempt. All clients without one count as one
    /// network where an account is guessed, and are not counted elsewhere.
    pub ip: Option<std::net::IpAddr>,
    /// `en`, `vi`, `ja`.
    pub locale: String,
    /// W3C trace context of the request, handed on to the jobs.
    pub traceparent: Option<String>,
}
