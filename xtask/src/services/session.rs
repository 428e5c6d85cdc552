//! Servers for the time of one command: those that it started are stopped at its end, however it ends.

use std::path::Path;

use anyhow::Result;

use super::command::{Options, down, up};

/// Remembers what it started; servers that were up before stay up.
pub(crate) struct Session<'a> {
    root: &'a Path,
    started: Vec<String>,
}

impl<'a> Session<'a> {
    /// Nothing is started yet.
    pub(crate) fn new(root: &'a Path) -> Self {
        Self { root, started: Vec::new() }
    }

    /// Starts what is not up yet.
    pub(crate) fn start(&mut self, options: &Options) -> Result<()> {
        self.started = up(self.root, options)?;
        Ok(())
    }

    /// Stops what [`Session::start`] started.
    pub(crate) fn stop(&mut self) -> Result<()> {
        // No names would mean all of them.
        let started = std::mem::take(&mut self.started);
        if started.is_empty() { Ok(()) } else { down(self.root, &started) }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("servers could not be stopped: {error:#}");
        }
    }
}
