//! Other job systems, run as processes of their own with their documented fast settings.
//!
//! They are built apart from the workspace (`benches/peers`, `benches/river`), so that their dependencies are not
//! ours; `cargo xtask bench` builds them and says where they are.

pub(crate) mod postgres;
mod process;
pub(crate) mod sqlite;

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The peer's program.
///
/// # Errors
/// When it is not there: the arm has no result then.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let folder =
        std::env::var_os("BACKSHIFT_PEERS").map_or_else(|| "target/peers/release".into(), PathBuf::from);
    let program = folder.join(name);
    program.is_file().then_some(program).with_context(|| {
        format!("{name} is not built in {}: run the bench by `cargo xtask bench`", folder.display())
    })
}
