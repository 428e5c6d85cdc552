//! Numbers, times and states as people read them.

use backshift_core::{JobRecord, State, Timestamp};

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

/// `1 job`, `2 jobs`.
pub(super) fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(n), if n == 1 { one } else { many })
}

/// `22:02:10` in UTC.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S UTC").to_string()
}

/// `22:02:10.118`.
pub(super) fn precise(at: Timestamp) -> String {
    at.strftime("%H:%M:%S%.3f").to_string()
}

/// `212 ms`, `1.4 s`, `4 min`, `3 h`, `2 days`.
pub(super) fn span(from: Timestamp, to: Timestamp) -> String {
    let ms = (to.as_millisecond() - from.as_millisecond()).max(0);
    match ms {
        0..=999 => format!("{ms} ms"),
        1000..=119_999 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        120_000..=7_199_999 => format!("{} min", ms / 60_000),
        7_200_000..=172_799_999 => format!("{} h", ms / 3_600_000),
        _ => format!("{} days", ms / 86_400_000),
    }
}

/// `4 min ago`, `in 12 s`.
pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    if at > now { format!("in {}", span(now, at)) } else { format!("{} ago", span(at, now)) }
}

/// The state as a word, with the attempt where it says something.
pub(super) fn state(job: &JobRecord) -> String {
    let attempt = match job.max_attempts {
        Some(most) => format!("attempt {} of {most}", job.attempt),
        None => format!("attempt {}", job.attempt),
    };
    match job.state {
        State::Retrying => format!("Retrying, {attempt}"),
        State::Running => format!("Running, {attempt}"),
        state => {
            let word = state.as_str();
            format!("{}{}", word[..1].to_uppercase(), &word[1..])
        }
    }
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
        assert_eq!(span(at(0), at(240_000)), "4 min");
        assert_eq!(relative(at(5000), at(0)), "in 5.0 s");
    }
}
