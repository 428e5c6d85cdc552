//! From a batch of deliveries to running attempts; what cannot run is settled on the way.
//!
//! One claim a batch. Bytes that are no job and payloads that are too large never reach a handler. A job of an unknown
//! kind is parked in the ledger until a worker that knows it announces itself; where that cannot be, it goes round in
//! short steps. (The SQL brokers do not hand such a job out.)

use std::{sync::Arc, time::Duration};

use backshift_core::{
    Ack, Capability, Completion, DeadLetter, Delivery, Envelope, ErrorClass, ErrorReport, Failpoint,
    JobContext, Moment, Reason, Receipt, Retry, Settlement, State,
    record::PARKED,
    store::{ClaimRequest, Claimed, Start},
    wire,
};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::{
    attempt::Attempt,
    claimer::{self, Word},
    executor,
    lonely::Pass,
    outcome::release,
    planted::{Bug, has},
    pool::Pool,
    settling::Settling,
};

/// The first and the longest step of an unknown kind that no ledger can take in.
const PARKED_FOR: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A delivery that is a job.
struct Taken {
    envelope: Envelope,
    redelivered: bool,
    anonymous: bool,
    start: Option<Start>,
    /// When that start was asked for.
    claimed_at: Moment,
    receipt: Box<dyn Receipt>,
}

/// Claims and starts a batch; returns when every delivery runs or is on its way to be settled. `true` = nobody here knew
/// any of it.
pub(crate) async fn dispatch(
    pool: &Arc<Pool>,
    batch: Vec<Delivery>,
    mut slots: OwnedSemaphorePermit,
    pass: Pass,
    quiet: &CancellationToken,
) -> bool {
    let delivered = batch.len();
    let (mut lonely, mut strangers) = (Vec::new(), Vec::new());
    let claimed = claim(pool, jobs(pool, batch).await, quiet).await;
    Failpoint::AfterClaim.pass();
    for (taken, word) in claimed {
        // Without a future of its own: this is what nearly every job passes.
        let (mut taken, word, ledger_first) = started(taken, word);
        if word.is_none() && ledger_first && is_stranger(pool, &taken) {
            strangers.push(taken);
            continue;
        }
        if word.is_some() || !fits(pool, &mut taken) {
            Box::pin(turn_away(pool, taken, word, ledger_first)).await;
            continue;
        }
        let slot = match slots.split(1) {
            Some(slot) => slot,
            None => match pool.take_slots().await {
                Some(more) => {
                    slots = more;
                    let Some(slot) = slots.split(1) else { continue };
                    slot
                }
                None => continue,
            },
        };
        match taken.start.as_ref().is_some_and(Start::runs_alone) {
            true => lonely.push((taken, ledger_first, slot)),
            false => start(pool, taken, ledger_first, slot, pass.clone()),
        }
    }
    for (taken, ledger_first, slot) in lonely {
        start(pool, taken, ledger_first, slot, pass.clone());
    }
    let only_strangers = strangers.len() == delivered;
    if !strangers.is_empty() {
        Box::pin(take_in(pool, strangers)).await;
    }
    only_strangers
}

fn is_stranger(pool: &Pool, taken: &Taken) -> bool {
    pool.engine.registry.options(&taken.envelope.kind).is_none() && !has(Bug::FailsUnknownKinds)
}

