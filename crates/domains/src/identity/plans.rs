//! Plans, read: everybody may.

use backshift_core::Timestamp;
use backshift_store::{Executor, Query};
use uuid::Uuid;

use super::{
    IdentityService,
    refusals::{PLAN_NOT_FOUND, internal},
};
use crate::identity::{IdentityError, ListQuery, Listed, Plan};

/// The most rows of a list that has no pages.
pub(super) const MOST_ROWS: u32 = 1_000;
/// The most ids or codes that one list may be filtered by.
pub(super) const MOST_FILTERS: usize = 1_000;

pub(super) type PlanRow = (Uuid, String, String, Option<String>, i32, Option<Timestamp>, Option<Timestamp>);

const COLUMNS: &str = "SELECT id, name, code, description, max_usage, created_at, updated_at";

fn plan((id, name, code, description, max_usage, created_at, updated_at): PlanRow) -> Plan {
    let created_at = created_at.unwrap_or(Timestamp::UNIX_EPOCH);
    let updated_at = updated_at.unwrap_or(created_at);
    Plan { id, name, code, description, max_usage, created_at, updated_at }
}

/// The plan, unless it was deleted.
pub(super) async fn find_plan(on: &impl Executor, id: Uuid) -> Result<Plan, IdentityError> {
    let query = on.sql(COLUMNS).push(" FROM plans WHERE deleted_at IS NULL AND id = ").push_bind(id);
    let row = query.optional::<PlanRow>().await.map_err(internal)?;
    row.map(plan).ok_or_else(|| PLAN_NOT_FOUND.into())
}

impl IdentityService {
    /// One plan.
    pub async fn plan(&self, id: Uuid) -> Result<Plan, IdentityError> {
        find_plan(&self.db, id).await
    }

    /// The list of plans, which everybody may read.
    pub async fn plans(&self, query: &ListQuery) -> Result<Listed<Plan>, IdentityError> {
        let rows = filtered(self.db.sql(COLUMNS), query).push(" ORDER BY created_at DESC, id DESC");
        let rows = paged(rows, query).all::<PlanRow>().await.map_err(internal)?;
        let total = filtered(self.db.sql("SELECT count(*)"), query).one::<u64>().await.map_err(internal)?;
        Ok(Listed { rows: rows.into_iter().map(plan).collect(), total })
    }
}

fn filtered<'a>(query: Query<'a>, by: &ListQuery) -> Query<'a> {
    let query = query.push(" FROM plans WHERE deleted_at IS NULL");
    let query = one_of(query, "id", by.ids.iter().copied());
    one_of(query, "code", by.codes.iter().map(String::as_str))
}

/// `AND column IN (…)`, nothing when there are no values.
pub(super) fn one_of<'a, V: Into<backshift_store::Value>>(
    mut query: Query<'a>,
    column: &str,
    values: impl Iterator<Item = V>,
) -> Query<'a> {
    let mut before = format!(" AND {column} IN (");
    let mut any = false;
    for value in values.take(MOST_FILTERS) {
        query = query.push(&before).push_bind(value);
        before = ", ".to_owned();
        any = true;
    }
    if any { query.push(")") } else { query }
}

/// The rows of the page that was asked for.
pub(super) fn paged<'a>(query: Query<'a>, by: &ListQuery) -> Query<'a> {
    let (limit, offset) = match by.page {
        None => (MOST_ROWS, 0),
        Some(page) => {
            let per_page = by.per_page.clamp(1, 100);
            (per_page, i64::from(page.max(1) - 1) * i64::from(per_page))
        }
    };
    query.push(" LIMIT ").push_bind(limit).push(" OFFSET ").push_bind(offset)
}
