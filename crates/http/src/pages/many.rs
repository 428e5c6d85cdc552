//! One deed to all jobs that match: asked with its number and what follows, then watched.
//!
//! Nothing is done to what a page would not show: words that are looked for in payloads would tell by their number what is
//! masked there. What was asked is what is done: jobs that are accepted after the question are left alone.

use axum::{
    Form,
    extract::{Path, Query},
    response::{IntoResponse, Redirect, Response},
};
use backshift_core::{
    Deed, JobFilter, Stands, State, StoreError, Sweep, Timestamp,
    sweep::{Matching, SweepRecord},
};
use minijinja::context;
use serde::Deserialize;
use uuid::Uuid;

use super::{
    Here, Pages, jobs, link, mask,
    search::{JobsQuery, Search, read},
    words,
};

/// After so long nobody is at work on it: a batch takes less.
const QUIET: i64 = 20;
/// Characters of what a person wrote.
const SAID: usize = 300;

/// What is wished.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wish {
    deed: String,
    state: String,
    find: String,
    /// When it was asked.
    until: String,
    /// How many there were then.
    jobs: u64,
    more: bool,
    why: String,
}

impl Wish {
    fn search(&self, now: Timestamp) -> Search {
        read(&JobsQuery { state: self.state.clone(), find: self.find.clone(), ..JobsQuery::default() }, now)
    }
}

fn number(matching: Matching) -> String {
    let lead = match (matching.jobs, matching.more) {
        // Counting was given up before the first one: there may be many further back.
        (0, true) => return "an unknown number of jobs".to_owned(),
        (_, true) => "more than ",
        (_, false) => "",
    };
    format!("{lead}{}", words::count(matching.jobs, "job", "jobs"))
}

/// What follows, in sentences.
pub(super) fn consequence(deed: Deed, state: Option<State>) -> Vec<&'static str> {
    let mut all = match deed {
        Deed::Retry => vec![
            "Each runs again as soon as a worker has a free slot, with fresh attempts.",
            "What a job did outside before it ended, such as a mail, may happen a second time.",
        ],
        Deed::Cancel if state == Some(State::Running) => {
            vec!["Each is asked to stop. Those that end before they hear it end as they would have."]
        }
        Deed::Cancel => vec!["None of them runs. They can be run again until they are deleted."],
        Deed::Delete => vec![
            "They are gone with their attempts and cannot be brought back.",
            "What a message broker may still deliver is left: it is deleted a day after its end.",
        ],
    };
    if (deed, state) == (Deed::Retry, Some(State::Dead)) {
        all.push(
            "On a message broker a new message is published; the old one stays in its queue of dead letters.",
        );
    }
    all
}

/// `GET /many`: the question.
pub(super) async fn ask(Here(pages): Here, Query(wish): Query<Wish>) -> Response {
    if wish.deed.is_empty() {
        return Redirect::to(&pages.at("/jobs")).into_response();
    }
    let now = Timestamp::now();
    let search = wish.search(now);
    let problem = search.problem.clone().or_else(|| search.unfit());
    let deed = match (problem, Deed::parse(&wish.deed)) {
        (Some(problem), _) => return pages.away(&StoreError::Rejected(problem)),
        (_, Some(deed)) if deed.applies_to_all(&search.filter) => deed,
        (_, deed) => return pages.away(&misfit(deed, search.filter.stands())),
    };
    let state = search.filter.state;
    let filter = JobFilter { until: Some(until(&search, now)), ..search.filter.clone() };
    let matching = match pages.store.matching(&filter).await {
        Ok(matching) => matching,
        Err(error) => return pages.away(&error),
    };
    let many = number(matching);
    let values = context! {
        title => words::deed(deed), deed => deed.as_str(), state => &wish.state, find => &wish.find, until => now.to_string(),
        jobs => matching.jobs, more => matching.more,
        question => format!("{} {many}?", words::deed(deed)),
        which => jobs::sentence(&JobFilter { until: None, ..filter.clone() }, 1), understood => words::capital(&search.understood().join(", ")),
        follows => consequence(deed, state), button => format!("{} {many}", words::deed(deed)),
        danger => deed != Deed::Retry,
        back => link::jobs(&[("state", &wish.state), ("find", &wish.find)]),
        command => jobs::command(&format!("jobs {}", deed.as_str()), &search.filter),
    };
    let here = if state == Some(State::Dead) { "/jobs?state=dead" } else { "/jobs" };
    pages.framed(here, "many.html", values).await
}

fn misfit(deed: Option<Deed>, stands: Option<&str>) -> StoreError {
    StoreError::Rejected(match (deed, stands) {
        (None, _) => "Nothing is known of such a deed.".to_owned(),
        (_, None) => "Choose a state first: what is done to jobs of every state is nobody's wish.".to_owned(),
        (Some(deed), Some(stands)) => {
            format!("{} is not for {stands} jobs. Nothing was changed.", words::deed(deed))
        }
    })
}

/// The time of the question, or the earlier one that was searched for.
fn until(search: &Search, asked: Timestamp) -> Timestamp {
    search.filter.until.map_or(asked, |until| until.min(asked))
}

