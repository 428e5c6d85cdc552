//! What somebody typed to find jobs, read as a filter. Nothing is ignored: what cannot be read is named, and then nothing is
//! searched, because a list that answers another question is worse than none.

use std::{str::FromStr, time::Duration};

use backshift_core::{EffectState, JobFilter, Kind, QueueName, Standing, Stands, State, Timestamp, nearest};
use serde::Deserialize;
use uuid::Uuid;

use super::{mask, words};

/// What a list of jobs is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct JobsQuery {
    pub(super) state: String,
    pub(super) find: String,
    pub(super) after: String,
}

/// Words that are looked for in texts, and their length.
const MOST: usize = 8;
const LONGEST: usize = 100;
/// The keys that can stand before a colon.
const KEYS: &str = "state: status: kind: queue: effect: user: id: error: cause: payload: since: until:";

/// What was asked for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Search {
    pub(super) filter: JobFilter,
    /// An id: of a job, or else of a user.
    pub(super) id: Option<Uuid>,
    /// What could not be read.
    pub(super) problem: Option<String>,
}

/// One word as it was typed.
#[derive(Debug, PartialEq)]
struct Word {
    key: Option<String>,
    text: String,
    quoted: bool,
}

/// Reads the state of the address and the words of the field.
pub(super) fn read(asked: &JobsQuery, now: Timestamp) -> Search {
    let mut search = Search::default();
    if !asked.state.is_empty() {
        search.take_state(&asked.state);
    }
    for word in split(&asked.find) {
        search.take(word, now);
    }
    let filter = &search.filter;
    let texts = || filter.words.iter().chain(&filter.error).chain(&filter.payload);
    if texts().count() > MOST {
        search.problem.get_or_insert(format!("More than {MOST} words are not looked for at once."));
    } else if texts().any(|word| word.chars().count() > LONGEST) {
        search.problem.get_or_insert(format!("A word of more than {LONGEST} characters is not looked for."));
    }
    search
}

impl Search {
    fn take(&mut self, word: Word, now: Timestamp) {
        let (text, filter) = (word.text.as_str(), &mut self.filter);
        let done = match word.key.as_deref() {
            None if word.quoted => filter.words.try_push(text),
            None => match (text.parse(), Stands::meant_by(text)) {
                (Ok(id), _) => self.id.replace(id).is_none(),
                (_, Some(_)) => return self.take_state(text),
                _ => filter.words.try_push(text),
            },
            Some("state" | "status") => return self.take_state(text),
            Some("kind" | "type") => fill(&mut filter.kind, Kind::new(text).ok()),
            Some("queue") => fill(&mut filter.queue, QueueName::new(text).ok()),
            Some("effect") => fill(&mut filter.effect, EffectState::parse(text)),
            Some("user") => fill(&mut filter.user, text.parse().ok()),
            Some("id" | "job") => fill(&mut self.id, text.parse().ok()),
            Some("error") => filter.error.try_push(text),
            // Of any characters but NUL: whoever made the error chose them, and here they are only compared.
            Some("cause") => {
                let some = |text: &String| !text.is_empty() && !text.contains('\0');
                fill(&mut filter.cause, Some(text.to_owned()).filter(some))
            }
            Some("payload") => filter.payload.try_push(text),
            Some("since" | "after") => fill(&mut filter.since, moment(text, now)),
            Some("until" | "before") => fill(&mut filter.until, moment(text, now)),
            Some(_) => false,
        };
        if !done {
            self.refuse(&word);
        }
    }

    fn take_state(&mut self, text: &str) {
        let word = mask::said(text, 40);
        let problem = match Stands::meant_by(text) {
            Some(stands) if self.fits(stands) => {
                self.filter.state = stands.state.or(self.filter.state);
                self.filter.standing = stands.standing.or(self.filter.standing);
                return;
            }
            Some(_) => format!("\u{201c}{word}\u{201d} is a second state: a job has one."),
            None => {
                let known = Stands::words().collect::<Vec<_>>().join(", ");
                format!(
                    "\u{201c}{word}\u{201d} is no state{} There are {known}.",
                    meant(Stands::nearest(text))
                )
            }
        };
        self.problem.get_or_insert(problem);
    }

    /// Whether a job can stand there and where was asked for before. What is parked is available, or scheduled.
    fn fits(&self, stands: Stands) -> bool {
        let (state, standing) = (self.filter.state, self.filter.standing);
        let one = |before: Option<State>, now: Option<State>| {
            before.zip(now).is_none_or(|(before, now)| before == now)
        };
        let either = stands.standing.or(standing);
        let both = standing.zip(stands.standing).is_none_or(|(before, now)| before == now);
        let of_parked = |state: State| matches!(state, State::Available | State::Scheduled);
        let parked = either != Some(Standing::Parked) || stands.state.or(state).is_none_or(of_parked);
        let held =
            either != Some(Standing::Held) || stands.state.or(state).is_none_or(|s| s == State::Scheduled);
        one(state, stands.state) && both && parked && held
    }

