//! How rows that are over are deleted, a domain's and the engine's own, in bites that several pruners take beside each other.
//!
//! The trap: a `DELETE … WHERE key IN (SELECT …)` alone waits on PostgreSQL for whoever holds such a row, and then deletes it
//! although it begins anew: the condition in the inner query is not asked again.

use std::time::Duration;

use backshift_core::Timestamp;

/// Deletes from `$table` at most `$2` rows whose `$age` is before `$1` and for which `$besides` holds. On PostgreSQL rows are
/// locked where they are found and deleted by their place: what another pruner takes is passed over, what begins anew
/// meanwhile stays, and a bite of a large table costs what it bites. A place is one row's in a plain table only: where an
/// adopted table has partitions, the age is what keeps young rows safe.
#[doc(hidden)]
#[macro_export]
macro_rules! old {
    ($table:literal, $key:literal, $age:literal, $besides:literal) => {
        $crate::Sql {
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

/// What is older than `keep` at this time; `None` = everything is kept: no time means for ever, as with dead jobs, and not everything
/// at once, and so does one before all times.
pub fn older_than(keep: Duration, now: Timestamp) -> Option<Timestamp> {
    now.checked_sub(keep).ok().filter(|old| *old < now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_and_one_before_all_times_keep_everything() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        assert_eq!(older_than(Duration::ZERO, now), None);
        assert_eq!(older_than(Duration::MAX, now), None);
        assert_eq!(older_than(Duration::from_secs(10), now), Timestamp::from_second(999_990).ok());
    }
}
