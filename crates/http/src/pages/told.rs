//! What the pages say about a job or a queue, for whoever has no browser: the same sentences, masks and order.
//!
//! Everything is read anew, not from what the pages share: a command asks once. Text of others is masked here; what a
//! terminal would act on is the printer's business.

use std::collections::{BTreeMap, BTreeSet};

use backshift_core::{
    JobFilter, JobId, JobRecord, Kind, Page, QueueCounts, QueueName, State, Store, StoreError, Timestamp,
};

pub use super::{deleting::gone, facts::Fact, life::Step, need::Remedy, own_kinds::OwnKinds};
use super::{
    explain::{Surroundings, explain, who_works},
    facts, life,
    mask::{self, Shown},
    need::{Need, remedy},
    needs,
    reason::Reason,
    sight::{SAMPLE, Sight, causes},
    stopped, troubles,
    view::View,
    words,
    worked::Worked,
};

/// Kinds of troubles that are looked for in a queue, each with up to four searches.
const KINDS: usize = 8;
/// Characters of what the other side said.
const SAID: usize = 300;

/// One cause: what is the case, where that can be seen, and what changes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// What is the case, a sentence without its full stop.
    pub text: String,
    /// The time that it speaks of.
    pub due: Option<Timestamp>,
    /// The words of the other side, masked.
    pub said: Option<String>,
    /// Where that can be seen.
    pub evidence: Option<String>,
    /// A lead-in and the command.
    pub remedy: Option<Remedy>,
    /// It stays so until somebody does something.
    pub stays: bool,
}

/// Why something is as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// How it stands.
    pub headline: String,
    /// The question that the causes answer; empty = there is nothing to explain.
    pub question: &'static str,
    /// What decides first.
    pub causes: Vec<Cause>,
}

impl Told {
    /// Whether nothing goes on here until somebody does something.
    pub fn needs_somebody(&self) -> bool {
        self.causes.iter().any(|cause| cause.stays)
    }
}

/// All that the page of a job says.
#[derive(Debug, Clone, PartialEq)]
pub struct JobTold {
    /// The job as it is.
    pub job: JobRecord,
    /// Why it is there.
    pub told: Told,
    /// The state as a word, with the attempt where that says something.
    pub word: String,
    /// What happened, oldest first.
    pub life: Vec<Step>,
    /// What else holds.
    pub facts: Vec<Fact>,
    /// The payload, masked.
    pub payload: String,
    /// The handler's output, masked.
    pub output: Option<String>,
}

/// A job; `None` = there is none with this id.
pub async fn job(store: &dyn Store, id: JobId, own: &OwnKinds) -> Result<Option<JobTold>, StoreError> {
    let Some(job) = store.find(id).await? else { return Ok(None) };
    let attempts = store.attempts(id).await?;
    let hands = store.hands(id).await?;
    let workers = store.workers().await?;
    let paused = store.paused().await?.contains(&job.queue);
    let around = Surroundings { paused, workers: &workers, hands: &hands, own, now: Timestamp::now() };
    let explained = explain(&job, around);
    let told = Told {
        headline: words::headline(&job),
        question: explained.question,
        causes: explained.reasons.into_iter().map(cause).collect(),
    };
    Ok(Some(JobTold {
        told,
        word: words::state(&job),
        life: life::life(&job, &attempts, &hands, around.now),
        facts: facts::facts(&job),
        payload: facts::payload(&job, Shown::Masked),
        output: job.output.as_ref().map(|output| mask::payload(output, Shown::Masked)),
        job,
    }))
}

/// Of those of these jobs that somebody cancelled: by whom, and why.
pub async fn cancelled(store: &dyn Store, jobs: &[JobRecord]) -> Result<BTreeMap<JobId, String>, StoreError> {
    let hands = stopped::of(store, jobs).await?.into_iter();
    Ok(hands.filter_map(|(job, hand)| Some((job, stopped::told(stopped::by(&[hand])?)))).collect())
}

fn cause(reason: Reason) -> Cause {
    let Reason { text, due, said, evidence, remedy, stays } = reason;
    let said = said.map(|said| mask::said(&said, SAID));
    Cause { text, due, said, evidence: evidence.map(|text| mask::said(&text, SAID)), remedy, stays }
}

