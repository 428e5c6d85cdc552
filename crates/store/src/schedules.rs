//! Cron's memory: the last slot of each schedule, moved by compare-and-set so that each tick happens once.

use async_trait::async_trait;
use backshift_core::{StoreError, Timestamp, store::Schedules};

use crate::SqlStore;
use crate::{Sql, ledger::both::same};

pub(crate) const REGISTER: &str =
    "INSERT INTO job_schedules (name, last_tick) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
pub(crate) const LAST: &str = "SELECT last_tick FROM job_schedules WHERE name = $1";
pub(crate) const ADVANCE: &str = "UPDATE job_schedules SET last_tick = $3 WHERE name = $1 AND last_tick = $2";
pub(crate) const ALL: &str = "SELECT name, last_tick FROM job_schedules ORDER BY name";

pub(crate) const STATEMENTS: &[Sql] = &[same(REGISTER), same(LAST), same(ADVANCE), same(ALL)];

#[async_trait]
impl Schedules for SqlStore {
    async fn last_tick(&self, name: &str, now: Timestamp) -> Result<Timestamp, StoreError> {
        let db = self.database();
        if let Some(last) = db.sql(LAST).bind(name).optional().await? {
            return Ok(last);
        }
        db.sql(REGISTER).bind(name).bind(now).run().await?;
        db.sql(LAST).bind(name).one().await
    }

    async fn advance(&self, name: &str, from: Timestamp, to: Timestamp) -> Result<bool, StoreError> {
        Ok(self.database().sql(ADVANCE).bind(name).bind(from).bind(to).run().await? == 1)
    }

    async fn schedules(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        self.database().sql(ALL).all().await
    }
}
