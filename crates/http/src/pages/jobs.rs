//! The list of jobs, newest first, and what somebody searches for in it. How far a search looked is said: it has a bound.

use std::collections::BTreeMap;

use axum::{
    extract::Query,
    response::{IntoResponse, Redirect, Response},
};
use backshift_core::{
    Deed, EffectState, JobFilter, JobId, JobRecord, Kind, Page, QueueName, Stands, State, Timestamp,
    record::Found, sweep::HandRecord,
};
use minijinja::{Value, context};

use super::{
    Here, link, mask,
    search::{JobsQuery, Search, read},
    stopped, words,
};

const ROWS: u32 = 50;
/// Characters of what the other side said.
const SAID: usize = 160;

/// `GET /jobs`.
pub(super) async fn list(Here(pages): Here, Query(asked): Query<JobsQuery>) -> Response {
    let mut search = read(&asked, Timestamp::now());
    if let Some(id) = search.id {
        match pages.store.find(JobId(id)).await {
            Ok(Some(_)) => return Redirect::to(&pages.at(&format!("/jobs/{id}"))).into_response(),
            // Then it may be a user's.
            Ok(None) if search.filter.user.is_none() => search.filter.user = Some(id),
            Ok(None) => {}
            Err(error) => return pages.away(&error),
        }
    }
    let page = Page { after: asked.after.parse().ok(), limit: ROWS };
    let found = match &search.problem {
        Some(_) => Ok(Found { jobs: Vec::new(), looked: None }),
        None => pages.store.search(&search.filter, &page).await,
    };
    let found = match found {
        Ok(found) => found,
        Err(error) => return pages.away(&error),
    };
    let here = if search.filter.state == Some(State::Dead) { "/jobs?state=dead" } else { "/jobs" };
    let hands = match stopped::of(&*pages.store, &found.jobs).await {
        Ok(hands) => hands,
        Err(error) => return pages.away(&error),
    };
    pages.framed(here, "jobs.html", values(&asked, &search, &found, &hands)).await
}

fn values(asked: &JobsQuery, search: &Search, found: &Found, hands: &BTreeMap<JobId, HandRecord>) -> Value {
    let (now, filter) = (Timestamp::now(), &search.filter);
    let state = filter.stands().unwrap_or_default();
    // A state among the words stays there; the one of the address is what the tabs change.
    let chosen = if asked.state.is_empty() { "" } else { state };
    let tab = |name: &str, to: &str| {
        context! { name, href => link::jobs(&[("state", to), ("find", &asked.find)]), here => chosen == to }
    };
    let causes = (filter.state == Some(State::Dead) && search.problem.is_none() && search.unfit().is_none())
        .then(|| link::causes(&asked.find));
    let mut tabs = vec![tab("all", "")];
    tabs.extend(Stands::words().map(|word| tab(word, word)));
    let on = |after: JobId| {
        link::jobs(&[("state", &asked.state), ("find", &asked.find), ("after", &after.to_string())])
    };
    let full = found.jobs.len() == ROWS as usize;
    let older = found.jobs.last().filter(|_| full).map(|last| on(last.id));
    let shown: Vec<&JobRecord> = found.jobs.iter().filter(|job| is_seen(job, filter)).collect();
    let looked = found.looked.map(|looked| {
        let many = words::count(u64::from(looked.jobs), "job", "jobs");
        let lead = if asked.after.is_empty() { "the newest " } else { "another " };
        context! { many => format!("{lead}{many}"), back_to => words::full(looked.back_to), href => on(looked.last) }
    });
    let reads_texts = !(filter.words.is_empty() && filter.error.is_empty() && filter.payload.is_empty());
    context! {
        title => "Jobs", tabs, older, looked, state => chosen,
        problem => &search.problem, find => &asked.find, understood => search.understood().join(", "),
        nobody => search.id.map(|id| format!("No job has the id {id}.")),
        filtered => *filter != JobFilter::default() || search.problem.is_some(),
        // A search through texts is not repeated whenever something changes.
        live => !reads_texts,
        choices => choices(asked, search), causes,
        jobs => shown.iter().map(|job| row(job, hands.get(&job.id), now)).collect::<Vec<_>>(),
        sentence => match &search.problem {
            Some(_) => "Nothing was searched.".to_owned(),
            None => sentence(filter, shown.len()),
        },
        command => search.problem.is_none().then(|| command("jobs list", filter)).flatten(),
    }
}

/// What can be done to all that match, as buttons.
fn choices(asked: &JobsQuery, search: &Search) -> Vec<Value> {
    if search.problem.is_some() || search.unfit().is_some() {
        return Vec::new();
    }
    let deeds = [Deed::Retry, Deed::Cancel, Deed::Delete];
    let deeds = deeds.into_iter().filter(|deed| deed.applies_to_all(&search.filter));
    // A state among the words stays there.
    let of_address = Stands::meant_by(&asked.state).map_or("", Stands::as_str);
    deeds
        .map(|deed| context! { name => words::deed(deed), href => link::many(deed, of_address, &asked.find) })
        .collect()
}

/// Whether the words stand in something that may be seen. Without this a search could spell out secrets that no page shows.
fn is_seen(job: &JobRecord, filter: &JobFilter) -> bool {
    if filter.words.is_empty() && filter.payload.is_empty() {
        return true;
    }
    let payload = job.payload.as_deref().map(mask::searchable).unwrap_or_default();
    let named = [
        Some(job.kind.as_str()),
        Some(job.queue.as_str()),
        job.error.as_deref(),
        job.reason.as_deref(),
        job.note.as_deref(),
    ];
    let named = named.map(Option::unwrap_or_default).join(" ").to_lowercase();
    let in_payload = |word: &String| payload.contains(&mask::squeezed(word));
    filter.payload.iter().all(in_payload)
        && filter.words.iter().all(|word| named.contains(&word.to_lowercase()) || in_payload(word))
}

