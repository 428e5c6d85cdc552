//! Asks the broker for work, and only when a slot is free.
//!
//! It reconnects for ever: a broker that is away is a trouble in readiness, never the end of the worker.

use std::{sync::Arc, time::Duration};

use backshift_core::{BrokerError, Consumer, Delivery};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{dispatcher, lonely::Pass, pool::Pool};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A server that is back is worked again within seconds, and one that is away sees a try every two.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a consumer may take to stop taking, or to give back what it took.
const QUIET_WITHIN: Duration = Duration::from_secs(5);

/// A worker that got nothing but jobs of kinds that it does not know lets others go first: this long, doubled with each such batch in
/// a row, and so many times at most.
const BESIDE_STRANGERS: Duration = Duration::from_millis(10);
const MOST_STRANGE: u32 = 5;

/// Why a consumer was let go.
enum Over {
    Quiet,
    Paused,
    Rebuild,
    Broken(BrokerError),
}

/// What came of asking for work.
enum Asked {
    Batch(Result<Vec<Delivery>, BrokerError>, OwnedSemaphorePermit),
    Rebuild,
    NoSlots,
}

/// Fetches until `quiet`.
pub(crate) async fn run(pool: Arc<Pool>, quiet: CancellationToken) {
    tokio::select! {
        biased;
        () = quiet.cancelled() => return,
        () = pool.engine.introduced.cancelled() => {}
        // The store gave no answer at all: begin anyway.
        () = sleep(pool.engine.options.lease / 3) => {}
    }
    let (mut pause, mut broken) = (FIRST_PAUSE, false);
    while !quiet.is_cancelled() {
        if pool.is_paused() {
            pool.vitals.waits_not();
            let mut paused = pool.engine.paused.clone();
            let resumed = paused.wait_for(|paused| !paused.contains(&pool.queue));
            tokio::select! { biased; () = quiet.cancelled() => return, _ = resumed => continue }
        }
        let consumer = tokio::select! {
            biased;
            () = quiet.cancelled() => return,
            consumer = begin(&pool, broken) => consumer,
        };
        let over = match consumer {
            Ok(consumer) => consume(&pool, consumer, &quiet, &mut pause).await,
            Err(error) => Over::Broken(error),
        };
        pool.vitals.set_consuming(false);
        broken = matches!(over, Over::Broken(_));
        if let Over::Broken(error) = over {
            report(&pool, &error, pause);
            let wait = pool.engine.around(pause);
            tokio::select! { biased; () = quiet.cancelled() => return, () = sleep(wait) => {} }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// A new consumer. Some brokers ask their server for nothing until there is work: after a failure they have to answer
/// first, else the pool would call itself well again between two failures.
async fn begin(pool: &Pool, broken: bool) -> Result<Box<dyn Consumer>, BrokerError> {
    if broken {
        pool.broker.ping().await?;
    }
    pool.broker.consume(&pool.queue, pool.consume_options()).await
}

fn report(pool: &Pool, error: &BrokerError, pause: Duration) {
    pool.vitals.waits_not();
    if pool.engine.health.trouble(&pool.part(), error) {
        tracing::warn!(queue = %pool.queue, broker = pool.broker.name(), %error, ?pause, "not consuming; connecting again");
    }
}

/// Works with one consumer until there is a reason to let it go.
async fn consume(
    pool: &Arc<Pool>,
    mut consumer: Box<dyn Consumer>,
    quiet: &CancellationToken,
    pause: &mut Duration,
) -> Over {
    pool.vitals.set_consuming(true);
    pool.engine.health.clear(&pool.part());
    tracing::info!(queue = %pool.queue, broker = pool.broker.name(), slots = pool.options.slots, "consuming");
    let over = take(pool, &mut consumer, quiet, pause).await;
    if matches!(over, Over::Quiet | Over::Paused) {
        if timeout(QUIET_WITHIN, consumer.quiet()).await.is_err() {
            tracing::warn!(queue = %pool.queue, "the broker did not confirm the end of consuming in time");
        }
        // Kept: its deliveries are still being settled.
        pool.retire(Some(consumer));
    }
    over
}

async fn take(
    pool: &Arc<Pool>,
    consumer: &mut Box<dyn Consumer>,
    quiet: &CancellationToken,
    pause: &mut Duration,
) -> Over {
    loop {
        // Kept from round to round: the consumer may have claimed jobs ahead of the next call.
        let pass = tokio::select! {
            biased;
            over = stopped(pool, quiet) => return over,
            pass = pool.engine.gate.enter() => pass,
        };
        if let Some(over) = take_beside(pool, consumer, &pass, quiet, pause).await {
            return over;
        }
        pool.vitals.waits_not();
        // The job that has to run alone may take hours, or end the process: nothing of ours may wait for it.
        put_back(pool, consumer).await;
    }
}

/// Takes jobs until one of another pool has to run alone (`None`) or the consumer is let go.
async fn take_beside(
    pool: &Arc<Pool>,
    consumer: &mut Box<dyn Consumer>,
    pass: &Pass,
    quiet: &CancellationToken,
    pause: &mut Duration,
) -> Option<Over> {
    let mut strange = 0_u32;
    loop {
        let asked = tokio::select! {
            biased;
            over = stopped(pool, quiet) => return Some(over),
            () = pool.engine.gate.closing() => return None,
            asked = ask(pool, consumer) => asked,
        };
        match asked {
            Asked::NoSlots => return Some(Over::Quiet),
            Asked::Rebuild => {
                put_back(pool, consumer).await;
                return Some(Over::Rebuild);
            }
            Asked::Batch(Err(error), _) => return Some(Over::Broken(error)),
            Asked::Batch(Ok(batch), _) if batch.is_empty() => tokio::task::yield_now().await,
            Asked::Batch(Ok(batch), slots) => {
                pool.vitals.got(batch.len());
                *pause = FIRST_PAUSE;
                match dispatcher::dispatch(pool, batch, slots, pass.clone(), quiet).await {
                    true => strange = (strange + 1).min(MOST_STRANGE),
                    false => strange = 0,
                }
                if strange > 0 {
                    // Whoever else works this queue may know what comes next.
                    let wait = pool.engine.around(BESIDE_STRANGERS * (1 << strange));
                    tokio::select! { biased; over = stopped(pool, quiet) => return Some(over), () = sleep(wait) => {} }
                }
            }
        }
    }
}

/// Waits until this pool may begin no more jobs: for good, or while its queue is paused.
async fn stopped(pool: &Pool, quiet: &CancellationToken) -> Over {
    let mut paused = pool.engine.paused.clone();
    tokio::select! {
        biased;
        () = quiet.cancelled() => Over::Quiet,
        _ = paused.wait_for(|paused| paused.contains(&pool.queue)) => Over::Paused,
    }
}

/// Waits for a slot, then for work.
async fn ask(pool: &Pool, consumer: &mut Box<dyn Consumer>) -> Asked {
    let slots = loop {
        tokio::select! {
            biased;
            slots = pool.take_slots() => break slots,
            // A long job keeps its slot although its message is gone. What the consumer holds ready for that slot would wait as
            // long as the job runs.
            () = pool.occupied.changed() => put_back(pool, consumer).await,
        }
    };
    let Some(slots) = slots else { return Asked::NoSlots };
    pool.vitals.waits();
    tokio::select! {
        biased;
        () = pool.rebuild.notified() => Asked::Rebuild,
        batch = consumer.next(slots.num_permits()) => Asked::Batch(batch, slots),
    }
}

async fn put_back(pool: &Pool, consumer: &mut Box<dyn Consumer>) {
    if timeout(QUIET_WITHIN, consumer.put_back()).await.is_err() {
        tracing::warn!(queue = %pool.queue, "what the broker had ready could not be put back in time; it returns when its lease ends");
    }
}
