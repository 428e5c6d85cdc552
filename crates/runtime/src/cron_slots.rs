//! When a schedule ticks: cron expressions in a time zone, and plain intervals. Pure.
//!
//! Intervals are counted from the schedule's registration, so all instances agree on them.

use std::time::Duration;

use backshift_core::Timestamp;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds};
use jiff::SignedDuration;

/// The most ticks that are found in one step; what is older is passed over.
const MOST_TICKS: usize = 10_000;
/// The smallest step of our clocks.
const INSTANT: SignedDuration = SignedDuration::from_micros(1);

/// A schedule that makes no sense, with what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("schedule {value:?} is not valid: {problem}")]
pub struct InvalidSchedule {
    value: String,
    problem: String,
}

impl InvalidSchedule {
    pub(crate) fn new(value: &str, problem: impl std::fmt::Display) -> Self {
        // The parser quotes what it was given, as it is.
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let problem = problem.to_string().chars().take(300).map(plain).collect();
        Self { value: value.chars().take(80).collect(), problem }
    }

    pub(crate) fn name(value: &str) -> Self {
        Self::new(value, "a schedule's name has 1 to 200 bytes and no NUL")
    }
}

/// The times of a schedule.
#[derive(Debug, Clone)]
pub(crate) enum Slots {
    Calendar { cron: Box<croner::Cron>, zone: Tz },
    Every(Duration),
}

impl Slots {
    pub(crate) fn parse(when: &str) -> Result<Self, InvalidSchedule> {
        if let Some(interval) = when.trim().strip_prefix("@every") {
            return interval_of(interval.trim()).map(Self::Every).map_err(|p| InvalidSchedule::new(when, p));
        }
        // The parser accepts a list with an empty member as a field that never matches, and then searches for minutes.
        if when.split_whitespace().any(|field| field.split(',').any(str::is_empty)) {
            return Err(InvalidSchedule::new(when, "a list has an empty place; write 0,30 and not 0,,30"));
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).build();
        // The parser knows the other nicknames of cron(8).
        let pattern = match when.trim() {
            nickname if nickname.eq_ignore_ascii_case("@midnight") => "@daily",
            pattern => pattern,
        };
        let cron = parser.parse(pattern).map_err(|error| {
            InvalidSchedule::new(
                when,
                format!("{error}; write `minute hour day month weekday` or `@every 30s`"),
            )
        })?;
        // Such as 30 February. Every look for its next tick would go through all years.
        if cron.find_next_occurrence(&DateTime::<Utc>::UNIX_EPOCH, false).is_err() {
            return Err(InvalidSchedule::new(when, "it never ticks: there is no such time in any year"));
        }
        Ok(Self::Calendar { cron: Box::new(cron), zone: Tz::UTC })
    }

    pub(crate) fn in_zone(self, name: &str) -> Result<Self, InvalidSchedule> {
        let known = name.parse().map_err(|_| {
            InvalidSchedule::new(name, "no such time zone; use an IANA name such as Europe/Berlin")
        })?;
        Ok(match self {
            Self::Calendar { cron, .. } => Self::Calendar { cron, zone: known },
            every @ Self::Every(_) => every,
        })
    }

    /// The first tick after this time.
    pub(crate) fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(interval) => time.checked_add(SignedDuration::try_from(*interval).ok()?).ok(),
            Self::Calendar { cron, zone } => {
                let after: DateTime<Utc> = DateTime::from_timestamp_micros(time.as_microsecond())?;
                let next = cron.find_next_occurrence(&after.with_timezone(zone), false).ok()?;
                Timestamp::from_microsecond(next.timestamp_micros()).ok().filter(|next| *next > time)
            }
        }
    }

    /// The last `keep` ticks after `last` and not after `now`, oldest first.
    pub(crate) fn latest_between(&self, last: Timestamp, now: Timestamp, keep: usize) -> Vec<Timestamp> {
        let keep = keep.min(MOST_TICKS);
        let mut ticks = match self {
            Self::Every(interval) => {
                let from = skip_ahead(last, now, *interval, keep);
                let ticks = std::iter::successors(self.next_after(from), |tick| self.next_after(*tick));
                return ticks.take_while(|tick| *tick <= now).take(keep).collect();
            }
            Self::Calendar { .. } => {
                let before = |until: &Timestamp| self.latest(last, until.checked_sub(INSTANT).ok()?);
                std::iter::successors(self.latest(last, now), before).take(keep).collect::<Vec<_>>()
            }
        };
        ticks.reverse();
        ticks
    }

    /// The last tick of a calendar after `from` and not after `until`: halved down to the second that ends with it, so
    /// that an absence of years costs some thirty looks and not one for every tick.
    fn latest(&self, from: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let tick_after = |seconds: i64| {
            let at = from.checked_add(SignedDuration::from_secs(seconds)).ok()?;
            self.next_after(at).filter(|tick| *tick <= until)
        };
        let (mut tick, mut low) = (tick_after(0)?, 0);
        let mut high = until.duration_since(from).as_secs() + 1;
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match tick_after(middle) {
                Some(later) => (tick, low) = (later, middle),
                None => high = middle,
            }
        }
        Some(tick)
    }
}

