//! A transaction that looks at a bounded number of rows by indexes, whatever PostgreSQL believes of its tables.

use backshift_core::StoreError;

use crate::{Database, Dialect, Durability, Executor, Tx};

/// Whatever the statistics say, the rows of a window are found by an index and in its order: a part of a table that nobody ever
/// analysed looks like a third of it, and reading all of it the better way.
/// Nor is a look at a bounded number of rows worth compiling or sharing out: either takes longer than the look.
const BY_INDEX: &str = "SELECT set_config('enable_seqscan', 'off', true) || set_config('enable_bitmapscan', 'off', true) \
     || set_config('jit', 'off', true) || set_config('max_parallel_workers_per_gather', '0', true)";

/// A transaction in which PostgreSQL goes by indexes.
pub(crate) async fn by_index(db: &Database, durability: Durability) -> Result<Tx, StoreError> {
    let tx = db.begin_with(durability).await?;
    if db.dialect() == Dialect::Postgres {
        tx.sql(BY_INDEX).one::<String>().await?;
    }
    Ok(tx)
}