/// A queue and how many jobs of it stand where; `None` = nothing is known by this name.
pub async fn queue(
    store: &dyn Store,
    name: &QueueName,
    own: &OwnKinds,
) -> Result<Option<(QueueCounts, Told)>, StoreError> {
    let mut sight = Sight::empty();
    sight.own = own.clone();
    (sight.queues, sight.workers, sight.breakers, sight.parked) =
        tokio::try_join!(store.counts(), store.workers(), store.breakers(), store.parked())?;
    let (by_state, more) = (Vec::new(), Vec::new());
    let nothing = QueueCounts { queue: name.clone(), paused: false, by_state, more, oldest_due: None };
    let attended = Worked::by(&sight.workers).has(name);
    let queue = match sight.queues.iter().find(|queue| queue.queue == *name).cloned() {
        Some(queue) => queue,
        None if attended => nothing,
        // Counting may have ended before it.
        None if may_miss_a_queue(&sight.queues) && holds_jobs(store, name).await? => {
            QueueCounts { more: vec![State::Scheduled, State::Retrying], ..nothing }
        }
        None => return Ok(None),
    };
    if !attended && Worked::by(&sight.workers).leaves(&queue) {
        sight.next_kinds = store.next_kinds(std::slice::from_ref(name)).await?;
    }
    let dead = JobFilter { state: Some(State::Dead), queue: Some(name.clone()), ..JobFilter::default() };
    let dead = store.search(&dead, &Page { after: None, limit: SAMPLE }).await?.jobs;
    sight.causes = causes(dead);
    let (view, now) = (View::of(&sight), Timestamp::now());
    let mut told: Vec<Cause> =
        needs::of_queue(&queue, &view, now).into_iter().map(|(need, remedy)| needed(need, remedy)).collect();
    let held = held_kinds(store, name, &sight).await?;
    let holds = |kinds: &[Kind]| kinds.iter().any(|kind| held.contains(kind));
    let keeps = troubles::of_queue(&sight.workers, name, holds, now);
    let keeps = keeps.into_iter().map(|(need, stays)| Cause { stays, ..kept(need) });
    // A pause by a person stands before what would stop the work anyway.
    told.splice(usize::from(queue.paused)..usize::from(queue.paused), keeps);
    let said = needs::unattended(&queue, &view, now).is_some();
    told.extend(next(&queue, attended, &view).filter(|_| !said));
    told.extend(sight.breakers.iter().filter(|b| b.state != "closed" && needs::waiting(&queue) > 0).map(
        |b| {
            let need = needs::breaker(b, now);
            Cause { stays: false, remedy: None, ..needed(need, remedy("", "")) }
        },
    ));
    for cause in &mut told {
        cause.evidence.get_or_insert_with(|| who_works(&sight.workers));
    }
    Ok(Some((
        queue.clone(),
        Told { headline: headline(&queue), question: "What stands in its way?", causes: told },
    )))
}

/// Whether counting ended among jobs that wait for their time or run: a queue that has no others may be missing. Queues with jobs
/// that are due, dead or cancelled are found one by one, and what is completed makes no queue known.
pub fn may_miss_a_queue(counted: &[QueueCounts]) -> bool {
    const LATER: [State; 3] = [State::Scheduled, State::Retrying, State::Running];
    counted.iter().any(|queue| LATER.iter().any(|state| queue.more.contains(state)))
}

/// Whether any job is in the queue, asked of the jobs themselves: for what no count has met. A search that stopped early says yes.
pub async fn holds_jobs(store: &dyn Store, name: &QueueName) -> Result<bool, StoreError> {
    let filter = JobFilter { queue: Some(name.clone()), ..JobFilter::default() };
    let found = store.search(&filter, &Page { after: None, limit: 1 }).await?;
    Ok(!found.jobs.is_empty() || found.looked.is_some())
}

