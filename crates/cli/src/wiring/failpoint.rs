//! `BACKSHIFT_FAILPOINT`: a test tells this process where to die. No setting: no file has it and no guide names it.

use backshift_core::failpoint;

use crate::{config::FAILPOINT, exit::Failure};

/// Arms what the environment names; a release binary refuses it.
pub(crate) fn arm_failpoint() -> Result<(), Failure> {
    let Some(plan) = std::env::var_os(FAILPOINT).filter(|plan| !plan.is_empty()) else { return Ok(()) };
    failpoint::arm(&plan.to_string_lossy())
        .map_err(|problem| Failure::configuration(format!("{FAILPOINT}: {problem}")))
}
