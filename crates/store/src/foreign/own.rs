//! Our own transaction is carried the same way.

use async_trait::async_trait;
use backshift_core::StoreError;

use super::ForeignTx;
use crate::{Dialect, Executor, Tx};

#[async_trait]
impl ForeignTx for Tx {
    fn dialect(&self) -> Dialect {
        Executor::dialect(self)
    }

    async fn execute_one(&mut self, text: &'static str, argument: String) -> Result<u64, StoreError> {
        self.sql(text).bind(argument).run().await
    }
}