/// The headline of the list.
pub(super) fn sentence(filter: &JobFilter, found: usize) -> String {
    let dead = JobFilter { state: Some(State::Dead), ..JobFilter::default() };
    let mut text = match (filter.state.filter(|_| filter.standing.is_none()), found) {
        (_, 0) if filter.standing.is_some() => format!("No {} jobs", filter.stands().unwrap_or_default()),
        (_, _) if filter.standing.is_some() => {
            format!("{} jobs", words::capital(filter.stands().unwrap_or_default()))
        }
        (None, 0) if *filter == JobFilter::default() => return "No jobs yet.".to_owned(),
        (Some(State::Dead), 1..) if *filter == dead => return "Dead letters wait for you.".to_owned(),
        (Some(State::Dead), 0) => "No dead letters".to_owned(),
        (Some(State::Dead), _) => "Dead letters".to_owned(),
        (Some(state), 0) => format!("No {} jobs", state.as_str()),
        (Some(state), _) => format!("{} jobs", words::capital(state.as_str())),
        (None, 0) => "No jobs".to_owned(),
        (None, _) if *filter == JobFilter::default() => "All jobs".to_owned(),
        (None, _) => "Jobs".to_owned(),
    };
    let parts = [
        ("of kind", filter.kind.as_ref().map(Kind::as_str)),
        ("in", filter.queue.as_ref().map(QueueName::as_str)),
        ("with effect", filter.effect.map(EffectState::as_str)),
    ];
    parts.into_iter().filter_map(|(word, value)| Some((word, value?))).for_each(|(word, value)| {
        text.push_str(&format!(" {word} {value}"));
    });
    text + "."
}

/// The same jobs on the command line; `None` = a cause has characters that nobody sees, and would bring them into a shell.
pub(super) fn command(verb: &str, filter: &JobFilter) -> Option<String> {
    if filter.cause.as_deref().is_some_and(|cause| !mask::is_plain(cause)) {
        return None;
    }
    let mut text = format!("backshift {verb}");
    let flags = [
        ("state", filter.stands().map(str::to_owned)),
        ("kind", filter.kind.as_ref().map(Kind::to_string)),
        ("queue", filter.queue.as_ref().map(QueueName::to_string)),
        ("effect", filter.effect.map(|effect| effect.as_str().to_owned())),
        ("user", filter.user.map(|user| user.to_string())),
        ("since", filter.since.map(|at| at.to_string())),
        ("until", filter.until.map(|at| at.to_string())),
        ("cause", filter.cause.as_deref().map(in_shell)),
    ];
    flags.into_iter().filter_map(|(flag, value)| Some((flag, value?))).for_each(|(flag, value)| {
        text.push_str(&format!(" --{flag} {value}"));
    });
    for (flag, words) in [("text", &filter.words), ("error", &filter.error), ("payload", &filter.payload)] {
        words.iter().for_each(|word| text.push_str(&format!(" --{flag}={}", in_shell(word))));
    }
    Some(text)
}

/// A word that a shell hands on as it is.
fn in_shell(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A job as a row shows it, and as the head of its page; `hand` is the last that was laid on it.
pub(super) fn row(job: &JobRecord, hand: Option<&HandRecord>, now: Timestamp) -> Value {
    let (lead, when) = match job.state {
        State::Scheduled | State::Retrying => ("due ", job.run_at),
        _ => ("", job.finished_at.unwrap_or(job.created_at)),
    };
    let said = job.error.as_ref().filter(|_| job.state != State::Completed).or(job.note.as_ref());
    let said = said.map(|text| mask::said(text, SAID)).unwrap_or_default();
    let by = hand
        .filter(|_| job.state == State::Cancelled)
        .and_then(|hand| stopped::by(std::slice::from_ref(hand)));
    context! {
        id => job.id.to_string(),
        href => link::job(job.id),
        kind => job.kind.as_str(),
        queue => job.queue.as_str(),
        queue_href => link::jobs_of_queue(&job.queue),
        tone => job.state.as_str(),
        word => words::state(job),
        lead,
        when => words::moment(when, now),
        said => by.map_or(said, stopped::told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_told_in_words_and_as_a_command() {
        let asked = JobsQuery {
            state: "failed".into(),
            find: "kind:email.send queue:mail \"it's late\"".into(),
            ..JobsQuery::default()
        };
        let search = read(&asked, Timestamp::UNIX_EPOCH);
        assert_eq!(
            command("jobs list", &search.filter).unwrap(),
            "backshift jobs list --state dead --kind email.send --queue mail --text='it'\\''s late'"
        );
        assert_eq!(sentence(&search.filter, 1), "Dead letters of kind email.send in mail.");
        assert_eq!(search.understood(), ["somewhere \u{201c}it's late\u{201d}"]);
        assert_eq!(sentence(&JobFilter::default(), 0), "No jobs yet.");
        for hidden in ["a\u{202e}b", "a\nb", "a\u{1b}[2J"] {
            let filter = JobFilter { cause: Some(hidden.into()), ..JobFilter::default() };
            assert_eq!(command("jobs retry", &filter), None, "{hidden:?} is not copied from a page");
        }
    }
}
