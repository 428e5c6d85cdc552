//! Dead letters by cause: how many each, since when, and the way to run all of one cause again or to delete them.

use axum::{extract::Query, response::Response};
use backshift_core::{
    Deed, JobFilter, Timestamp,
    sweep::{CauseRecord, Causes},
};
use minijinja::{Value, context};

use super::{
    Here, jobs, link, mask,
    search::{JobsQuery, Search, quoted, read},
    words,
};

/// Characters of what the other side said.
const SAID: usize = 300;

/// `GET /causes`.
pub(super) async fn page(Here(pages): Here, Query(asked): Query<JobsQuery>) -> Response {
    let asked = JobsQuery { state: "dead".to_owned(), ..asked };
    let search = read(&asked, Timestamp::now());
    let problem = search.problem.clone().or_else(|| search.unfit());
    let found = match &problem {
        Some(_) => Ok(Causes::default()),
        None => pages.store.causes(&search.filter).await,
    };
    let Causes { causes, back_to } = match found {
        Ok(causes) => causes,
        Err(error) => return pages.away(&error),
    };
    let now = Timestamp::now();
    let sentence = match causes.len() {
        0 if problem.is_some() => "Nothing was grouped.".to_owned(),
        0 if back_to.is_some() => "None among the newest dead letters.".to_owned(),
        0 => "No dead letters.".to_owned(),
        n => format!("Dead letters of {}.", words::count(n as u64, "cause", "causes")),
    };
    let filter = JobFilter { state: None, ..search.filter.clone() };
    let values = context! {
        title => "Dead letters by cause", sentence, find => &asked.find,
        command => problem.is_none().then(|| jobs::command("dead group", &filter)).flatten(),
        back_to => back_to.map(words::full),
        earlier => back_to.filter(|_| search.filter.until.is_none())
            .map(|at| link::causes(format!("{} until:{at}", asked.find).trim_start())),
        filtered => filter != JobFilter::default(), understood => search.understood().join(", "), problem,
        causes => causes.iter().map(|cause| row(cause, &search, &asked.find, now)).collect::<Vec<_>>(),
    };
    pages.framed("/jobs?state=dead", "causes.html", values).await
}

fn row(cause: &CauseRecord, search: &Search, find: &str, now: Timestamp) -> Value {
    // A search has one cause; where it names one already, that is this.
    let narrow = |text: &String| match &search.filter.cause {
        Some(_) => find.to_owned(),
        None => format!("{find} cause:{}", quoted(text)),
    };
    let wish = cause.fingerprint.as_ref().map(narrow);
    let wish = wish.as_deref().map(str::trim_start);
    let what = cause.fingerprint.as_ref().or(cause.error.as_ref());
    let said = cause.error.as_ref().filter(|_| cause.fingerprint.is_some());
    context! {
        what => what.map_or("No error was given".to_owned(), |what| mask::said(what, SAID)),
        said => said.map(|said| mask::said(said, SAID)),
        jobs => words::number(cause.jobs),
        first => words::moment(cause.first, now),
        last => (!at_once(cause)).then(|| words::moment(cause.last, now)),
        example => link::job(cause.example),
        see => wish.map(|wish| link::jobs(&[("state", "dead"), ("find", wish)])),
        retry => wish.map(|wish| link::many(Deed::Retry, "dead", wish)),
        delete => wish.map(|wish| link::many(Deed::Delete, "dead", wish)),
    }
}

/// All within a minute, for which one time is enough.
fn at_once(cause: &CauseRecord) -> bool {
    cause.last.as_millisecond() - cause.first.as_millisecond() < 60_000
}
