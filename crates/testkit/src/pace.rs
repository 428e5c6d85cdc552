//! How slow this machine is right now, measured and not guessed: tests and cases stretch their leases and their
//! patience by it, so that a machine that is shared with a build fails nothing that it would otherwise pass.
//!
//! Two things are looked at four times a second: how late a sleep of 10 ms and the start of a thread after it come, and
//! how many threads of the whole machine want a core. On a machine that is idle the factor is 1 and nothing changes.

use std::{
    fs,
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// No test waits longer than this many times its patience: a machine that is slower is of no use to it.
const MOST: f64 = 8.0;
const TICK: Duration = Duration::from_millis(10);
/// A tick that comes so much late, beyond what an idle machine takes, doubles the factor.
const LATE: Duration = Duration::from_millis(25);

/// Thousandths; 0 = not measured yet.
static FACTOR: AtomicU32 = AtomicU32::new(0);

/// How many times slower than an idle machine this one is: 1 to 8.
pub fn factor() -> f64 {
    static MEASURING: Once = Once::new();
    MEASURING.call_once(|| {
        note(measured());
        // Without the thread the first measurement stays.
        let _ = std::thread::Builder::new().name("pace".into()).spawn(|| {
            loop {
                std::thread::sleep(Duration::from_millis(250));
                // Slow at once, fast again over some seconds: load comes in bursts.
                note(measured().max(1.0 + (now() - 1.0) * 0.9));
            }
        });
    });
    now()
}

/// This time on an idle machine, as much longer as the machine is slow.
pub fn stretched(time: Duration) -> Duration {
    time.mul_f64(factor())
}

/// Waits so long: for what must *not* happen, and for what cannot be asked.
pub async fn pause(time: Duration) {
    tokio::time::sleep(stretched(time)).await;
}

fn now() -> f64 {
    f64::from(FACTOR.load(Ordering::Relaxed).max(1000)) / 1000.0
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1000 and 8000")]
fn note(factor: f64) {
    FACTOR.store((factor.clamp(1.0, MOST) * 1000.0) as u32, Ordering::Relaxed);
}

fn measured() -> f64 {
    let begun = Instant::now();
    std::thread::sleep(TICK);
    let _ = std::thread::spawn(|| {}).join();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    judged(begun.elapsed().saturating_sub(TICK), wanting().unwrap_or(0), cores)
}

/// The factor for a tick that was so late while so many threads wanted one of the cores.
fn judged(late: Duration, wanting: usize, cores: usize) -> f64 {
    let late = 1.0 + late.as_secs_f64() / LATE.as_secs_f64();
    // Up to two for a core is what a test run does to itself.
    #[expect(clippy::cast_precision_loss, reason = "threads of one machine")]
    let crowded = wanting as f64 / (2 * cores.max(1)) as f64;
    // A tick that is hardly late is not news.
    if late < 1.5 { crowded.max(1.0) } else { late.max(crowded) }
}

/// Threads that run or could run now, of all processes: the first number of the fourth field of `/proc/loadavg`.
fn wanting() -> Option<usize> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').nth(3)?.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_machine_stretches_nothing_and_a_slow_one_does() {
        let late = Duration::from_millis;
        assert!((judged(late(1), 1, 2) - 1.0).abs() < f64::EPSILON);
        assert!((judged(late(1), 4, 2) - 1.0).abs() < f64::EPSILON, "a test run's own threads");
        assert!((judged(late(1), 12, 2) - 3.0).abs() < f64::EPSILON);
        assert!(judged(late(100), 1, 2) > 4.0);
    }

    #[test]
    fn the_factor_is_bounded() {
        note(1_000_000.0);
        assert!((now() - MOST).abs() < f64::EPSILON);
        note(0.0);
        assert!((now() - 1.0).abs() < f64::EPSILON);
        assert!((1.0..=MOST).contains(&factor()));
        assert!(wanting().is_none_or(|threads| threads > 0));
    }
}
