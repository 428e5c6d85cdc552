//! Reservations of one key that are asked for at the same moment become one statement.
//!
//! There is no timer: while one statement travels, the next one's callers gather. When not all of them fit, they are
//! asked for one by one, and the first refusal is everybody's. While less than half of the allowance is used, a crowd takes
//! up to a hundredth of it ahead for those who come right after; what nobody uses in time is lost, so that the limit is
//! never exceeded.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backshift_core::{StoreError, Timestamp, store::Rate};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    Database,
    ledger::entry::{between, micros},
    limits::{NEXT, RESERVE},
};

/// `None` = granted, `Some` = not now, ask again after this time.
type Answer = Result<Option<Duration>, StoreError>;
type Caller = oneshot::Sender<Answer>;

/// One allowance: a key and its rate in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Allowance {
    key: String,
    share: i64,
    per: i64,
}

impl Allowance {
    /// How many it is at once.
    fn most(&self) -> usize {
        usize::try_from(self.per / self.share).unwrap_or(usize::MAX).max(1)
    }
}

/// So many callers at once are a crowd.
const CROWD: usize = 16;
/// How long what a crowd took ahead may be used.
const FRESH: Duration = Duration::from_millis(20);

/// What a crowd took ahead.
#[derive(Debug)]
struct Ahead {
    left: usize,
    until: Instant,
}

/// Who waits for which allowance. An entry exists while a task works for it.
#[derive(Debug, Default)]
pub(crate) struct Allowances {
    waiting: Mutex<HashMap<Allowance, Vec<Caller>>>,
    ahead: Mutex<HashMap<Allowance, Ahead>>,
}

impl Allowances {
    /// Takes one from the key's allowance.
    pub(crate) async fn reserve(self: &Arc<Self>, db: &Database, key: &str, rate: Rate) -> Answer {
        let per = micros(rate.per);
        let allowance = Allowance { key: key.to_owned(), share: (per / i64::from(rate.count)).max(1), per };
        if self.taken_ahead(&allowance) {
            return Ok(None);
        }
        let (caller, answer) = oneshot::channel();
        let first = {
            let mut waiting = self.waiting();
            let first = !waiting.contains_key(&allowance);
            waiting.entry(allowance.clone()).or_default().push(caller);
            first
        };
        if first {
            // A task of its own: a caller that goes away must not leave the others waiting.
            tokio::spawn(Arc::clone(self).work(db.clone(), allowance));
        }
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("the reservation was not answered".into())))
    }

    async fn work(self: Arc<Self>, db: Database, allowance: Allowance) {
        while let Some(callers) = self.next(&allowance) {
            let answers = self.answers(&db, &allowance, callers.len()).await;
            for (caller, answer) in callers.into_iter().zip(answers) {
                // A caller that went away keeps what it was granted: the limit is never exceeded.
                let _ = caller.send(answer);
            }
        }
    }

    /// Who gathered meanwhile, at most as many as the allowance has at once; nobody = this task's end.
    fn next(&self, allowance: &Allowance) -> Option<Vec<Caller>> {
        let mut waiting = self.waiting();
        let callers = waiting.get_mut(allowance)?;
        if callers.is_empty() {
            waiting.remove(allowance);
            return None;
        }
        let rest = callers.split_off(callers.len().min(allowance.most()));
        Some(std::mem::replace(callers, rest))
    }

    /// One answer each. A crowd that gets more than it needs leaves the rest to the next callers.
    async fn answers(&self, db: &Database, allowance: &Allowance, callers: usize) -> Vec<Answer> {
        let more = callers.min(allowance.most() / 100);
        if callers < CROWD || more == 0 {
            return ask(db, allowance, callers).await;
        }
        let half = Allowance { per: allowance.per / 2, ..allowance.clone() };
        if matches!(take(db, &half, callers + more).await, Ok(true)) {
            let until = Instant::now() + FRESH;
            let mut ahead = lock(&self.ahead);
            ahead.retain(|_, old| old.until > Instant::now());
            ahead.insert(allowance.clone(), Ahead { left: more, until });
            return (0..callers).map(|_| Ok(None)).collect();
        }
        ask(db, allowance, callers).await
    }

    /// Uses one that was taken ahead, if there is one.
    fn taken_ahead(&self, allowance: &Allowance) -> bool {
        let mut all = lock(&self.ahead);
        let Some(ahead) = all.get_mut(allowance) else { return false };
        let there = ahead.left > 0 && Instant::now() < ahead.until;
        ahead.left = ahead.left.saturating_sub(1);
        if !there {
            all.remove(allowance);
        }
        there
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Allowance, Vec<Caller>>> {
        lock(&self.waiting)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One answer each.
async fn ask(db: &Database, allowance: &Allowance, callers: usize) -> Vec<Answer> {
    match take(db, allowance, callers).await {
        Ok(true) => return (0..callers).map(|_| Ok(None)).collect(),
        Err(error) => return (0..callers).map(|_| Err(error.clone())).collect(),
        Ok(false) => {}
    }
    let mut answers: Vec<Answer> = Vec::with_capacity(callers);
    while callers > 1 && answers.len() < callers {
        match take(db, allowance, 1).await {
            Ok(true) => answers.push(Ok(None)),
            Ok(false) => break,
            Err(error) => answers.push(Err(error)),
        }
    }
    if answers.len() < callers {
        let wait = wait(db, allowance).await;
        let refused = || match &wait {
            Ok(wait) => Ok(Some(*wait)),
            Err(error) => Err(error.clone()),
        };
        answers.resize_with(callers, refused);
    }
    answers
}

/// Takes so many at once, or none.
async fn take(db: &Database, allowance: &Allowance, many: usize) -> Result<bool, StoreError> {
    let share = allowance.share.saturating_mul(i64::try_from(many).unwrap_or(i64::MAX));
    let taken = db.sql(RESERVE).bind(&allowance.key).bind(share).bind(allowance.per).relaxed();
    Ok(taken.optional::<Timestamp>().await?.is_some())
}

/// When the next one may go.
async fn wait(db: &Database, allowance: &Allowance) -> Result<Duration, StoreError> {
    let next = db.sql(NEXT).bind(&allowance.key).bind(allowance.share).bind(allowance.per);
    let wait = next.optional::<(Timestamp, Timestamp)>().await?.map(|(free, now)| between(now, free));
    Ok(wait.unwrap_or_default().max(Duration::from_millis(1)))
}
