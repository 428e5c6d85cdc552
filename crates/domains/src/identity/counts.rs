//! Hourly counts: one row for whatever is counted, taken from by one statement.
//!
//! An hour begins with the first thing that is counted and ends for all of it together, so a row says everything and
//! never becomes two. What is refused is looked at without writing: a flood of refusals costs reads of one index.

use backshift_core::Timestamp;
use backshift_store::Executor;

use super::{
    limits::{HOUR, too_early},
    refusals::internal,
    service::{after, before},
};
use crate::identity::IdentityError;

/// What is counted. The words stand in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Registrations of a network.
    Registrations,
    /// Codes that a network tried.
    Checks,
    /// Tries of one code by a network that did not ask for it.
    Code,
    /// Wrong passwords of an account.
    Account,
    /// Wrong passwords of a network.
    Network,
    /// Wrong passwords of an account from one network.
    Pair,
}

impl What {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Registrations => "registrations",
            Self::Checks => "checks",
            Self::Code => "code",
            Self::Account => "account",
            Self::Network => "network",
            Self::Pair => "pair",
        }
    }
}

/// How many there were in an hour, and when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) n: i64,
    pub(super) begun: Timestamp,
}

impl Count {
    /// Refuses until the hour is over.
    pub(super) fn refuse(self, now: Timestamp) -> Result<(), IdentityError> {
        too_early(after(self.begun, HOUR), now)
    }
}

/// Counts one more, and answers how many that makes; `None` = the hour had its share already.
pub(super) async fn take(
    on: &impl Executor,
    what: What,
    who: &str,
    share: u32,
    now: Timestamp,
) -> Result<Option<Count>, IdentityError> {
    const TAKE: &str = "INSERT INTO auth_counts (what, who, begun, n) VALUES ($1, $2, $3, 1) \
        ON CONFLICT (what, who) DO UPDATE SET \
        n = CASE WHEN auth_counts.begun <= $4 THEN 1 ELSE auth_counts.n + 1 END, \
        begun = CASE WHEN auth_counts.begun <= $4 THEN $3 ELSE auth_counts.begun END \
        WHERE auth_counts.begun <= $4 OR auth_counts.n < $5 RETURNING n, begun";
    let query = on.sql(TAKE).bind(what.as_str()).bind(who).bind(now).bind(before(now, HOUR)).bind(share);
    let taken = query.relaxed().optional::<(i64, Timestamp)>().await.map_err(internal)?;
    Ok(taken.map(|(n, begun)| Count { n, begun }))
}

/// What this hour has so far, without counting.
pub(super) async fn look(
    on: &impl Executor,
    what: What,
    who: &str,
    now: Timestamp,
) -> Result<Count, IdentityError> {
    const LOOK: &str = "SELECT n, begun FROM auth_counts WHERE what = $1 AND who = $2 AND begun > $3";
    let query = on.sql(LOOK).bind(what.as_str()).bind(who).bind(before(now, HOUR));
    let found = query.optional::<(i64, Timestamp)>().await.map_err(internal)?;
    Ok(found.map_or(Count { n: 0, begun: now }, |(n, begun)| Count { n, begun }))
}

/// Takes so many back.
pub(super) async fn give_back(
    on: &impl Executor,
    what: What,
    who: &str,
    by: i64,
) -> Result<(), IdentityError> {
    const BACK: &str =
        "UPDATE auth_counts SET n = CASE WHEN n > $3 THEN n - $3 ELSE 0 END WHERE what = $1 AND who = $2";
    let query = on.sql(BACK).bind(what.as_str()).bind(who).bind(by);
    query.relaxed().run().await.map(drop).map_err(internal)
}

/// Counts one more of a network, or refuses it: without a word to the database when the hour is full.
pub(super) async fn take_or_refuse(
    on: &impl Executor,
    what: What,
    network: &str,
    share: u32,
    now: Timestamp,
) -> Result<(), IdentityError> {
    let so_far = look(on, what, network, now).await?;
    if so_far.n >= i64::from(share) {
        so_far.refuse(now)?;
    }
    match take(on, what, network, share, now).await? {
        Some(_) => Ok(()),
        None => look(on, what, network, now).await?.refuse(now),
    }
}
