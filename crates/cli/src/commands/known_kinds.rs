//! Which kinds somebody knows, so that a misspelt one is told at once.
//!
//! A job of a kind that nobody handles waits, parked, until a program comes that does: that is no error, because the program of
//! another team may start tomorrow. So nothing is refused; whoever enqueues is told once, with the name that he may have meant.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use backshift_core::{
    Kind, nearest,
    store::{Ledger as _, Queues as _},
};
use backshift_store::{
    SqlStore,
    ledger::{NEWEST_JOBS, newest_kinds},
};

use crate::{domains, exit::Failure, wiring::Backend};

/// More kinds of one command are taken as they are: a file of a thousand kinds is nobody's typing.
const JUDGED_AT_MOST: usize = 500;

/// What is known about the kinds of a place.
pub(super) struct KnownKinds<'a> {
    store: Option<&'a Arc<SqlStore>>,
    /// Those of live workers, and of the newest jobs, once they were read.
    names: Option<BTreeSet<Kind>>,
    judged: HashSet<Kind>,
}

impl<'a> KnownKinds<'a> {
    pub(super) fn of(backend: &'a Backend) -> Self {
        Self { store: backend.store.as_ref(), names: None, judged: HashSet::new() }
    }

    /// What is to be said about a kind, once; nothing without a store, or while it is away.
    pub(super) async fn judge(&mut self, kind: &Kind) -> Option<String> {
        let store = self.store?;
        if domains::kinds().any(|own| own == kind.as_str())
            || self.judged.len() >= JUDGED_AT_MOST
            || !self.judged.insert(kind.clone())
            || self.names(store).await.ok()?.contains(kind)
        {
            return None;
        }
        let meant = self.nearest(kind).map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        Some(format!(
            "kind {kind} is new: no live worker handles it, and none of the newest {NEWEST_JOBS} jobs is of it{meant}"
        ))
    }

    /// The known kind that is nearest to this one, among those that were read.
    pub(super) fn nearest(&self, kind: &Kind) -> Option<String> {
        let read = self.names.iter().flatten().map(Kind::to_string);
        nearest(kind.as_str(), domains::kinds().map(str::to_owned).chain(read))
    }

    /// The same, read before.
    pub(super) async fn nearest_to(&mut self, kind: &Kind) -> Option<String> {
        self.names(self.store?).await.ok()?;
        self.nearest(kind).filter(|near| near != kind.as_str())
    }

    async fn names(&mut self, store: &SqlStore) -> Result<&BTreeSet<Kind>, Failure> {
        if self.names.is_none() {
            let mut names: BTreeSet<Kind> = newest_kinds(store.database()).await?.into_iter().collect();
            names.extend(store.workers().await?.into_iter().flat_map(|worker| worker.kinds));
            names.extend(store.parked().await?.into_iter().map(|parked| parked.kind));
            self.names = Some(names);
        }
        Ok(self.names.get_or_insert_default())
    }
}
