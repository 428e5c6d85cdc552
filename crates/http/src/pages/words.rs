//! Numbers, times and states as people read them. All times are UTC and say so.
//!
//! `live.js` counts relative times on with the same units: whoever changes [`relative`] changes it too.

use backshift_core::{Deed, JobRecord, Standing, State, Timestamp};
use minijinja::Value;

/// `1,204`.
pub(super) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `400 or more`, where counting ended there.
pub(super) fn or_more(n: u64, more: bool) -> String {
    format!("{}{}", number(n), if more { " or more" } else { "" })
}

/// `1 job`, `2 jobs`.
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(n), if n == 1 { one } else { many })
}

/// `22:02:10 UTC`.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S UTC").to_string()
}

/// `22:02:10.118`.
pub(super) fn precise(at: Timestamp) -> String {
    at.strftime("%H:%M:%S%.3f").to_string()
}

/// `20 Nov 2026`.
pub(super) fn day(at: Timestamp) -> String {
    at.strftime("%-d %b %Y").to_string()
}

/// `2026-11-20 22:02:10 UTC`.
pub fn full(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The clock, with the day when it is another day than today.
pub(super) fn due(at: Timestamp, now: Timestamp) -> String {
    if day(at) == day(now) { clock(at) } else { format!("{}, {}", day(at), clock(at)) }
}

/// How long it took: `212 ms`, `1.4 s`, `36 s`, `1 min 54 s`, `12 min`, `3 h`, `2 days`.
pub(super) fn span(from: Timestamp, to: Timestamp) -> String {
    let ms = (to.as_millisecond() - from.as_millisecond()).max(0);
    match ms {
        0..=999 => format!("{ms} ms"),
        1000..=9999 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..=599_999 if ms / 1000 % 60 > 0 => format!("{} min {} s", ms / 60_000, ms / 1000 % 60),
        _ => coarse(ms / 1000),
    }
}

/// `36 s`, `4 min`, `3 h`, `2 days`.
fn coarse(seconds: i64) -> String {
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `4 min ago`, `in 12 s`, `now`.
pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    let seconds = (at.as_millisecond() - now.as_millisecond()) / 1000;
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {}", coarse(seconds)),
        _ => format!("{} ago", coarse(-seconds)),
    }
}

/// [`relative`] as an element that goes on counting and names the whole time.
pub fn moment(at: Timestamp, now: Timestamp) -> Value {
    let (text, title) = (relative(at, now), full(at));
    Value::from_safe_string(format!("<time datetime=\"{at}\" title=\"{title}\" data-relative>{text}</time>"))
}

/// The state as a word, with the attempt where it says something.
pub(super) fn state(job: &JobRecord) -> String {
    let attempt = match job.max_attempts {
        Some(most) => format!("attempt {} of {most}", job.attempt),
        None => format!("attempt {}", job.attempt),
    };
    if let Some(standing) = job.standing() {
        return capital(standing.as_str());
    }
    match (job.state, &job.progress) {
        (State::Retrying, _) => format!("Retrying, {attempt}"),
        (State::Running, Some((percent, _))) => format!("Running, {percent} %"),
        (State::Running, None) => format!("Running, {attempt}"),
        (state, _) => capital(state.as_str()),
    }
}

/// `email.send is dead`.
pub(super) fn headline(job: &JobRecord) -> String {
    format!("{} {}", job.kind, does(job))
}

/// `is dead`.
pub(super) fn does(job: &JobRecord) -> &'static str {
    match job.state {
        _ if job.standing() == Some(Standing::Parked) => "is parked",
        _ if job.standing() == Some(Standing::Held) => "is held",
        State::Scheduled => "waits for its time",
        State::Available => "waits for a worker",
        State::Running => "is running",
        State::Retrying => "will be tried again",
        State::Completed => "is done",
        State::Dead => "is dead",
        State::Cancelled => "was cancelled",
    }
}

/// `40 seconds`, `12 minutes`.
pub(super) fn seconds(seconds: u64) -> String {
    match seconds {
        0..=119 => count(seconds, "second", "seconds"),
        _ => count(seconds.div_ceil(60), "minute", "minutes"),
    }
}

/// What can be done to a job, as a button says it.
pub(super) fn deed(deed: Deed) -> &'static str {
    match deed {
        Deed::Retry => "Run again",
        Deed::Cancel => "Cancel",
        Deed::Delete => "Delete",
    }
}

/// `completed` as `Completed`.
pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_separators() {
        assert_eq!(number(7), "7");
        assert_eq!(number(1204), "1,204");
        assert_eq!(number(12_345_678), "12,345,678");
    }

    #[test]
    fn spans_have_one_unit() {
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        assert_eq!(span(at(0), at(212)), "212 ms");
        assert_eq!(span(at(0), at(1400)), "1.4 s");
        assert_eq!(span(at(0), at(36_900)), "36 s");
        assert_eq!(span(at(0), at(113_800)), "1 min 53 s");
        assert_eq!(span(at(0), at(240_000)), "4 min");
        assert_eq!(span(at(0), at(754_000)), "12 min");
        assert_eq!(relative(at(0), at(113_000)), "1 min ago");
        assert_eq!(relative(at(5900), at(0)), "in 5 s");
        assert_eq!(relative(at(0), at(7_200_000)), "2 h ago");
        assert_eq!(relative(at(0), at(999)), "now");
        assert_eq!(due(at(86_400_000), at(0)), "2 Jan 1970, 00:00:00 UTC");
    }

    #[test]
    fn moments_carry_the_whole_time() {
        let at = Timestamp::from_second(60).unwrap();
        let html = moment(at, Timestamp::from_second(90).unwrap()).to_string();
        assert!(html.contains("1970-01-01 00:01:00 UTC") && html.contains(">30 s ago<"), "{html}");
    }
}
