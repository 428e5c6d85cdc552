//! How rows that are over are deleted, in bites that several pruners take beside each other.
//!
//! The trap: a `DELETE … WHERE key IN (SELECT …)` alone waits on PostgreSQL for whoever holds such a row, and then deletes it
//! although it begins anew: the condition in the inner query is not asked again.

/// Deletes from `$table` at most `$2` rows whose `$age` is before `$1` and for which `$besides` holds. On PostgreSQL rows are
/// locked where they are found and deleted by their place: what another pruner takes is passed over, what begins anew
/// meanwhile stays, and a bite of a large table costs what it bites. A place is one row's in a plain table only: where an
/// adopted table has partitions, the age is what keeps young rows safe.
macro_rules! old {
    ($table:literal, $key:literal, $age:literal, $besides:literal) => {
        ::backshift_store::Sql {
            pg: concat!(
                "DELETE FROM ",
                $table,
                " WHERE ctid = ANY (ARRAY(SELECT ctid FROM ",
                $table,
                " WHERE ",
                $age,
                " < $1",
                $besides,
                " ORDER BY ",
                $age,
                " LIMIT $2 FOR UPDATE SKIP LOCKED)) AND ",
                $age,
                " < $1",
                $besides
            ),
            sqlite: concat!(
                "DELETE FROM ",
                $table,
                " WHERE (",
                $key,
                ") IN (SELECT ",
                $key,
                " FROM ",
                $table,
                " WHERE ",
                $age,
                " < $1",
                $besides,
                " ORDER BY ",
                $age,
                " LIMIT $2)"
            ),
        }
    };
}

pub(crate) use old;
