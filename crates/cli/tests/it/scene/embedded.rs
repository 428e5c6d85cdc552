//! A directory with an embedded store, and commands that run on it. The directory goes with the value.

use serde_json::Value;
use tempfile::TempDir;

use super::{Ended, Settings, backshift, backshift_fed};

/// An embedded store of one test.
pub(crate) struct Embedded {
    _directory: TempDir,
    /// What every command is run with.
    pub(crate) settings: Settings,
}

impl Embedded {
    /// An empty store, and these settings beside it.
    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = format!("sqlite:{}", directory.path().join("jobs.db").display());
        let place = [("DATABASE_URL", &*store), ("BACKSHIFT_DATA_DIR", directory.path().to_str().unwrap())];
        let settings = Settings::of(&[&place[..], settings].concat());
        Self { _directory: directory, settings }
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        backshift(arguments, &self.settings.pairs()).await
    }

    /// Runs it with something on its standard input.
    pub(crate) async fn fed(&self, arguments: &[&str], input: &str) -> Ended {
        backshift_fed(arguments, &self.settings.pairs(), input).await
    }

    /// `jobs list` with these filters.
    pub(crate) async fn list(&self, filters: &[&str]) -> Vec<Value> {
        self.run(&[&["jobs", "list", "--json"], filters].concat()).await.done().list()
    }
}
