//! One thing that needs a person, wherever it is said: on the first page, on a job's page, in the terminal.
//!
//! Who finds them stands elsewhere: [`needs`](super::needs) reads them off counts, [`troubles`](super::troubles) off workers.

use backshift_core::store::WorkerRecord;
use minijinja::{Value, context};

/// A lead-in and the command.
pub type Remedy = (&'static str, String);

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
            lead => self.command.as_ref().map(|(lead, _)| *lead),
            command => self.command.as_ref().map(|(_, command)| command.as_str()), step => self.step.0, href => &self.step.1,
        }
    }
}

/// Whether a worker takes jobs from this queue.
pub(super) fn attended(workers: &[WorkerRecord], queue: &str) -> bool {
    workers.iter().any(|worker| worker.works(queue))
}