/// The tick of an interval that lies `keep` intervals before `now`: a long absence is not walked tick by tick.
fn skip_ahead(last: Timestamp, now: Timestamp, interval: Duration, keep: usize) -> Timestamp {
    let step = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX).max(1);
    let passed = (now.as_microsecond() - last.as_microsecond()) / step;
    let skipped = passed.saturating_sub(i64::try_from(keep).unwrap_or(i64::MAX)).max(0);
    Timestamp::from_microsecond(last.as_microsecond() + skipped * step).unwrap_or(last)
}

fn interval_of(text: &str) -> Result<Duration, String> {
    let span: SignedDuration =
        text.parse().map_err(|_| format!("{text:?} is no interval; write `@every 30s`, `5m` or `1h30m`"))?;
    match Duration::try_from(span) {
        Ok(interval) if interval >= Duration::from_secs(1) => Ok(interval),
        _ => Err("an interval has at least one second".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn berlin(when: &str) -> Slots {
        Slots::parse(when).unwrap().in_zone("Europe/Berlin").unwrap()
    }

    #[test]
    fn a_time_in_the_gap_runs_once_right_after_it() {
        // 2026-03-29: 02:00 CET becomes 03:00 CEST.
        let daily = berlin("30 2 * * *");
        let ticks = daily.latest_between(at("2026-03-28T12:00:00Z"), at("2026-03-30T12:00:00Z"), 10);
        assert_eq!(ticks, [at("2026-03-29T01:00:00Z"), at("2026-03-30T00:30:00Z")]);
    }

    #[test]
    fn every_nickname_of_cron_is_known() {
        let range = (at("2026-03-01T12:00:00Z"), at("2026-03-02T12:00:00Z"));
        let ticks = |when: &str| Slots::parse(when).unwrap().latest_between(range.0, range.1, 10);
        assert_eq!(ticks("@midnight"), [at("2026-03-02T00:00:00Z")]);
        assert_eq!(ticks(" @Midnight "), ticks("@daily"));
        for nickname in ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"] {
            assert!(Slots::parse(nickname).is_ok(), "{nickname}");
        }
        assert!(Slots::parse("@reboot").is_err(), "a site has no boot");
    }

    #[test]
    fn a_repeated_time_runs_once_and_an_interval_runs_through() {
        // 2026-10-25: 03:00 CEST becomes 02:00 CET.
        let daily = berlin("30 2 * * *");
        let ticks = daily.latest_between(at("2026-10-24T12:00:00Z"), at("2026-10-25T12:00:00Z"), 10);
        assert_eq!(ticks, [at("2026-10-25T00:30:00Z")]);
        let half_hourly = berlin("*/30 * * * *");
        let ticks = half_hourly.latest_between(at("2026-10-24T23:45:00Z"), at("2026-10-25T02:15:00Z"), 10);
        let steps: Vec<_> = ticks.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs()).collect();
        assert_eq!((ticks.len(), steps), (5, vec![1800; 4]));
    }

    #[test]
    fn the_zone_decides_about_the_hour() {
        let noon = Slots::parse("0 12 * * *").unwrap();
        let winter = at("2026-01-01T00:00:00Z");
        assert_eq!(noon.next_after(winter), Some(at("2026-01-01T12:00:00Z")));
        assert_eq!(berlin("0 12 * * *").next_after(winter), Some(at("2026-01-01T11:00:00Z")));
    }

    #[test]
    fn intervals_count_from_the_last_tick_and_skip_a_long_absence() {
        let every = Slots::parse("@every 30s").unwrap();
        let last = at("2026-01-01T00:00:07Z");
        assert_eq!(every.next_after(last), Some(at("2026-01-01T00:00:37Z")));
        let ticks = every.latest_between(last, at("2027-01-01T00:00:10Z"), 2);
        assert_eq!(ticks, [at("2026-12-31T23:59:37Z"), at("2027-01-01T00:00:07Z")]);
    }

    #[test]
    fn after_a_long_absence_the_latest_ticks_are_found_and_not_the_first_ones() {
        let (last, now) = (at("2020-01-01T00:00:00.5Z"), at("2026-01-01T00:00:00.25Z"));
        let second = Slots::parse("* * * * * *").unwrap();
        let ticks = second.latest_between(last, now, 3);
        assert_eq!(
            ticks,
            [at("2025-12-31T23:59:58Z"), at("2025-12-31T23:59:59Z"), at("2026-01-01T00:00:00Z")]
        );
        let rare = berlin("0 12 29 2 *").latest_between(last, now, 5);
        assert_eq!(rare, [at("2020-02-29T11:00:00Z"), at("2024-02-29T11:00:00Z")]);
        assert!(second.latest_between(now, now, 3).is_empty());
        assert!(second.latest_between(last, last + SignedDuration::from_millis(499), 3).is_empty());
    }

    #[test]
    fn nonsense_is_refused_with_the_remedy() {
        for bad in [
            "",
            "* * *",
            "61 * * * *",
            "0 0 30 2 *",
            ", 2 * * *",
            "0,,5 * * * *",
            "\u{b},\u{b}* * * 7 *",
            "0 0 31 4,6 *",
            "@every",
            "@every 10ms",
            "@every -5s",
            "@every soon",
        ] {
            let error = Slots::parse(bad).unwrap_err().to_string();
            assert!(error.contains("not valid"), "{error}");
        }
        let long = Slots::parse(&"\0 ".repeat(1000)).unwrap_err().to_string();
        assert!(long.len() < 800 && !long.contains('\0'), "{long}");
        assert!(berlin("@daily").in_zone("Mars/Olympus").unwrap_err().to_string().contains("IANA"));
    }
}
