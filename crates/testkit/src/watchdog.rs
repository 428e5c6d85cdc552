//! Names what hangs and ends the process: a case whose runtime's threads all stand still is past every timer of that
//! runtime, so that somebody outside of it must look at the clock.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Mutex, MutexGuard, Once, PoisonError},
    time::{Duration, Instant},
};

/// What is under way, by its number.
static UNDER_WAY: Mutex<BTreeMap<u64, Entry>> = Mutex::new(BTreeMap::new());

struct Entry {
    name: String,
    begun: Instant,
    limit: Duration,
}

/// Something that is under way; over when it is dropped.
#[derive(Debug)]
pub struct Watched(u64);

/// From now on `name` must be over within the limit, or the process says so and aborts.
pub fn watch(name: impl Into<String>, limit: Duration) -> Watched {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        let watching = std::thread::Builder::new().name("watchdog".into()).spawn(look_for_ever);
        if let Err(error) = watching {
            eprintln!("nobody will notice what hangs: {error}");
        }
    });
    let mut all = under_way();
    let number = all.last_key_value().map_or(0, |(last, _)| last + 1);
    all.insert(number, Entry { name: name.into(), begun: Instant::now(), limit });
    Watched(number)
}

impl Drop for Watched {
    fn drop(&mut self) {
        under_way().remove(&self.0);
    }
}

fn under_way() -> MutexGuard<'static, BTreeMap<u64, Entry>> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn look_for_ever() {
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let found = verdict(&under_way(), Instant::now());
        if let Some(text) = found {
            eprintln!("{text}\n{}", threads());
            std::process::abort();
        }
    }
}

/// What is overdue, and what else is under way; `None` = all is well.
fn verdict(all: &BTreeMap<u64, Entry>, now: Instant) -> Option<String> {
    let age = |entry: &Entry| now.saturating_duration_since(entry.begun);
    let shown = |entry: &Entry| format!("{} for {} s", entry.name, age(entry).as_secs());
    let (late, others): (Vec<&Entry>, Vec<&Entry>) = all.values().partition(|entry| age(entry) > entry.limit);
    if late.is_empty() {
        return None;
    }
    let list = |entries: Vec<&Entry>| entries.into_iter().map(shown).collect::<Vec<_>>().join(", ");
    Some(format!("HUNG: {}\nalso under way: {}", list(late), list(others)))
}

/// What each thread of this process waits in, as far as the kernel tells.
fn threads() -> String {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lines = tasks.map(|task| {
        let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        format!("  {} {}", read("comm").trim(), read("wchan"))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_is_named_first_and_the_others_with_it() {
        let begun = Instant::now();
        let entry = |name: &str, limit| Entry { name: name.into(), begun, limit: Duration::from_secs(limit) };
        let all = BTreeMap::from([(0, entry("a::B1", 10)), (1, entry("a::B2", 60))]);
        assert!(verdict(&all, begun + Duration::from_secs(10)).is_none());
        let text = verdict(&all, begun + Duration::from_secs(11)).unwrap();
        assert_eq!(text, "HUNG: a::B1 for 11 s\nalso under way: a::B2 for 11 s");
    }

    #[test]
    fn what_is_over_is_watched_no_longer() {
        let watched = watch("a test of the watchdog", Duration::from_secs(3600));
        assert!(under_way().contains_key(&watched.0));
        let number = watched.0;
        drop(watched);
        assert!(!under_way().contains_key(&number));
    }
}