/// `POST /many`: the answer was yes.
pub(super) async fn begin(Here(pages): Here, Form(wish): Form<Wish>) -> Response {
    let now = Timestamp::now();
    let search = wish.search(now);
    let problem = search.problem.clone().or_else(|| search.unfit());
    let deed = match (problem, Deed::parse(&wish.deed)) {
        (Some(problem), _) => return pages.away(&StoreError::Rejected(problem)),
        (None, None) => return pages.away(&misfit(None, None)),
        (None, Some(deed)) => deed,
    };
    let asked = wish.until.parse().map_or(now, |asked: Timestamp| asked.min(now));
    let filter = JobFilter { until: Some(until(&search, asked)), ..search.filter.clone() };
    let hand = pages.hand(&wish.why);
    let expected = Matching { jobs: wish.jobs, more: wish.more };
    let state = Stands::meant_by(&wish.state).map_or("", Stands::as_str);
    let words =
        if wish.state.is_empty() { wish.find.clone() } else { format!("state:{state} {}", wish.find) };
    let words = words.trim().to_owned();
    let sweep = Sweep { deed, filter, words, hand: hand.clone(), expected };
    // Before its row is written: what is refused for want of a place leaves none.
    if let Err(error) = pages.sweeping.room() {
        return pages.away(&error);
    }
    let begun = match pages.store.begin_sweep(&sweep).await {
        Ok(swept) => pages.go_on(swept.id, hand).map(|()| swept.id),
        Err(error) => Err(error),
    };
    match begun {
        Ok(id) => Redirect::to(&pages.at(&format!("/many/{id}"))).into_response(),
        Err(error) => pages.away(&error),
    }
}

fn gone(id: &str) -> StoreError {
    StoreError::NotFound(format!(
        "There is no sweep {}. They are forgotten after a while.",
        mask::said(id, 80)
    ))
}

async fn find(pages: &Pages, id: &str) -> Result<(Uuid, SweepRecord), StoreError> {
    let uuid: Uuid = id.parse().map_err(|_| gone(id))?;
    Ok((uuid, pages.store.find_sweep(uuid).await?.ok_or_else(|| gone(id))?))
}

/// `POST /many/{id}`: somebody goes on with it.
pub(super) async fn go_on(Here(pages): Here, Path(id): Path<String>) -> Response {
    let result = match find(&pages, &id).await {
        Ok((id, record)) if !record.swept.done => pages.go_on(id, pages.hand("")).map(|()| id),
        Ok((id, _)) => Ok(id),
        Err(error) => Err(error),
    };
    match result {
        Ok(id) => Redirect::to(&pages.at(&format!("/many/{id}"))).into_response(),
        Err(error) => pages.away(&error),
    }
}

/// `GET /many/{id}`: how far it is.
pub(super) async fn watch(Here(pages): Here, Path(id): Path<String>) -> Response {
    let (id, record) = match find(&pages, &id).await {
        Ok(found) => found,
        Err(error) => return pages.away(&error),
    };
    let SweepRecord { sweep, swept, begun_at, touched_at } = record;
    let now = Timestamp::now();
    let here = pages.sweeping.is_at_work(id);
    let quiet = !here && now.as_second() - touched_at.as_second() > QUIET;
    let problem = pages.sweeping.problem(id, touched_at).filter(|_| !swept.done);
    let stopped = !swept.done && (quiet || problem.is_some());
    let expected = sweep.expected.jobs.max(swept.found);
    let percent = match (swept.done, expected) {
        (true, _) => 100,
        (false, 0) => 0,
        (false, expected) => (swept.found * 100 / expected).min(99),
    };
    let left = swept.found - swept.changed.min(swept.found);
    let values = context! {
        title => words::deed(sweep.deed), id => id.to_string(), href => link::sweep(id),
        sentence => sentence(sweep.deed, &swept, stopped), percent, done => swept.done, stopped,
        problem => problem.map(|problem| mask::said(&problem, SAID)),
        looked => words::number(swept.found), expected => number(Matching { jobs: expected, ..sweep.expected }),
        changed => words::number(swept.changed),
        left => (left > 0).then(|| left_alone(sweep.deed, left)),
        wish => mask::said(&sweep.words, SAID), who => mask::name(&sweep.hand.who, SAID),
        why => sweep.hand.why.as_ref().map(|why| mask::said(why, SAID)),
        begun => words::moment(begun_at, now), took => words::span(begun_at, touched_at),
        moves => !swept.done && !stopped,
    };
    pages.framed("/hands", "sweep.html", values).await
}

fn sentence(deed: Deed, swept: &backshift_core::sweep::Swept, stopped: bool) -> String {
    let many = words::count(swept.changed, "job", "jobs");
    match (swept.done, stopped, deed) {
        (true, _, Deed::Retry) => format!("{many} made to run again."),
        (true, _, Deed::Cancel) => format!("{many} cancelled or asked to stop."),
        (true, _, Deed::Delete) => format!("{many} deleted."),
        (false, true, _) => format!("This has stopped after {many}."),
        (false, false, Deed::Retry) => "Making jobs run again.".to_owned(),
        (false, false, Deed::Cancel) => "Cancelling jobs.".to_owned(),
        (false, false, Deed::Delete) => "Deleting jobs.".to_owned(),
    }
}

fn left_alone(deed: Deed, left: u64) -> String {
    let many = words::count(left, "job was", "jobs were");
    let why = match deed {
        Deed::Retry => {
            "changed by somebody else meanwhile, without a payload that was kept, or with a held unique key"
        }
        Deed::Cancel => "changed by somebody else meanwhile, or ended",
        Deed::Delete => "changed by somebody else meanwhile, or a broker may still deliver them",
    };
    format!("{many} left alone: {why}.")
}
