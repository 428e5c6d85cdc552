//! Whether the parts of a worker make sense: what cannot be meant is refused before anything runs, what probably is not meant
//! is said at the start.
//!
//! A number of 0 is refused and never rounded up: whoever reads it from a configuration has to hear of it.

use std::{any::Any, collections::BTreeMap, sync::Arc, time::Duration};

use backshift_core::{
    Broker, DynMiddleware, JobOptions, Kind, QueueName, Registry, nearest,
    store::{BreakerPolicy, Rate},
};

use crate::{
    middleware::{Breaker, Concurrency, RateLimit},
    options::{PoolOptions, WorkerOptions},
};

/// The most jobs of one queue that a process may hold: more deliveries no broker hands out at once.
const MOST: usize = 65_535;

/// A pool as it was asked for.
type Asked = (Arc<dyn Broker>, QueueName, PoolOptions);

/// What is wrong with the numbers: the first of them, with the remedy.
pub(crate) fn refused(
    pools: &[Asked],
    options: &WorkerOptions,
    registry: &Registry,
    chain: &[Arc<dyn DynMiddleware>],
) -> Option<String> {
    let mut pools = pools.iter().filter_map(|(_, queue, options)| pool(queue, *options));
    let kinds = registry.kinds().into_iter();
    let mut kinds =
        kinds.filter_map(|name| registry.options(&Kind::new(name).ok()?).and_then(|it| kind(name, it)));
    let mut guards = chain.iter().filter_map(|one| Guard::of(one.as_ref())?.refused());
    pools.next().or_else(|| worker(options)).or_else(|| kinds.next()).or_else(|| guards.next())
}

fn pool(queue: &QueueName, options: PoolOptions) -> Option<String> {
    let PoolOptions { slots, lookahead } = options;
    match slots.checked_add(lookahead) {
        _ if slots == 0 => Some(format!(
            "the pool of queue {queue} has 0 slots, so no job of it would ever run: give it 1 or more, or leave the pool away"
        )),
        Some(all) if all <= MOST => None,
        _ => Some(format!(
            "the pool of queue {queue} has {slots} slots and a look-ahead of {lookahead}: {MOST} together are the most"
        )),
    }
}

fn worker(options: &WorkerOptions) -> Option<String> {
    let WorkerOptions { lease, timeout, stuck_after, max_attempts, max_payload, .. } = options;
    let named = [
        ("lease", lease.is_zero(), "every job would belong to nobody at once"),
        ("timeout", timeout.is_zero(), "every attempt would be over before it begins"),
        ("stuck_after", stuck_after.is_zero(), "every queue would be stuck at once"),
        ("max_attempts", *max_attempts == 0, "no job would ever run"),
        ("max_payload", *max_payload == 0, "every job would be too large"),
    ];
    let (name, _, harm) = named.into_iter().find(|(_, zero, _)| *zero)?;
    Some(format!("WorkerOptions::{name} is 0, so {harm}: leave it as it is by default, or say more"))
}

fn kind(name: &str, options: &JobOptions) -> Option<String> {
    match options {
        JobOptions { max_attempts: Some(0), .. } => Some(format!(
            "max_attempts of kind {name} is 0, so no job of it would ever run: 1 is once and never again, and without a number \
             it is the worker's"
        )),
        JobOptions { timeout: Some(Duration::ZERO), .. } => Some(format!(
            "the time-out of kind {name} is 0, so every attempt would be over before it begins: say more, or leave it to the \
             worker's"
        )),
        _ => None,
    }
}

/// What probably is not meant, a sentence each.
pub(crate) fn doubts(pools: usize, registry: &Registry, chain: &[Arc<dyn DynMiddleware>]) -> Vec<String> {
    let kinds = registry.kinds();
    let guards: Vec<Guard<'_>> = chain.iter().filter_map(|one| Guard::of(one.as_ref())).collect();
    let mut doubts: Vec<String> = guards.iter().filter_map(|guard| guard.idle(&kinds)).collect();
    if kinds.is_empty() && pools > 0 {
        doubts.push(
            "this worker has no handler, so every job that it takes is parked: add them with Registry::default().with(…)".into(),
        );
    }
    let guarded = guards.iter().any(|guard| matches!(guard, Guard::Breaker(_)));
    let dependencies = dependencies(registry);
    if guarded && dependencies.is_empty() && !kinds.is_empty() {
        doubts.push(
            "this worker has a breaker, and none of its kinds names a dependency, so it guards nothing: say \
             JobOptions::new().dependency(\"…\") in Job::options of the kinds that call one"
                .into(),
        );
    }
    for (dependency, kinds) in dependencies.into_iter().filter(|_| !guarded) {
        doubts.push(format!(
            "{} the dependency {dependency:?}, and this worker has no breaker, so nothing spares it while it fails: add \
             .breaker(BreakerPolicy::default())",
            named(&kinds)
        ));
    }
    let unset = registry.unset().map(|kind| {
        let lost = format!("options were set for kind {kind}, which had no handler then, so they are lost");
        match kinds.contains(&kind) {
            true => format!("{lost}: call Registry::configure after with"),
            false => format!("{lost}{}", meant(kind, &kinds)),
        }
    });
    doubts.extend(unset);
    doubts
}

