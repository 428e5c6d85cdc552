//! Makes the memory models fail on purpose: before the work, after the work (the answer is lost), or late.
//!
//! A plan is asked once at every call with the name of the call, such as `broker.ack` or `store.finish`.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Nothing happens, and the caller is told that the server is away.
    Before,
    /// It happens, and the caller is told that the outcome is unknown.
    After,
    /// It happens after this time.
    Delay(Duration),
    /// It happens, and the answer comes after this time.
    Late(Duration),
    /// Nothing happens, and no answer ever comes: what a caller leaves behind that dies before its call.
    Hang,
    /// It happens, and no answer ever comes: what a caller leaves behind that dies after its call.
    HangAfter,
}

/// What still goes wrong with a call that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Struck {
    /// Nothing.
    Not,
    /// Its answer is lost.
    Lost,
    /// Its answer comes later.
    Late(Duration),
    /// Its answer never comes.
    Never,
}

impl Struck {
    /// Waits as long as the answer takes; whether it is lost.
    pub(super) async fn answered(self) -> bool {
        match self {
            Self::Not => {}
            Self::Late(time) => tokio::time::sleep(time).await,
            Self::Never => std::future::pending().await,
            Self::Lost => return true,
        }
        false
    }
}

type Plan = Box<dyn FnMut(&'static str) -> Fault + Send>;

/// A switchboard: of a whole model, or of one caller's handle on it. Cheap to clone; clones share the plan.
#[derive(Clone, Default)]
pub struct Faults {
    plan: Arc<Mutex<Option<Plan>>>,
}

impl Faults {
    /// From now on every call asks `plan` what goes wrong with it.
    pub fn plan(&self, plan: impl FnMut(&'static str) -> Fault + Send + 'static) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(plan));
    }

    /// Every call fails before it does anything.
    pub fn away(&self) {
        self.plan(|_| Fault::Before);
    }

    /// From now on nothing goes wrong.
    pub fn heal(&self) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// `Err` = fail before; else do it, and then what was struck.
    pub(super) async fn strike(&self, call: &'static str) -> Result<Struck, &'static str> {
        let fault = match self.plan.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(plan) => plan(call),
            None => Fault::None,
        };
        match fault {
            Fault::None => Ok(Struck::Not),
            Fault::Before => Err(call),
            Fault::After => Ok(Struck::Lost),
            Fault::Delay(time) => {
                tokio::time::sleep(time).await;
                Ok(Struck::Not)
            }
            Fault::Late(time) => Ok(Struck::Late(time)),
            Fault::Hang => std::future::pending().await,
            Fault::HangAfter => Ok(Struck::Never),
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faults")
    }
}