/// Kinds that a worker's trouble concerns and that wait or run in this queue. A search that stopped early, and kinds beyond
/// those that are looked for, may be there: a trouble that is told in vain is better than one that is not.
async fn held_kinds(store: &dyn Store, queue: &QueueName, sight: &Sight) -> Result<Vec<Kind>, StoreError> {
    const LIVE: [State; 4] = [State::Scheduled, State::Available, State::Retrying, State::Running];
    let theirs = sight.workers.iter().filter(|worker| worker.works(queue.as_str()));
    let kinds: BTreeSet<&Kind> = theirs.flat_map(|worker| &worker.troubles).flat_map(|t| &t.kinds).collect();
    let mut held: Vec<Kind> = kinds.iter().skip(KINDS).map(|kind| (*kind).clone()).collect();
    for kind in kinds.into_iter().take(KINDS) {
        for state in LIVE {
            let (state, queue) = (Some(state), Some(queue.clone()));
            let filter = JobFilter { state, queue, kind: Some(kind.clone()), ..JobFilter::default() };
            let found = store.search(&filter, &Page { after: None, limit: 1 }).await?;
            if !found.jobs.is_empty() || found.looked.is_some() {
                held.push(kind.clone());
                break;
            }
        }
    }
    Ok(held)
}

/// What keeps workers from their work, as a cause.
fn kept(mut need: Need) -> Cause {
    let told = need.command.take();
    Cause { remedy: told.clone(), ..needed(need, told.unwrap_or_default()) }
}

fn needed(need: Need, remedy: Remedy) -> Cause {
    let evidence = Some(need.why.trim_end_matches('.').to_owned());
    Cause { text: need.what, due: None, said: need.said, evidence, remedy: Some(remedy), stays: true }
}

/// What the jobs that wait are waiting for; a need says it when nobody works the queue for a while.
fn next(queue: &QueueCounts, attended: bool, view: &View<'_>) -> Option<Cause> {
    let (parked, more) = view.stranded_in(&queue.queue);
    let available = queue.count(State::Available).saturating_sub(parked);
    let later = queue.count(State::Scheduled) + queue.count(State::Retrying);
    let plain =
        |text: String| Cause { text, due: None, said: None, evidence: None, remedy: None, stays: false };
    match (queue.paused, available, later) {
        (true, ..) | (_, 0, 0) => None,
        (_, 1.., _) if attended => {
            let many = match (available, queue.more.contains(&State::Available)) {
                (1, false) => "1 job waits".to_owned(),
                (n, more) => format!("{} jobs wait", words::or_more(n, more)),
            };
            let running = words::or_more(queue.count(State::Running), queue.more.contains(&State::Running));
            // How many of them are parked nobody has counted.
            let or = if more { " or a worker that knows their kind" } else { "" };
            Some(plain(format!("{many} for a free slot{or}, {running} running")))
        }
        (_, 1.., _) => {
            let remedy = Some(needs::start(&queue.queue, view.sight));
            let text = format!("No worker takes jobs from {} now", queue.queue);
            let evidence = Some(who_works(&view.sight.workers));
            Some(Cause { remedy, evidence, stays: true, ..plain(text) })
        }
        (_, _, 1) if !needs::waits_more(queue) => Some(plain("1 job waits for its time".to_owned())),
        _ => {
            let later = words::or_more(later, needs::waits_more(queue));
            Some(plain(format!("{later} jobs wait for their time")))
        }
    }
}

fn headline(queue: &QueueCounts) -> String {
    let parts = [
        (needs::waiting(queue), needs::waits_more(queue), "waiting"),
        (queue.count(State::Running), queue.more.contains(&State::Running), "running"),
        (queue.count(State::Dead), queue.more.contains(&State::Dead), "dead"),
    ];
    let some: Vec<String> = parts
        .iter()
        .filter(|(n, ..)| *n > 0)
        .map(|(n, more, word)| format!("{} {word}", words::or_more(*n, *more)))
        .collect();
    match (some.is_empty(), queue.paused) {
        (true, paused) if parts.iter().any(|(_, more, _)| *more) => format!(
            "{}{}: none of the jobs that were counted is in it, there may be some further back",
            queue.queue,
            if paused { " is paused" } else { "" }
        ),
        (true, false) => format!("{} is empty", queue.queue),
        (true, true) => format!("{} is paused and empty", queue.queue),
        (false, paused) => {
            format!("{}: {}{}", queue.queue, some.join(", "), if paused { ", paused" } else { "" })
        }
    }
}

/// A time as it stands in a sentence.
pub fn moment(at: Timestamp, now: Timestamp) -> String {
    words::relative(at, now)
}