/// Lets the ledger keep the jobs whose kind nobody here knows. One whose payload it does not have whole goes round at the broker.
async fn take_in(pool: &Pool, strangers: Vec<Taken>) {
    let leases: Vec<_> = strangers.iter().filter_map(|taken| Some(taken.start.as_ref()?.lease)).collect();
    let parked = match &pool.store {
        Some(store) if leases.len() == strangers.len() => store.park(&leases).await,
        _ => Ok(Vec::new()),
    };
    let parked = parked.unwrap_or_else(|error| {
        tracing::warn!(%error, queue = %pool.queue, "jobs of unknown kinds could not be parked in the ledger");
        Vec::new()
    });
    let taken_in = parked.iter().filter(|parked| **parked).count();
    if let Some(first) = strangers.first().filter(|_| taken_in > 0) {
        let (kind, job) = (&first.envelope.kind, first.envelope.id);
        tracing::warn!(queue = %pool.queue, jobs = taken_in, %job, %kind, "parked until a worker that knows the kind announces itself");
        metrics::counter!("backshift_jobs_parked_total").increment(taken_in as u64);
    }
    let mut parked = parked.into_iter();
    for mut taken in strangers {
        if parked.next() == Some(true) {
            // The ledger has it: for the broker it is over.
            let ack = Settlement::Ack(Ack::Completed(Completion::default()));
            let nameless = taken.anonymous;
            let unstarted = Settling::unstarted(Some(taken.envelope.id), ack, taken.receipt);
            submit(pool, Settling { nameless, again: taken.redelivered, ..unstarted }).await;
        } else {
            fits(pool, &mut taken);
            turn_away_unfit(pool, taken, true).await;
        }
    }
}

/// Sorts out the bytes that are no job.
async fn jobs(pool: &Pool, batch: Vec<Delivery>) -> Vec<Taken> {
    let (mut taken, received) = (Vec::with_capacity(batch.len()), Moment::now());
    for delivery in batch {
        let Delivery { job, redelivered, anonymous, start, claimed_at, receipt } = delivery;
        let claimed_at = claimed_at.unwrap_or(received);
        match job {
            // A job that still runs here and whose delivery was lost with its connection goes on with this delivery.
            Ok(envelope) if redelivered && start.is_none() && !has(Bug::AdoptsNothing) => {
                match pool.running.adopt(&envelope, anonymous, receipt) {
                    Ok(()) => {
                        tracing::info!(queue = %pool.queue, "a job that still runs here was delivered again; it goes on");
                        metrics::counter!("backshift_deliveries_adopted_total").increment(1);
                    }
                    Err(receipt) => {
                        taken.push(Taken { envelope, redelivered, anonymous, start, claimed_at, receipt })
                    }
                }
            }
            Ok(envelope) => {
                taken.push(Taken { envelope, redelivered, anonymous, start, claimed_at, receipt })
            }
            Err(malformed) => {
                tracing::warn!(queue = %pool.queue, %malformed, "dead letter: no job");
                metrics::counter!("backshift_jobs_taken_total").increment(1);
                metrics::counter!("backshift_attempts_failed_total").increment(1);
                let letter = dead(malformed.reason, malformed.problem, 1);
                let lease = start.as_ref().map(|start| start.lease);
                submit(pool, Settling { lease, ..Settling::unstarted(None, letter, receipt) }).await;
            }
        }
    }
    taken
}

/// Asks the ledger about deliveries that do not carry a start already.
async fn claim(pool: &Pool, taken: Vec<Taken>, quiet: &CancellationToken) -> Vec<(Taken, Option<Word>)> {
    let Some(store) = &pool.store else {
        return taken.into_iter().map(|one| (one, None)).collect();
    };
    let unclaimed = taken.iter().filter(|one| one.start.is_none());
    let request = |one: &Taken| ClaimRequest {
        envelope: one.envelope.clone(),
        broker: pool.broker.name(),
        redelivered: is_left(pool, one),
        anonymous: one.anonymous,
        except: match one.anonymous && one.redelivered {
            true => pool.running.nameless(),
            false => Vec::new(),
        },
    };
    let requests: Vec<_> = unclaimed.map(request).collect();
    let words = match requests.is_empty() {
        true => Vec::new(),
        false => claimer::claim(pool, store, requests, quiet).await,
    };
    let mut words = words.into_iter();
    let pair = |one: Taken| match one.start {
        Some(_) => (one, None),
        None => (one, Some(words.next().unwrap_or(Word::Unasked))),
    };
    taken.into_iter().map(pair).collect()
}

/// Whether the broker hands it out again because its worker is gone. A message also comes again when only its channel
/// is gone: then this process may still run it, and nobody crashed.
fn is_left(pool: &Pool, one: &Taken) -> bool {
    one.redelivered && (!pool.running.holds(one.envelope.id) || has(Bug::AdoptsNothing))
}

