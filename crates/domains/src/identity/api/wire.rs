//! What C's clients read: flat objects, dates as `YYYY-MM-DD HH:MM:SS` in UTC.

use backshift_core::Timestamp;
use secrecy::ExposeSecret;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::Answer;
use crate::identity::{IdentityError, Plan, Session, Subscription};
use backshift_http::envelope;

/// The data of an answer.
pub(super) trait Shown: Serialize + Sized {
    /// What the port found or changed, as C shows it.
    fn answer<Row>(found: Result<Row, IdentityError>) -> Answer
    where
        Self: From<Row>,
    {
        Ok(envelope::success(Self::from(found?)))
    }
}

impl Shown for PlanBody {}
impl Shown for SubscriptionBody {}

/// A plan as C shows it.
#[derive(Serialize)]
pub(super) struct PlanBody {
    id: Uuid,
    name: String,
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    max_usage: i32,
    created_at: String,
    updated_at: String,
}

impl From<Plan> for PlanBody {
    fn from(plan: Plan) -> Self {
        Self {
            id: plan.id,
            name: plan.name,
            code: plan.code,
            description: plan.description,
            max_usage: plan.max_usage,
            created_at: written(plan.created_at),
            updated_at: written(plan.updated_at),
        }
    }
}

/// A subscription as C shows it.
#[derive(Serialize)]
pub(super) struct SubscriptionBody {
    id: Uuid,
    user_id: Uuid,
    plan_id: Uuid,
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trial_ends_at: Option<String>,
    starts_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled_at: Option<String>,
    created_at: String,
    updated_at: String,
}

impl From<Subscription> for SubscriptionBody {
    fn from(row: Subscription) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            plan_id: row.plan_id,
            status: row.status,
            trial_ends_at: row.trial_ends_at.map(written),
            starts_at: written(row.starts_at),
            ends_at: row.ends_at.map(written),
            cancelled_at: row.cancelled_at.map(written),
            created_at: written(row.created_at),
            updated_at: written(row.updated_at),
        }
    }
}

/// The answer to a login.
#[derive(Serialize)]
pub(super) struct SessionBody {
    user: UserBody,
    token: String,
    expires_at: String,
    session_id: Uuid,
    token_type: &'static str,
}

#[derive(Serialize)]
struct UserBody {
    id: Uuid,
    email: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    role: RoleBody,
}

#[derive(Serialize)]
struct RoleBody {
    id: &'static str,
    name: &'static str,
}

impl From<Session> for SessionBody {
    fn from(session: Session) -> Self {
        let role = session.user.role.as_str();
        Self {
            user: UserBody {
                id: session.user.id,
                email: session.user.email,
                name: session.user.full_name,
                role: RoleBody { id: role, name: role },
            },
            token: session.token.expose_secret().to_owned(),
            expires_at: whole_seconds(session.expires_at).to_string(),
            session_id: session.session_id,
            token_type: "Bearer",
        }
    }
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn written(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A time in a body: RFC 3339, or the form in which this API writes times itself (UTC). Absent and `null` are equal.
pub(super) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let own =
        || jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", &text)?.to_zoned(jiff::tz::TimeZone::UTC);
    let read = text.parse().or_else(|_| own().map(|zoned| zoned.timestamp()));
    let sane = |at: &Timestamp| (0..=253_402_300_799).contains(&at.as_second());
    read.ok().filter(sane).map(Some).ok_or_else(|| serde::de::Error::custom("no RFC 3339 time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Body {
        #[serde(default, deserialize_with = "time")]
        at: Option<Timestamp>,
    }

    fn read(json: &str) -> Result<Option<Timestamp>, serde_json::Error> {
        serde_json::from_str::<Body>(json).map(|body| body.at)
    }

    #[test]
    fn times_are_read_in_both_forms_and_written_in_utc() {
        let at = read(r#"{"at":"2025-01-01T07:00:00+07:00"}"#).unwrap().unwrap();
        assert_eq!(written(at), "2025-01-01 00:00:00");
        assert_eq!(read(r#"{"at":"2025-01-01 00:00:00"}"#).unwrap(), Some(at));
        assert_eq!(read("{}").unwrap(), None);
        assert_eq!(read(r#"{"at":null}"#).unwrap(), None);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in ["", "tomorrow", "2026-02-30T00:00:00Z", "2026-01-01", "-009999-01-01T00:00:00Z", "12"] {
            assert!(read(&format!(r#"{{"at":"{bad}"}}"#)).is_err(), "{bad}");
        }
        assert!(read(r#"{"at":5}"#).is_err());
    }
}
