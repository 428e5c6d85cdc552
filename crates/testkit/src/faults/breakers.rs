//! Whom a lying store lets through a circuit.

use async_trait::async_trait;
use backshift_core::{
    StoreError,
    store::{Admission, BreakerPolicy, BreakerRecord, Breakers},
};

use super::{store::FaultyStore, store_fault::StoreFault};

#[async_trait]
impl Breakers for FaultyStore {
    async fn admit(&self, name: &str) -> Result<Admission, StoreError> {
        let shown = self.honest.breakers().await?;
        let half_open = shown.iter().any(|breaker| breaker.name == name && breaker.state == "half-open");
        let answer = self.honest.admit(name).await?;
        let returning = shown.iter().any(|breaker| breaker.name == name && breaker.state == "returning");
        if returning && self.has(StoreFault::ReturnsAtOnce) {
            return Ok(Admission::Go);
        }
        Ok(if half_open && self.has(StoreFault::ProbesAtOnce) { Admission::Probe } else { answer })
    }

    async fn report(
        &self,
        name: &str,
        mut policy: BreakerPolicy,
        result: Result<(), String>,
    ) -> Result<(), StoreError> {
        if self.has(StoreFault::OpensNoLonger) {
            policy.open_at_most = policy.open_for;
        }
        self.honest.report(name, policy, result).await
    }

    async fn breakers(&self) -> Result<Vec<BreakerRecord>, StoreError> {
        self.honest.breakers().await
    }
}