/// Puts into the delivery what the ledger answered. The flag: the ledger has started it, so its result goes there before the
/// receipt is settled.
fn started(mut taken: Taken, word: Option<Word>) -> (Taken, Option<Word>, bool) {
    match word {
        Some(Word::Said(Claimed::Run(start), asked_at)) => {
            taken.claimed_at = asked_at;
            taken.envelope.id = start.lease.job;
            taken.start = Some(start);
            (taken, None, true)
        }
        Some(Word::Said(Claimed::Known(job, answer), asked_at)) => {
            taken.envelope.id = job;
            (taken, Some(Word::Said(*answer, asked_at)), false)
        }
        word => (taken, word, false),
    }
}

/// Settles what must not run here, as the ledger said or as this worker can.
async fn turn_away(pool: &Pool, taken: Taken, word: Option<Word>, ledger_first: bool) {
    let attempt = taken.envelope.attempt;
    let settlement = match word {
        None | Some(Word::Said(Claimed::Run(_), _)) => {
            return turn_away_unfit(pool, taken, ledger_first).await;
        }
        Some(Word::Said(Claimed::Over(State::Cancelled), _)) => Settlement::Ack(Ack::Cancelled),
        Some(Word::Said(Claimed::Over(State::Dead), _)) => buried(pool, &taken.envelope).await,
        // The acknowledgement of its hand-over was lost.
        Some(Word::Said(Claimed::Over(_) | Claimed::Kept, _)) => {
            Settlement::Ack(Ack::Completed(Completion::default()))
        }
        Some(Word::Said(Claimed::Held(wait), _)) => {
            let wait = wait.clamp(Duration::from_millis(100), pool.engine.options.lease);
            put_back(&taken.envelope, pool.engine.around(wait))
        }
        Some(Word::Said(Claimed::Early(wait), _)) => put_back(&taken.envelope, wait),
        Some(Word::Said(Claimed::Conflict, _)) => {
            let word = "another job with this id has another payload, kind, queue or broker";
            dead(Reason::IdConflict, word, attempt)
        }
        // Cannot happen: `started` has replaced it by the answer inside.
        Some(Word::Said(Claimed::Known(..), _)) => return,
        Some(Word::Refused(reason, problem)) => dead(reason, problem, attempt),
        Some(Word::Unasked) => release(&taken.envelope, attempt, Duration::ZERO, "the worker stopped"),
    };
    let (id, nameless, again) = (taken.envelope.id, taken.anonymous, taken.redelivered);
    if let Some(tie) = taken.receipt.tie().filter(|_| nameless) {
        pool.running.turn_away(id, tie);
    }
    let unstarted = Settling::unstarted(Some(id), settlement, taken.receipt);
    submit(pool, Settling { nameless, again, ..unstarted }).await;
}

/// Back into the queue as it is, uncounted.
fn put_back(envelope: &Envelope, delay: Duration) -> Settlement {
    let next = Envelope { run_at: None, ..envelope.clone() };
    Settlement::Retry(Box::new(Retry { next, delay, counted: false, error: None }))
}

/// The ledger says dead and the message is still here: its worker was lost before the message reached the broker's own dead
/// letters, or losing workers is what made it dead. Two copies there are allowed, none is not.
async fn buried(pool: &Pool, envelope: &Envelope) -> Settlement {
    let record = match &pool.store {
        Some(store) => store.find(envelope.id).await.ok().flatten(),
        None => None,
    };
    let reason = record.as_ref().and_then(|record| Reason::parse(record.reason.as_deref()?));
    let error = record.as_ref().and_then(|record| record.error.clone());
    let attempt = record.map_or(envelope.attempt, |record| record.attempt);
    dead(
        reason.unwrap_or(Reason::CrashLoop),
        error.unwrap_or_else(|| "dead by the ledger".to_owned()),
        attempt,
    )
}

