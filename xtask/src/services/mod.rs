//! Real servers for the tests: `cargo xtask services up|down|status|env`.
//! Each one is a private process (or container) on a private port with fresh data; it outlives the command that
//! started it, and only its own record allows anybody to stop it. How each is made stands in `crates/servers`.

mod command;
mod docker;
mod packages;
mod place;
pub(crate) mod process;
mod record;
mod session;
mod start;

pub(crate) use command::{Options, environment, run};
pub(crate) use packages::install;
pub(crate) use session::Session;
