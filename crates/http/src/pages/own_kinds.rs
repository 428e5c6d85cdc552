//! What the `backshift` binary of a site runs by itself. Of every other kind it is said that another program must run: a worker
//! of ours would only park its jobs.

use std::{collections::BTreeSet, sync::Arc};

use backshift_core::{Kind, QueueName, store::WorkerRecord};

use super::need::{Remedy, remedy};

/// Kinds that are named before it is said how many more there are.
const NAMED: usize = 3;

/// The kinds that a `backshift` started beside these pages handles, by the command that does; without more, none.
#[derive(Debug, Clone, Default)]
pub struct OwnKinds(Arc<(BTreeSet<Kind>, BTreeSet<Kind>)>);

impl OwnKinds {
    /// Those of `backshift worker`, and those that only `backshift dev` has.
    pub fn new(worker: impl IntoIterator<Item = Kind>, dev: impl IntoIterator<Item = Kind>) -> Self {
        Self(Arc::new((worker.into_iter().collect(), dev.into_iter().collect())))
    }

    /// The command that works this kind in this queue.
    fn command(&self, kind: &Kind, queue: &QueueName) -> Option<String> {
        let (worker, dev) = &*self.0;
        match (worker.contains(kind), dev.contains(kind)) {
            (true, _) => Some(format!("backshift worker --queue {queue}")),
            (false, true) => Some("backshift dev".to_owned()),
            (false, false) => None,
        }
    }

    /// What has one waiting job of a queue worked that nobody works; `otherwise` is for a job whose name is wrong.
    pub(super) fn start_for(
        &self,
        (kind, queue): (&Kind, &QueueName),
        workers: &[WorkerRecord],
        otherwise: String,
    ) -> Remedy {
        if let Some(command) = self.command(kind, queue) {
            return remedy("To start one:", command);
        }
        let lead = match workers.iter().find(|worker| worker.kinds.contains(kind)) {
            Some(worker) => format!(
                "{} handles {kind}, and works {}: give it a pool for {queue}. If a name is wrong:",
                worker.name, worker.queues
            ),
            None => format!("{}, with a pool for {queue}. If a name is wrong:", must_run(&[kind])),
        };
        remedy(lead, otherwise)
    }

    /// What has the jobs of a queue worked that nobody works; `kinds` are those that are next, as far as they are known.
    pub(super) fn start(&self, queue: &QueueName, kinds: &[Kind]) -> Remedy {
        let (ours, theirs): (Vec<&Kind>, Vec<&Kind>) =
            kinds.iter().partition(|kind| self.command(kind, queue).is_some());
        // One of them for all: `dev` runs what `worker` does.
        let command = ours.iter().filter_map(|kind| self.command(kind, queue)).min();
        match (command, theirs.is_empty()) {
            (Some(command), true) => remedy("To start one:", command),
            (Some(command), false) => {
                let lead = format!("{}, with a pool for {queue}. For the others:", must_run(&theirs));
                remedy(lead, command)
            }
            (None, _) => {
                let lead = format!("{}, with a pool for {queue}. What waits:", must_run(&theirs));
                remedy(lead, format!("backshift jobs list --queue {queue} --state available"))
            }
        }
    }
}

/// Whose program must run.
pub(super) fn must_run(kinds: &[&Kind]) -> String {
    let named: Vec<&str> = kinds.iter().take(NAMED).map(|kind| kind.as_str()).collect();
    let what = match (named.as_slice(), kinds.len().saturating_sub(NAMED)) {
        ([], _) => "its jobs".to_owned(),
        (named, 0) => named.join(", "),
        (named, more) => format!("{} and {more} more", named.join(", ")),
    };
    format!("The program that handles {what} must run")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(names: &[&str]) -> Vec<Kind> {
        names.iter().map(|name| Kind::new(*name).unwrap()).collect()
    }

    #[test]
    fn only_what_this_binary_handles_is_worked_by_its_worker() {
        let own = OwnKinds::new(kinds(&["email.send"]), kinds(&["demo.ok"]));
        let queue = QueueName::new("q").unwrap();
        for (waiting, lead, command) in [
            (&["email.send"][..], "To start one:", "backshift worker --queue q"),
            (&["demo.ok"], "To start one:", "backshift dev"),
            (&["demo.ok", "email.send"], "To start one:", "backshift dev"),
            (
                &["a.b"],
                "The program that handles a.b must run, with",
                "backshift jobs list --queue q --state available",
            ),
            (
                &[],
                "The program that handles its jobs must run, with",
                "backshift jobs list --queue q --state available",
            ),
            (
                &["a.b", "email.send"],
                "The program that handles a.b must run, with",
                "backshift worker --queue q",
            ),
            (
                &["a", "b", "c", "d", "e"],
                "handles a, b, c and 2 more must",
                "backshift jobs list --queue q --state available",
            ),
        ] {
            let told = own.start(&queue, &kinds(waiting));
            assert!(told.0.contains(lead) && told.1 == command, "{waiting:?}: {told:?}");
        }
        let nobody = OwnKinds::default().start(&queue, &kinds(&["email.send"]));
        assert!(nobody.0.contains("The program that handles email.send must run"), "{nobody:?}");
    }
}
