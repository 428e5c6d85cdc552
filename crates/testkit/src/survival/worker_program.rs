//! The program that workers of a run are: the `backshift` binary, or the program that runs right now.
//!
//! A user's own handlers take part in the second way: the program asks [`role`] first, and is a worker when it gets
//! a site. So a worker is always a process that can be killed, and its handlers are the user's.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::Site;

const BROKER: &str = "BACKSHIFT_SURVIVAL_BROKER";
const STORE: &str = "BACKSHIFT_SURVIVAL_STORE";
const QUEUE: &str = "BACKSHIFT_SURVIVAL_QUEUE";
const NAME: &str = "BACKSHIFT_WORKER_NAME";

/// How a worker is started.
#[derive(Debug, Clone)]
pub struct WorkerProgram {
    path: PathBuf,
    arguments: Vec<String>,
    settings: Vec<(String, String)>,
    /// The binary gets the site as flags, a user's program as variables.
    slots: Option<usize>,
}

impl WorkerProgram {
    /// The `backshift` binary with the probe kind and this many slots.
    pub fn backshift(binary: &Path, slots: usize) -> Self {
        let settings = [
            ("BACKSHIFT_PROBE", "true"),
            ("BACKSHIFT_RETRY_BASE", "200ms"),
            ("BACKSHIFT_RETRY_CAP", "2s"),
            ("BACKSHIFT_WORKER_HTTP_ADDR", "127.0.0.1:0"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { path: binary.to_owned(), arguments: Vec::new(), settings, slots: Some(slots) }
    }

    /// The program that runs right now, started again with these arguments; it must call [`role`].
    ///
    /// # Errors
    /// The system does not say where the program is.
    pub fn this_program(arguments: &[&str]) -> io::Result<Self> {
        let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
        Ok(Self { path: std::env::current_exe()?, arguments, settings: Vec::new(), slots: None })
    }

    /// With one more variable in its environment.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The binary, when it is the binary.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Arguments and environment of one worker.
    pub(super) fn call(&self, site: &Site, name: &str) -> (Vec<String>, Vec<(String, String)>) {
        let (mut arguments, mut settings) = (self.arguments.clone(), self.settings.clone());
        settings.push((NAME.to_owned(), name.to_owned()));
        match self.slots {
            Some(slots) => {
                let queue = format!("{}:{slots}", site.queue);
                let flags = ["worker", "--broker", &site.broker, "--store", &site.store, "--queue", &queue];
                arguments.extend(flags.map(str::to_owned));
            }
            None => {
                let pairs = [(BROKER, &site.broker), (STORE, &site.store), (QUEUE, &site.queue)];
                settings.extend(pairs.map(|(name, value)| (name.to_owned(), value.clone())));
            }
        }
        (arguments, settings)
    }
}

/// The site to work on and the worker's name, when a run started this program as a worker; `None` = it was started
/// by a person, and shall run the test.
pub fn role() -> Option<(Site, String)> {
    let read = |name: &str| std::env::var(name).ok();
    Some((Site { broker: read(BROKER)?, store: read(STORE)?, queue: read(QUEUE)? }, read(NAME)?))
}
