//! Named points at which a test ends the process: does a job survive a death exactly here?
//!
//! Only debug builds, and builds with the feature `failpoints`, have them. Everywhere else a point is an empty
//! function and arming one is refused, so that no release binary can be told to die.

use std::fmt;

/// Where a worker may be told to die, in the order in which an attempt comes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failpoint {
    /// The ledger says *run*; no handler has been called.
    AfterClaim,
    /// The handler is about to be called.
    BeforeEffect,
    /// The handler has returned `Ok`: its effect is done, and nobody was told.
    AfterEffect,
    /// The ledger holds the result. On a foreign broker the message is still unsettled.
    AfterLedger,
    /// A foreign broker has confirmed the copy of a retry or a dead letter; the original is still unsettled.
    AfterCopy,
    /// The receipt is about to be settled.
    BeforeAck,
}

impl Failpoint {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::AfterClaim,
        Self::BeforeEffect,
        Self::AfterEffect,
        Self::AfterLedger,
        Self::AfterCopy,
        Self::BeforeAck,
    ];

    /// The name in a plan.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AfterClaim => "after-claim",
            Self::BeforeEffect => "before-effect",
            Self::AfterEffect => "after-effect",
            Self::AfterLedger => "after-ledger",
            Self::AfterCopy => "after-copy",
            Self::BeforeAck => "before-ack",
        }
    }

    /// The process has reached this point: ends it when the armed plan says so. Does nothing in a build without failpoints.
    #[inline]
    pub fn pass(self) {
        armed::pass(self);
    }
}

impl fmt::Display for Failpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Arms one point of this process, once: `after-ledger:abort` ends it there at the first pass,
/// `after-ledger:abort:3` at the third. `stop` instead of `abort` freezes it there until somebody sends SIGCONT.
///
/// # Errors
/// A text for the person who wrote the plan: an unknown point or action, or a build without failpoints.
pub fn arm(plan: &str) -> Result<(), String> {
    armed::arm(plan)
}

#[cfg(not(any(debug_assertions, feature = "failpoints")))]
mod armed {
    use super::Failpoint;

    #[inline]
    pub(super) fn pass(_: Failpoint) {}

    pub(super) fn arm(plan: &str) -> Result<(), String> {
        Err(format!("{plan}: this build has no failpoints; they are for tests and never in a release"))
    }
}

#[cfg(any(debug_assertions, feature = "failpoints"))]
mod armed {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    };

    use super::Failpoint;

    /// What a process was told.
    #[derive(Debug)]
    pub(super) struct Plan {
        pub(super) point: Failpoint,
        /// Frozen instead of ended.
        pub(super) stop: bool,
        /// How many passes are left, this one included.
        pub(super) passes: AtomicU32,
    }

    static PLAN: OnceLock<Plan> = OnceLock::new();

    pub(super) fn arm(text: &str) -> Result<(), String> {
        PLAN.set(parse(text)?).map_err(|_| "a failpoint is armed already".to_owned())
    }

    pub(super) fn parse(text: &str) -> Result<Plan, String> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let point = Failpoint::ALL.into_iter().find(|point| point.as_str() == name);
        let known = || Failpoint::ALL.map(Failpoint::as_str).join(", ");
        let point = point.ok_or_else(|| format!("{name}: no such failpoint; there are {}", known()))?;
        let action = parts.next();
        let passes = match (action, parts.next(), parts.next()) {
            (Some("abort" | "stop"), None, _) => Some(1),
            (Some("abort" | "stop"), Some(passes), None) => passes.parse().ok().filter(|passes| *passes > 0),
            _ => None,
        };
        let passes = passes.ok_or_else(|| format!("{text}: write POINT:abort or POINT:abort:PASSES"))?;
        Ok(Plan { point, stop: action == Some("stop"), passes: AtomicU32::new(passes) })
    }

    pub(super) fn pass(point: Failpoint) {
        let Some(plan) = PLAN.get().filter(|plan| plan.point == point) else { return };
        if plan.passes.fetch_sub(1, Ordering::SeqCst) != 1 {
            return;
        }
        if plan.stop {
            // Every thread stands still here, as when a machine is suspended.
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
            // The signal may take effect a moment later, and nothing may happen in it.
            std::thread::sleep(std::time::Duration::from_millis(200));
        } else {
            // Without unwinding and without a goodbye, as SIGKILL does it.
            std::process::abort();
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::{Failpoint, armed::parse};

    #[test]
    fn a_plan_names_a_point_an_action_and_a_pass() {
        let plan = parse("after-ledger:abort:3").unwrap();
        assert_eq!((plan.point, plan.passes.into_inner()), (Failpoint::AfterLedger, 3));
        for point in Failpoint::ALL {
            assert_eq!(parse(&format!("{point}:abort")).unwrap().passes.into_inner(), 1);
            assert!(parse(&format!("{point}:stop")).unwrap().stop);
        }
    }

    #[test]
    fn a_wrong_plan_says_what_there_is() {
        assert!(parse("after-lunch:abort").unwrap_err().contains("before-ack"));
        for wrong in
            ["before-ack", "before-ack:", "before-ack:explode", "before-ack:abort:0", "before-ack:abort:1:2"]
        {
            assert!(parse(wrong).unwrap_err().contains("POINT:abort"), "{wrong}");
        }
    }
}
