//! The inbox of effects: `intended` is on disk before the outside call, so a crash leaves a trace.
//!
//! Each call locks the job's row first: a worker whose lease is over changes nothing here.

use async_trait::async_trait;
use backshift_core::{EffectState, EffectStatus, Lease, StoreError, store::Effects};

use crate::ledger::both::same;
use crate::{Sql, SqlStore, Tx, ledger::taken::holds};

pub(crate) const HELD: Sql = Sql {
    pg: concat!("SELECT 1 FROM background_jobs j WHERE j.id = $1 AND ", holds!("j", "$2"), " FOR UPDATE"),
    sqlite: "SELECT 1 FROM background_jobs WHERE id = $1 AND token = $2 AND status = 'running'",
};

pub(crate) const KNOWN: &str =
    "SELECT state, tries, receipt FROM job_effects WHERE job_id = $1 AND effect_key = $2";

/// `$1` job, `$2` key, `$3` token, `$4` state. Begins it once more.
pub(crate) const BEGIN: &str = "INSERT INTO job_effects (job_id, effect_key, state, tries, token, at) \
     VALUES ($1, $2, $4, 1, $3, clock_timestamp()) ON CONFLICT (job_id, effect_key) DO UPDATE SET \
     state = excluded.state, tries = job_effects.tries + 1, token = excluded.token, at = excluded.at RETURNING tries";

/// `$1` job, `$2` key, `$3` token, `$4` state, `$5` receipt. Tells how it ended.
pub(crate) const CONCLUDE: &str = "INSERT INTO job_effects (job_id, effect_key, state, tries, token, receipt, at) \
     VALUES ($1, $2, $4, 1, $3, $5, clock_timestamp()) ON CONFLICT (job_id, effect_key) DO UPDATE SET \
     state = excluded.state, token = excluded.token, receipt = excluded.receipt, at = excluded.at";

/// The job shows the most doubtful of its effects.
pub(crate) const MIRROR: &str = "UPDATE background_jobs SET effect = (SELECT CASE MAX(CASE state \
     WHEN 'ambiguous' THEN 3 WHEN 'intended' THEN 2 WHEN 'done' THEN 1 ELSE 0 END) \
     WHEN 3 THEN 'ambiguous' WHEN 2 THEN 'intended' WHEN 1 THEN 'done' ELSE 'none' END \
     FROM job_effects WHERE job_id = $1) WHERE id = $1";

pub(crate) const STATEMENTS: &[Sql] = &[HELD, same(KNOWN), same(BEGIN), same(CONCLUDE), same(MIRROR)];

#[async_trait]
impl Effects for SqlStore {
    async fn intend(&self, lease: &Lease, key: &str) -> Result<EffectStatus, StoreError> {
        let tx = self.database().begin().await?;
        fence(&tx, lease).await?;
        let known = tx.sql(KNOWN).bind(lease.job).bind(key);
        let known = known.optional::<(String, u32, Option<String>)>().await?;
        let (before, tries, receipt) = match known {
            Some((state, tries, receipt)) => (EffectState::parse(&state).unwrap_or_default(), tries, receipt),
            None => (EffectState::None, 0, None),
        };
        if before == EffectState::Done {
            tx.rollback().await?;
            return Ok(EffectStatus { before, tries, receipt });
        }
        let next = match before {
            EffectState::None => EffectState::Intended,
            _ => EffectState::Ambiguous,
        };
        let begun = tx.sql(BEGIN).bind(lease.job).bind(key).bind(lease.token).bind(next.as_str());
        let tries = begun.one::<u32>().await?;
        tx.sql(MIRROR).bind(lease.job).run().await?;
        tx.commit().await?;
        Ok(EffectStatus { before, tries, receipt: None })
    }

    async fn conclude(
        &self,
        lease: &Lease,
        key: &str,
        state: EffectState,
        receipt: Option<&str>,
    ) -> Result<(), StoreError> {
        let receipt = receipt.map(|text| text.replace('\0', "\u{FFFD}"));
        let tx = self.database().begin().await?;
        fence(&tx, lease).await?;
        let query = tx.sql(CONCLUDE).bind(lease.job).bind(key).bind(lease.token).bind(state.as_str());
        query.bind(receipt).run().await?;
        tx.sql(MIRROR).bind(lease.job).run().await?;
        tx.commit().await
    }
}

async fn fence(tx: &Tx, lease: &Lease) -> Result<(), StoreError> {
    let held = tx.sql(HELD).bind(lease.job).bind(lease.token).all::<()>().await?;
    if held.is_empty() { Err(StoreError::Stale) } else { Ok(()) }
}