    fn refuse(&mut self, word: &Word) {
        let text = mask::said(&word.text, 40);
        self.problem.get_or_insert(match word.key.as_deref() {
            Some("since" | "after" | "until" | "before") => {
                format!(
                    "\u{201c}{text}\u{201d} is no time: write 2h, 7d, 2026-11-20 or 2026-11-20T14:00:00Z."
                )
            }
            Some("effect") => {
                format!("\u{201c}{text}\u{201d} is no effect. There are none, intended, done, ambiguous.")
            }
            Some("user" | "id" | "job") => format!(
                "\u{201c}{text}\u{201d} is no id: ids look like 019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55. To find the name of a \
                 person, write it without a key, or payload:{text}."
            ),
            Some(key) if KEYS.contains(&format!("{key}:")) || key == "type" => {
                format!("\u{201c}{text}\u{201d} cannot be a {key}, or there are two of them.")
            }
            Some(key) => {
                let near = meant(nearest(key, KEYS.split(' ').map(|key| key.trim_end_matches(':').to_owned())));
                let key = mask::said(key, 20);
                format!("\u{201c}{key}:\u{201d} is no key{near} There are {KEYS} To find the text itself, put it in quotes.")
            }
            None => format!(
                "\u{201c}{text}\u{201d} is a second id, an empty word, or has characters that nobody sees."
            ),
        });
    }

    /// Why it cannot say to which jobs something is done: the number of matches would tell what is masked in their payloads.
    pub(super) fn unfit(&self) -> Option<String> {
        if let Some(id) = self.id {
            return Some(format!("{id} is one job: open its page."));
        }
        let word = self.filter.words.first().or(self.filter.payload.first())?;
        Some(format!(
            "Many are chosen by what every page shows, and \u{201c}{}\u{201d} may stand in a payload. Write error:WORD, kind:, \
             queue:, user:, cause:, since: or until: instead.",
            mask::said(word, 40)
        ))
    }

    /// Everything that was understood, in words.
    pub(super) fn understood(&self) -> Vec<String> {
        let filter = &self.filter;
        let said = |lead: &str, words: &[String]| {
            words
                .iter()
                .map(|word| format!("{lead} \u{201c}{}\u{201d}", mask::said(word, LONGEST)))
                .collect::<Vec<_>>()
        };
        let mut all = Vec::new();
        all.extend(filter.user.map(|user| format!("user {user}")));
        all.extend(filter.since.map(|at| format!("since {}", words::full(at))));
        all.extend(filter.until.map(|at| format!("before {}", words::full(at))));
        all.extend(
            filter
                .cause
                .as_ref()
                .map(|cause| format!("cause \u{201c}{}\u{201d}", mask::said(cause, LONGEST))),
        );
        all.extend(said("somewhere", &filter.words));
        all.extend(said("in the error", &filter.error));
        all.extend(said("in the payload", &filter.payload));
        all
    }
}

trait TryPush {
    fn try_push(&mut self, text: &str) -> bool;
}

impl TryPush for Vec<String> {
    fn try_push(&mut self, text: &str) -> bool {
        // What nobody sees would stand in a command that somebody copies.
        let some = !text.is_empty() && mask::is_plain(text);
        if some {
            self.push(text.to_owned());
        }
        some
    }
}

/// `; did you mean X?`, or the end of the sentence.
fn meant(near: Option<String>) -> String {
    near.map_or(".".to_owned(), |near| format!("; did you mean {near}?"))
}

/// Takes a value that can be read, and not a second one.
fn fill<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    let free = place.is_none() && value.is_some();
    if free {
        *place = value;
    }
    free
}

/// `2h` = so long ago, a day, or a time with its zone.
fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    let ago = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let number: u64 = number.parse().ok()?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            "w" => 7 * 86_400,
            _ => return None,
        };
        now.checked_sub(Duration::from_secs(number.checked_mul(seconds)?)).ok()
    };
    let day = || Timestamp::from_str(&format!("{text}T00:00:00Z")).ok().filter(|_| text.len() == 10);
    ago().or_else(day).or_else(|| text.parse().ok())
}