/// The kinds of each dependency.
fn dependencies(registry: &Registry) -> BTreeMap<&'static str, Vec<&str>> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for name in registry.kinds() {
        let options = Kind::new(name).ok().and_then(|kind| registry.options(&kind));
        if let Some(dependency) = options.and_then(|options| options.dependency) {
            found.entry(dependency).or_default().push(name);
        }
    }
    found
}

fn named(kinds: &[&str]) -> String {
    match kinds {
        [one] => format!("kind {one} names"),
        many => format!("kinds {} name", many.join(", ")),
    }
}

/// The name that was perhaps meant, as the end of a sentence.
pub(crate) fn meant(name: &str, known: &[&str]) -> String {
    let near = nearest(name, known.iter().map(|known| (*known).to_owned()));
    near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default()
}

/// Middleware of ours that guards something.
enum Guard<'a> {
    Breaker(&'a BreakerPolicy),
    Limit(Option<&'static str>, Rate),
    Places(Option<&'static str>, Option<u32>),
}

impl<'a> Guard<'a> {
    fn of(middleware: &'a dyn DynMiddleware) -> Option<Self> {
        let any: &dyn Any = middleware;
        // A program that keeps several kinds of middleware in one list keeps them behind an `Arc`: look inside.
        if let Some(shared) = any.downcast_ref::<Arc<dyn DynMiddleware>>() {
            return Self::of(shared.as_ref());
        }
        if let Some(breaker) = is::<Breaker>(any) {
            return Some(Self::Breaker(breaker.policy()));
        }
        if let Some(limit) = is::<RateLimit>(any) {
            return Some(Self::Limit(limit.kind, limit.rate));
        }
        is::<Concurrency>(any).map(|places| Self::Places(places.kind, places.places))
    }

    fn refused(&self) -> Option<String> {
        let whose = |kind: &Option<&str>| kind.map(|kind| format!(" of kind {kind}")).unwrap_or_default();
        match self {
            Self::Limit(kind, Rate { count, per }) if *count == 0 || per.is_zero() => Some(format!(
                "the limit{} is {count} in {per:?}, so none of its jobs would ever run: say 1 or more, in a time above 0",
                whose(kind)
            )),
            Self::Places(kind, Some(0)) => Some(format!(
                "the places{} are 0, so none of its jobs would ever run: say 1 or more",
                whose(kind)
            )),
            Self::Breaker(BreakerPolicy { failures: 0, .. }) => {
                Some("the breaker opens after 0 failures: say 1 or more, or leave it away".into())
            }
            Self::Breaker(policy) if policy.open_for.is_zero() || policy.open_at_most < policy.open_for => {
                Some(format!(
                    "the breaker stays open for {:?} and for {:?} at most: say a time above 0, and not more than the most",
                    policy.open_for, policy.open_at_most
                ))
            }
            _ => None,
        }
    }

    /// It guards jobs that this worker never runs.
    fn idle(&self, kinds: &[&str]) -> Option<String> {
        let (what, kind) = match self {
            Self::Limit(kind, _) => ("limit", (*kind)?),
            Self::Places(kind, _) => ("number of places", (*kind)?),
            Self::Breaker(_) => return None,
        };
        let here = kinds.contains(&kind);
        (!here).then(|| {
            format!(
                "there is a {what} for kind {kind}, and this worker has no handler for it, so nothing is limited here{}",
                meant(kind, kinds)
            )
        })
    }
}

/// The middleware itself, or shared.
fn is<M: 'static>(any: &dyn Any) -> Option<&M> {
    any.downcast_ref::<M>().or_else(|| any.downcast_ref::<Arc<M>>().map(AsRef::as_ref))
}
