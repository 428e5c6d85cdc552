//! Real processes of the real binary: started, watched, frozen, resumed and killed by tests.
//!
//! Every process is killed when its [`Running`] is dropped, so a failing test leaves nothing behind.

mod binary;
mod running;

pub use binary::{backshift_binary, example};
pub use running::{Running, run};
pub use rustix::process::Signal;