/// Words with spaces between; quotes keep spaces, and `\"` stands for a quote in them.
fn split(text: &str) -> Vec<Word> {
    let mut all = Vec::new();
    let mut letters = text.trim_start().chars().peekable();
    while letters.peek().is_some() {
        let mut word = Word { key: None, text: String::new(), quoted: false };
        let mut inside = false;
        while let Some(letter) = letters.next() {
            match letter {
                '"' if !inside && word.text.is_empty() && !word.quoted => {
                    (inside, word.quoted) = (true, true)
                }
                '"' if inside => inside = false,
                '\\' if inside => word.text.extend(letters.next()),
                ':' if !word.quoted && word.key.is_none() && !word.text.is_empty() => {
                    word.key = Some(std::mem::take(&mut word.text).to_lowercase());
                }
                space if space.is_whitespace() && !inside => break,
                other => word.text.push(other),
            }
        }
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        all.push(word);
    }
    all
}

/// A word as [`split`] reads it back.
pub(super) fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(state: &str, find: &str) -> Search {
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        read(&JobsQuery { state: state.into(), find: find.into(), ..JobsQuery::default() }, now)
    }

    #[test]
    fn every_word_means_something() {
        let id = "019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55";
        let search = of(
            "",
            &format!(
                "failed kind:email.send queue:mail effect:ambiguous user:{id} since:2h until:2026-11-20"
            ),
        );
        let filter = &search.filter;
        assert_eq!(search.problem, None);
        assert_eq!((filter.state, filter.effect), (Some(State::Dead), Some(EffectState::Ambiguous)));
        assert_eq!(
            (filter.kind.as_ref().map(Kind::as_str), filter.queue.as_ref().map(QueueName::as_str)),
            (Some("email.send"), Some("mail"))
        );
        assert_eq!(filter.user.map(|user| user.to_string()).as_deref(), Some(id));
        assert_eq!(filter.since.map(|at| at.to_string()).as_deref(), Some("2026-11-20T10:00:00Z"));
        assert_eq!(filter.until.map(|at| at.to_string()).as_deref(), Some("2026-11-20T00:00:00Z"));
        let texts =
            of("dead", r#"timeout "mailbox busy" error:450 payload:"a \"b\" \\ c" "failed" "kind:x""#);
        assert_eq!(texts.problem, None);
        assert_eq!(texts.filter.words, ["timeout", "mailbox busy", "failed", "kind:x"]);
        assert_eq!(
            (texts.filter.error, texts.filter.payload),
            (vec!["450".to_owned()], vec!["a \"b\" \\ c".to_owned()])
        );
        assert_eq!(of("", id).id.map(|id| id.to_string()).as_deref(), Some(id));
        assert_eq!(of("failed", "").filter.state, Some(State::Dead));
        assert_eq!(of("", "  ").filter, JobFilter::default());
        for (state, find, stands) in [
            ("", "parked", (None, Some(Standing::Parked))),
            ("parked", "", (None, Some(Standing::Parked))),
            ("available", "state:parked", (Some(State::Available), Some(Standing::Parked))),
            ("", "parked scheduled", (Some(State::Scheduled), Some(Standing::Parked))),
            ("", "held", (Some(State::Scheduled), Some(Standing::Held))),
        ] {
            let search = of(state, find);
            assert_eq!(
                (search.filter.state, search.filter.standing, search.problem),
                (stands.0, stands.1, None),
                "{find}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (state, find, named) in [
            ("nonsense", "", "nonsense"),
            ("", "state:nonsense", "nonsense"),
            ("dead", "running", "second state"),
            ("", "kind:a kind:b", "\u{201c}b\u{201d}"),
            ("", "queue:\"a b\"", "a b"),
            ("", "colour:red", "colour:"),
            ("", "ststus:dead", "did you mean status?"),
            ("", "qeue:mail", "did you mean queue?"),
            ("", "state:ded", "did you mean dead?"),
            ("", "state:parked dead", "second state"),
            ("held", "parked", "second state"),
            ("", "state:held state:available", "second state"),
            ("", "since:yesterday", "2026-11-20"),
            ("", "effect:maybe", "ambiguous"),
            ("", "user:anna", "is no id"),
            ("", "error:", "cannot be"),
            ("", "\"\"", "empty word"),
            ("", "a\u{202e}b", "nobody sees"),
            ("", "a b c d e f g h i", "More than 8"),
            ("", &"x".repeat(101), "more than 100"),
        ] {
            let problem = of(state, find).problem.unwrap_or_default();
            assert!(problem.contains(named) && problem.chars().count() <= 200, "{state} {find}: {problem}");
        }
    }

    #[test]
    fn a_quoted_word_is_read_back() {
        for word in ["plain", "two words", "a\"b", "back\\slash", "\\\"", "kind:x", "dead", " "] {
            assert_eq!(of("", &quoted(word)).filter.words, [word]);
        }
    }
}