/// Whether a handler here can do it. The attempt's number is the ledger's from here on.
fn fits(pool: &Pool, taken: &mut Taken) -> bool {
    let trusted = taken.envelope.attempt;
    if let Some(start) = &mut taken.start {
        if has(Bug::TrustsTheEnvelope) {
            start.attempt = trusted;
        }
        taken.envelope.attempt = start.attempt;
    }
    taken.envelope.payload.len() <= pool.engine.options.max_payload
        && pool.engine.registry.options(&taken.envelope.kind).is_some()
}

async fn turn_away_unfit(pool: &Pool, taken: Taken, ledger_first: bool) {
    let (size, limit) = (taken.envelope.payload.len(), pool.engine.options.max_payload);
    let settlement = if size > limit {
        let problem = format!("the payload has {size} bytes, {limit} are worked here");
        dead(Reason::TooLarge, problem, taken.envelope.attempt)
    } else if has(Bug::FailsUnknownKinds) {
        dead(Reason::Permanent, "no handler for this kind", taken.envelope.attempt)
    } else {
        park(pool, &taken)
    };
    let lease = taken.start.as_ref().map(|start| start.lease);
    let unstarted = Settling::unstarted(Some(taken.envelope.id), settlement, taken.receipt);
    submit(pool, Settling { lease, ledger_first, ..unstarted }).await;
}

/// Puts an unknown kind back for a while that grows with every time.
fn park(pool: &Pool, taken: &Taken) -> Settlement {
    let kind = &taken.envelope.kind;
    let counted = taken.envelope.headers.get(wire::PARKED).and_then(|text| text.parse::<u32>().ok());
    let before = match &taken.start {
        Some(start) => start.starts.saturating_sub(1),
        None => counted.unwrap_or(0),
    };
    let delay = PARKED_FOR.0.saturating_mul(1 << before.min(10)).min(PARKED_FOR.1);
    let delay = pool.engine.around(delay).min(PARKED_FOR.1);
    tracing::warn!(queue = %pool.queue, %kind, job = %taken.envelope.id, ?delay, "parked: no handler for this kind");
    metrics::counter!("backshift_jobs_parked_total").increment(1);
    let word = format!(
        "{PARKED}worker {} has no handler for kind {kind}; it stays until one comes",
        pool.engine.name
    );
    let mut settlement = release(&taken.envelope, taken.envelope.attempt, delay, &word);
    if let Settlement::Retry(retry) = &mut settlement {
        retry.error = Some(ErrorReport::new(ErrorClass::UnknownKind, word));
        if taken.start.is_none() {
            retry.next.headers.insert(wire::PARKED.to_owned(), before.saturating_add(1).to_string());
        }
    }
    settlement
}

fn start(pool: &Arc<Pool>, taken: Taken, ledger_first: bool, slot: OwnedSemaphorePermit, pass: Pass) {
    let cancel = CancellationToken::new();
    let timeout = pool.engine.timeout(&taken.envelope.kind);
    let mut context = JobContext::new(taken.envelope, pool.engine.name.clone(), cancel.clone());
    if let (Some(start), Some(store)) = (&taken.start, &pool.store) {
        context = context.with_ledger(start.lease, start.starts, Arc::clone(store));
    }
    let capabilities = pool.broker.capabilities();
    // A SQL broker's lease is the ledger's: with a store the beat keeps it.
    let extends = capabilities.has(Capability::Lease)
        && !(capabilities.has(Capability::Ledger) && pool.store.is_some());
    let mut attempt = Attempt::new(context, cancel, taken.start, taken.receipt, taken.claimed_at);
    (attempt.ledger_first, attempt.extends, attempt.timeout) = (ledger_first, extends, timeout);
    attempt.nameless = taken.anonymous;
    attempt.comes_again(taken.redelivered);
    let attempt = Arc::new(attempt);
    pool.running.add(&attempt);
    pool.spawn(executor::execute(Arc::clone(pool), attempt, slot, pass));
}

async fn submit(pool: &Pool, mut settling: Settling) {
    settling.places.room = pool.settler.room().await;
    pool.settler.submit(settling);
}

fn dead(reason: Reason, problem: impl std::fmt::Display, attempt: u32) -> Settlement {
    let error = ErrorReport::new(ErrorClass::Error, problem);
    Settlement::DeadLetter(DeadLetter { reason, error, attempt })
}
