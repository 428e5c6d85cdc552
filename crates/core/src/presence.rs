//! Worker processes as others see them: who lives, what it works, and what keeps it from its work.
//!
//! A trouble is the worker's own word about itself. It reaches the store with a sign of life, so a process whose troubles
//! are old may have lost the store as well.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Kind, QueueName, WorkerName};

/// A worker process as it announces itself.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerRecord {
    /// Its name.
    pub name: WorkerName,
    /// `queue:slots`, comma-separated.
    pub queues: String,
    /// The kinds that it has a handler for.
    pub kinds: Vec<Kind>,
    /// When it began.
    pub started_at: Timestamp,
    /// Its last sign of life.
    pub seen_at: Timestamp,
    /// Jobs that run in it now.
    pub running: u32,
    /// What keeps it from its work; empty = it is well.
    pub troubles: Vec<Trouble>,
}

impl WorkerRecord {
    /// One that began at this time, with `queue:slots` pools; it knows no kind, runs nothing and is well.
    pub fn new(name: WorkerName, queues: impl Into<String>, at: Timestamp) -> Self {
        let (kinds, troubles) = (Vec::new(), Vec::new());
        Self { name, queues: queues.into(), kinds, started_at: at, seen_at: at, running: 0, troubles }
    }

    /// The queues that it works; a queue's name may have colons.
    pub fn queue_names(&self) -> impl Iterator<Item = &str> {
        self.queues.split(',').filter_map(|pool| Some(pool.trim().rsplit_once(':')?.0))
    }

    /// Whether it takes jobs from this queue.
    pub fn works(&self, queue: &str) -> bool {
        self.queue_names().any(|name| name == queue)
    }
}

/// Kept while the process lives; its end is noticed at once by other workers (session lock or locked file).
pub trait Liveness: Send + Sync {
    /// Whether the sign still stands; a lost session lock must be taken again.
    fn stands(&self) -> bool;
}

/// Something that keeps a worker from its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The part that has it: `mail`, `queue orders`, `store results`.
    pub part: String,
    /// What is wrong, in the words of the other side where there are any; no credentials.
    pub said: String,
    /// What that does to the work.
    pub harm: Harm,
    /// Since when.
    pub since: Timestamp,
    /// When it tries again by itself, where it knows.
    #[serde(default)]
    pub next: Option<Timestamp>,
    /// The queue that it concerns; `None` = whatever the part has to do with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueName>,
    /// The kinds that it concerns; empty = whatever the part has to do with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<Kind>,
}

/// What a trouble does to the work, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Harm {
    /// The worker cannot take jobs or settle them: it is not ready.
    Unready,
    /// Jobs are held back until a probe succeeds; no attempt is used up.
    Held,
    /// Attempts fail, and each of them counts.
    Failing,
}

impl Trouble {
    /// The part of a pool.
    pub fn part_of(queue: &QueueName) -> String {
        format!("queue {queue}")
    }

    /// Whether jobs of this queue meet it; whether those of one kind do is a question of [`Self::kinds`] as well.
    pub fn meets(&self, queue: &QueueName) -> bool {
        self.queue.as_ref().is_none_or(|concerned| concerned == queue)
    }

    /// The most bytes that a store keeps of all troubles of one worker.
    pub const KEPT: usize = 4096;
    /// The most characters of a part and of what was said.
    const CHARACTERS: (usize, usize) = (160, 400);
    /// The most kinds of one trouble.
    const KINDS: usize = 16;

    /// As a store keeps them: JSON, and only as many as [`Self::KEPT`] has room for.
    pub fn written(troubles: &[Self]) -> String {
        let cut = |text: &str, most| text.replace('\0', "\u{FFFD}").chars().take(most).collect();
        let (part, said) = Self::CHARACTERS;
        let short = |trouble: &Self| Self {
            part: cut(&trouble.part, part),
            said: cut(&trouble.said, said),
            kinds: trouble.kinds.iter().take(Self::KINDS).cloned().collect(),
            ..trouble.clone()
        };
        // More than fit anyway are not even put together.
        let mut kept: Vec<Self> = troubles.iter().take(Self::KEPT / 64).map(short).collect();
        loop {
            let text = if kept.is_empty() {
                String::new()
            } else {
                serde_json::to_string(&kept).unwrap_or_default()
            };
            if text.len() <= Self::KEPT {
                return text;
            }
            kept.pop();
        }
    }

