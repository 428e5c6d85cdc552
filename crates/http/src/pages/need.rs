//! One thing that needs a person, wherever it is said: on the first page, on a job's page, in the terminal.
//!
//! Who finds them stands elsewhere: [`needs`](super::needs) reads them off counts, [`troubles`](super::troubles) off workers.

use std::borrow::Cow;

use backshift_core::store::WorkerRecord;
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
    /// How many things this line stands for.
    pub(super) things: u64,
    /// The next step and where it is.
    pub(super) step: (&'static str, Value),
}

impl Need {
    /// Leads there.
    pub(super) fn to(self, step: &'static str, path: &'static str) -> Self {
        Self { step: (step, Value::from_safe_string(path.to_owned())), ..self }
    }

    /// As the template reads it.
    pub(super) fn value(&self) -> Value {
        context! {
            tone => self.tone, what => self.what.as_str(), said => self.said.as_deref(), why => self.why.as_str(),
            lead => self.command.as_ref().map(|(lead, _)| lead.as_ref()),
            command => self.command.as_ref().map(|(_, command)| command.as_str()), step => self.step.0, href => &self.step.1,
        }
    }
}

/// A line for all the others of a sort; [`to`](Need::to) leads to their list.
pub(super) fn rest(tone: &'static str, what: String) -> Need {
    let step = ("See them", Value::from_safe_string("/overview".to_owned()));
    Need {
        tone,
        what,
        said: None,
        why: "The worst are told above.".to_owned(),
        command: None,
        things: 1,
        step,
    }
}

/// Lines that are shown of one sort of needs before it is said how many more there are.
pub(super) const SHOWN: usize = 5;

/// The first few of these, which are sorted, and one line for all the others; a line for one would say less than it.
pub(super) fn few<T>(
    all: Vec<T>,
    told: impl FnMut(&T) -> Need,
    others: impl FnOnce(&[T], u64) -> Need,
) -> Vec<Need> {
    let shown = if all.len() <= SHOWN + 1 { all.len() } else { SHOWN };
    let mut needs: Vec<Need> = all.iter().take(shown).map(told).collect();
    let rest = all.get(shown..).unwrap_or_default();
    if !rest.is_empty() {
        let things = rest.len() as u64;
        needs.push(Need { things, ..others(rest, things) });
    }
    needs
}

/// Whether a worker takes jobs from this queue.
pub(super) fn attended(workers: &[WorkerRecord], queue: &str) -> bool {
    workers.iter().any(|worker| worker.works(queue))
}
