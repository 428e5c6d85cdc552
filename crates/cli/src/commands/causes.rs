//! What `jobs show`, `jobs explain` and `queues explain` say of causes: the words of the pages, on a terminal.
//!
//! `explain` answers with its exit code too: 0 = nobody needs to act, 1 = somebody must. A name that nobody knows is a usage
//! error (2), so that 1 means only that.

use backshift_core::{JobId, Store, Timestamp};
use backshift_http::pages::told::{self, Cause, JobTold, Told};
use serde_json::{Value, json};

use crate::{config::Config, domains, exit::Failure, output};

/// What the page of a job says.
pub(super) async fn told_of(id: JobId, config: &Config, store: &dyn Store) -> Result<JobTold, Failure> {
    match told::job(store, id, &domains::own_kinds(config)).await? {
        Some(found) => Ok(found),
        None => Err(gone(id, store).await),
    }
}

/// That nobody knows this job: wrong use, as a name that nobody knows is everywhere. Who deleted it is said.
pub(super) async fn gone(id: JobId, store: &dyn Store) -> Failure {
    match told::gone(store, id).await {
        Ok(text) => Failure::usage(text),
        Err(error) => error.into(),
    }
}

/// The causes, in order.
pub(super) fn because(told: &Told) {
    if told.causes.is_empty() {
        return;
    }
    output::line(told.question);
    let now = Timestamp::now();
    for (place, cause) in told.causes.iter().enumerate() {
        let when = cause.due.map_or(String::new(), |due| format!(", {}", told::moment(due, now)));
        let said = cause.said.as_ref().map_or(".".to_owned(), |said| format!(": {said}"));
        output::line(format!("  {}. {}{when}{said}", place + 1, cause.text));
        if let Some(evidence) = &cause.evidence {
            output::line(format!("     seen: {evidence}"));
        }
        if let Some((lead, command)) = &cause.remedy {
            output::line(format!("     {lead} {command}"));
        }
    }
}

pub(super) fn json(told: &Told) -> Value {
    let cause = |cause: &Cause| {
        json!({
            "cause": cause.text, "at": cause.due.map(output::time), "said": cause.said, "evidence": cause.evidence,
            "lead": cause.remedy.as_ref().map(|(lead, _)| lead),
            "command": cause.remedy.as_ref().map(|(_, command)| command), "needs_somebody": cause.stays,
        })
    };
    json!({
        "headline": told.headline, "question": told.question, "needs_somebody": told.needs_somebody(),
        "causes": told.causes.iter().map(cause).collect::<Vec<_>>(),
    })
}

/// The end: exit code and, for people, the sentence that goes with it.
pub(super) fn verdict(told: &Told) -> Result<(), Failure> {
    let Some(first) = told.causes.iter().find(|cause| cause.stays) else { return Ok(()) };
    // With its condition: a command that cancels or deletes is not for whoever reads the last line only.
    let remedy = first.remedy.as_ref().map_or(String::new(), |(lead, command)| format!(". {lead} {command}"));
    Err(Failure::failed(format!("somebody must act{remedy}")))
}
