//! One thing that needs a person, wherever it is said: on the first page, on a job's page, in the terminal.
//!
//! Who finds them stands elsewhere: [`needs`](super::needs) reads them off counts, [`troubles`](super::troubles) off workers.

use std::borrow::Cow;

use backshift_core::{QueueCounts, State, store::WorkerRecord};
use minijinja::{Value, context};

/// A lead-in and the command.
pub type Remedy = (Cow<'static, str>, String);

/// Makes one.
pub(super) fn remedy(lead: impl Into<Cow<'static, str>>, command: impl Into<String>) -> Remedy {
    (lead.into(), command.into())
}

/// One thing that needs a person.
#[derive(Debug, Clone)]
pub(super) struct Need {
    /// The state whose colour it has.
    pub(super) tone: &'static str,
    /// What is the matter.
    pub(super) what: String,
    /// The words of the other side that belong to it.
    pub(super) said: Option<String>,
    /// Why, and what follows.
    pub(super) why: String,
    /// A lead-in and the command that helps.
    pub(super) command: Option<Remedy>,
    /// The next step and where it is.
    pub(super) step: (&'static str, Value),
}

impl Need {
    /// As the template reads it.
    pub(super) fn value(&self) -> Value {
        context! {
            tone => self.tone, what => self.what.as_str(), said => self.said.as_deref(), why => self.why.as_str(),
            lead => self.command.as_ref().map(|(lead, _)| lead.as_ref()),
            command => self.command.as_ref().map(|(_, command)| command.as_str()), step => self.step.0, href => &self.step.1,
        }
    }
}

/// Whether a worker takes jobs from this queue.
pub(super) fn attended(workers: &[WorkerRecord], queue: &str) -> bool {
    workers.iter().any(|worker| worker.works(queue))
}

/// Whether nobody takes what may run now in it.
pub(super) fn is_unattended(queue: &QueueCounts, workers: &[WorkerRecord]) -> bool {
    queue.count(State::Available) > 0 && !queue.paused && !attended(workers, queue.queue.as_str())
}