    /// Reads [`Self::written`]; an entry that a newer program wrote otherwise is left out, and only that one.
    pub fn read(text: &str) -> Vec<Self> {
        let all: Vec<serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
        all.into_iter().filter_map(|one| serde_json::from_value(one).ok()).collect()
    }
}

/// Something beside the engine without which a worker cannot do all of its work, such as a mail server.
pub trait Watched: Send + Sync + 'static {
    /// What is wrong with it now, if anything is. Asked every second, and never waits.
    fn trouble(&self, now: Timestamp) -> Option<Trouble>;
}

/// Jobs that wait for a worker with a handler for their kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedKind {
    /// The queue in which they stand.
    pub queue: QueueName,
    /// The kind that nobody knew who looked at them.
    pub kind: Kind,
    /// How many, counted up to [`Self::COUNTED`].
    pub jobs: u64,
    /// Since when the oldest of those may run.
    pub since: Timestamp,
}

impl ParkedKind {
    /// Whether one of those who work its queue has a handler for it: then it waits for its turn, not for a worker.
    pub fn is_known_to(&self, workers: &[WorkerRecord]) -> bool {
        workers.iter().any(|worker| worker.kinds.contains(&self.kind) && worker.works(self.queue.as_str()))
    }

    /// More of one kind are not counted.
    pub const COUNTED: u32 = 1000;
    /// More kinds are not listed.
    pub const LISTED: u32 = 50;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_are_read_as_they_were_written_and_stay_within_their_bound() {
        let at = Timestamp::from_second(1).unwrap();
        let trouble = |said: String| Trouble {
            part: "mail".into(),
            said,
            harm: Harm::Held,
            since: at,
            next: Some(at),
            queue: None,
            kinds: vec![Kind::new("email.send").unwrap()],
        };
        let one = vec![trouble("535 5.7.8 no \u{1b}[31m".into())];
        assert_eq!(Trouble::read(&Trouble::written(&one)), one);
        assert_eq!(Trouble::written(&[]), "");
        assert_eq!(Trouble::read(""), []);
        assert_eq!(Trouble::read("[{\"another\":1}]"), []);
        let newer = Trouble::written(&one).replace("\"held\"", "\"unheard-of\"");
        let both = format!("[{},{}", newer.trim_matches(['[', ']']), &Trouble::written(&one)[1..]);
        assert_eq!(Trouble::read(&both), one, "what can be read is: {both}");
        for said in ["x", "\u{1}", "\0", "ä", "\u{1F600}", "\""] {
            let many: Vec<_> = (0..1000).map(|_| trouble(said.repeat(5000))).collect();
            let text = Trouble::written(&many);
            assert!(
                text.len() <= Trouble::KEPT && !Trouble::read(&text).is_empty(),
                "{said:?}: {}",
                text.len()
            );
            assert!(!text.contains('\0'));
        }
    }

    #[test]
    fn a_trouble_meets_the_queue_that_it_names_whatever_its_part_is_called() {
        let (long, other) = (QueueName::new("q".repeat(128)).unwrap(), QueueName::new("q").unwrap());
        let trouble = |part: &str, queue: Option<&QueueName>| Trouble {
            part: part.into(),
            said: String::new(),
            harm: Harm::Unready,
            since: Timestamp::UNIX_EPOCH,
            next: None,
            queue: queue.cloned(),
            kinds: Vec::new(),
        };
        let kept = Trouble::read(&Trouble::written(&[trouble("queue", Some(&long))])).remove(0);
        assert!(kept.meets(&long) && !kept.meets(&other));
        for part in ["store results", "queue of the printer"] {
            assert!(trouble(part, None).meets(&other), "{part}");
        }
    }

    #[test]
    fn a_queue_with_a_colon_in_its_name_is_worked_too() {
        let at = Timestamp::UNIX_EPOCH;
        let worker = WorkerRecord::new(WorkerName::new("w").unwrap(), "a:1, b:c:10", at);
        assert!(worker.works("a") && worker.works("b:c") && !worker.works("b") && !worker.works("c"));
    }
}
