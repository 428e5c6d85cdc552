//! Cron expressions in time zones, around changes of the clocks: every tick is later than the one before, none is left
//! out, and a schedule that was away for years is up to date after one step.
//!
//! Input: lines of expression, zone, a moment in seconds and how many seconds nobody was there.

use backshift_core::{Kind, QueueName, Timestamp};
use backshift_runtime::{Missed, Schedule};
use jiff::SignedDuration;

use crate::{cost, log_line};

/// One schedule.
pub fn cron(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (when, zone, from, away) = (line(), line(), line(), line());
    let Some(schedule) = cost::within("a schedule", bytes.len(), 256, || schedule(when, zone)) else {
        return;
    };
    let Ok(from) = Timestamp::from_second(from.trim().parse().unwrap_or(1_774_744_200)) else { return };
    let away = SignedDuration::from_secs(away.trim().parse::<u32>().unwrap_or(86_400).into());
    ticks_rise(&schedule, from, when.trim().starts_with("@every"));
    for missed in [Missed::Skip, Missed::RunOnce, Missed::CatchUp(3)] {
        let schedule = schedule.clone().missed(missed);
        cost::within("catching up", bytes.len(), 256, || catches_up(&schedule, missed, from, away));
    }
}

fn schedule(when: &str, zone: &str) -> Option<Schedule> {
    let kind = Kind::new("fuzz").expect("it is a kind");
    let queue = QueueName::new("fuzz").expect("it is a queue");
    let built = Schedule::new("fuzz", when, kind, queue, "{}").and_then(|schedule| match zone.trim() {
        "" => Ok(schedule),
        zone => schedule.zone(zone),
    });
    built.map_err(|problem| log_line::assert_is_one(&problem.to_string())).ok()
}

fn ticks_rise(schedule: &Schedule, from: Timestamp, interval: bool) {
    let mut before = from;
    for _ in 0..4 {
        let Some(tick) = schedule.next_after(before) else { return };
        assert!(tick > before, "{tick} is not after {before}");
        if !interval {
            assert_eq!(tick.subsec_nanosecond(), 0, "a tick is a whole second");
            let between = before + tick.duration_since(before) / 2;
            assert_eq!(schedule.next_after(between), Some(tick), "a tick was left out after {before}");
        }
        before = tick;
    }
}

fn catches_up(schedule: &Schedule, missed: Missed, last: Timestamp, away: SignedDuration) {
    let Ok(now) = last.checked_add(away) else { return };
    let Some((ticks, slot)) = schedule.due(last, now) else {
        assert!(schedule.next_after(last).is_none_or(|next| next > now), "a tick that is due is not seen");
        return;
    };
    let most = if let Missed::CatchUp(most) = missed { most as usize } else { 1 };
    assert!(ticks.len() <= most, "{missed:?} enqueues {}", ticks.len());
    assert!(ticks.is_sorted() && ticks.iter().all(|tick| *tick > last && *tick <= now));
    assert!(slot > last && slot <= now);
    assert_eq!(schedule.due(slot, now), None, "{missed:?}: after catching up something is still due");
}
