//! The list of jobs: by state, kind, queue and effect, newest first.

use axum::{
    extract::{Query, State as Extract},
    response::{IntoResponse, Redirect, Response},
};
use backshift_core::{EffectState, JobFilter, JobId, JobRecord, Kind, Page, QueueName, State, Timestamp};
use minijinja::{Value, context};
use serde::Deserialize;

use super::{Pages, link, mask, words};

const ROWS: u32 = 50;
/// Characters of what the other side said.
const SAID: usize = 160;

/// What the list is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    pub(super) state: String,
    pub(super) find: String,
    pub(super) after: String,
}

/// `GET /jobs`.
pub(super) async fn list(Extract(pages): Extract<Pages>, Query(asked): Query<Asked>) -> Response {
    if let Ok(id) = asked.find.trim().parse::<JobId>() {
        return Redirect::to(&format!("/jobs/{id}")).into_response();
    }
    let (filter, problem) = filter(&asked);
    let page = Page { after: asked.after.parse().ok(), limit: ROWS };
    let jobs = match pages.store.list(&filter, &page).await {
        Ok(jobs) => jobs,
        Err(error) => return pages.away(&error),
    };
    let here = if filter.state == Some(State::Dead) { "/jobs?state=dead" } else { "/jobs" };
    pages.framed(here, "jobs.html", values(&asked, &filter, problem, &jobs)).await
}

/// Reads `kind:`, `queue:` and `effect:` words; what is none of them is named as the problem.
pub(super) fn filter(asked: &Asked) -> (JobFilter, Option<String>) {
    let mut filter = JobFilter { state: State::parse(&asked.state), ..JobFilter::default() };
    let mut problem = None;
    for word in asked.find.split_whitespace() {
        let known = match word.split_once(':') {
            Some(("kind", name)) => Kind::new(name).map(|kind| filter.kind = Some(kind)).is_ok(),
            Some(("queue", name)) => QueueName::new(name).map(|queue| filter.queue = Some(queue)).is_ok(),
            Some(("effect", name)) => {
                EffectState::parse(name).map(|effect| filter.effect = Some(effect)).is_some()
            }
            _ => false,
        };
        if !known {
            let word = mask::said(word, 80);
            problem =
                Some(format!("\u{201c}{word}\u{201d} is no job id, kind:NAME, queue:NAME or effect:WORD."));
        }
    }
    (filter, problem)
}

fn values(asked: &Asked, filter: &JobFilter, problem: Option<String>, jobs: &[JobRecord]) -> Value {
    let now = Timestamp::now();
    let state = filter.state.map_or("", State::as_str);
    let tab = |name: &str, to: &str| {
        context! { name, href => link::jobs(&[("state", to), ("find", &asked.find)]), here => state == to }
    };
    let mut tabs = vec![tab("all", "")];
    tabs.extend(State::ALL.iter().map(|state| tab(state.as_str(), state.as_str())));
    let older = jobs.last().filter(|_| jobs.len() == ROWS as usize).map(|last| {
        let after = last.id.to_string();
        link::jobs(&[("state", state), ("find", &asked.find), ("after", &after)])
    });
    context! {
        title => "Jobs", sentence => sentence(filter, jobs.len()), tabs, older, problem,
        find => &asked.find, state,
        filtered => *filter != JobFilter::default(),
        jobs => jobs.iter().map(|job| row(job, now)).collect::<Vec<_>>(),
        command => command(filter),
    }
}

/// The headline of the list.
pub(super) fn sentence(filter: &JobFilter, found: usize) -> String {
    let dead = JobFilter { state: Some(State::Dead), ..JobFilter::default() };
    let mut text = match (filter.state, found) {
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

/// The same list on the command line.
pub(super) fn command(filter: &JobFilter) -> String {
    let mut text = String::from("backshift jobs list");
    let flags = [
        ("state", filter.state.map(State::as_str)),
        ("kind", filter.kind.as_ref().map(Kind::as_str)),
        ("queue", filter.queue.as_ref().map(QueueName::as_str)),
        ("effect", filter.effect.map(EffectState::as_str)),
    ];
    flags.into_iter().filter_map(|(flag, value)| Some((flag, value?))).for_each(|(flag, value)| {
        text.push_str(&format!(" --{flag} {value}"));
    });
    text
}

/// A job as a row shows it, and as the head of its page.
pub(super) fn row(job: &JobRecord, now: Timestamp) -> Value {
    let (lead, when) = match job.state {
        State::Scheduled | State::Retrying => ("due ", job.run_at),
        _ => ("", job.finished_at.unwrap_or(job.created_at)),
    };
    let said = job.error.as_ref().filter(|_| job.state != State::Completed).or(job.note.as_ref());
    context! {
        id => job.id.to_string(),
        href => link::job(job.id),
        kind => job.kind.as_str(),
        queue => job.queue.as_str(),
        tone => job.state.as_str(),
        word => words::state(job),
        lead,
        when => words::moment(when, now),
        said => said.map(|text| mask::said(text, SAID)).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_narrow_the_list_and_the_rest_is_named() {
        let asked = Asked {
            state: "dead".into(),
            find: "kind:email.send queue:mail nonsense".into(),
            ..Asked::default()
        };
        let (filter, problem) = filter(&asked);
        assert_eq!(command(&filter), "backshift jobs list --state dead --kind email.send --queue mail");
        assert_eq!(sentence(&filter, 1), "Dead letters of kind email.send in mail.");
        assert!(problem.unwrap().contains("nonsense"));
        assert_eq!(sentence(&JobFilter::default(), 0), "No jobs yet.");
    }
}
