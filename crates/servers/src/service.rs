//! What every kind of server has in common. A new one is a file that implements [`Service`], and a line in `catalog.rs`.
//!
//! Everything here may block: whoever lives in an asynchronous runtime asks on a thread of its own.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Result, bail};

use crate::{Launch, Site, Wishes, account::Account, programs};

/// One kind of server.
pub trait Service: Sync {
    /// Its name on the command line, of its directory and its Compose service.
    fn name(&self) -> &'static str;

    /// The program that it is.
    fn program(&self) -> &'static str {
        self.name()
    }

    /// The Debian package that brings the program.
    fn package(&self) -> &'static str {
        self.program()
    }

    /// Whether [`Service::package`] need not be installed.
    fn is_installed(&self) -> bool {
        programs::find(self.program()).is_ok()
    }

    /// A server that must be up before this one starts; it stands in front of it and states its identity.
    fn after(&self) -> Option<&'static str> {
        None
    }

    /// Roles of the ports it needs; `main` is the one clients use.
    fn ports(&self) -> &'static [&'static str] {
        &["main"]
    }

    /// The account to run under when we are root.
    fn account(&self) -> &'static str {
        "nobody"
    }

    /// A place for it, with an identity and ports of its own.
    ///
    /// # Errors
    /// The account is missing, or no port is free.
    fn site(&self, dir: PathBuf, wishes: Wishes) -> Result<Site> {
        Site::new(Account::named(self.account())?, self.ports(), dir, wishes)
    }

    /// Makes its data and configuration in the empty directory of `site`; done once, also for a server that is killed and
    /// started again.
    ///
    /// # Errors
    /// A program is missing or fails, or a file cannot be written.
    fn prepare(&self, _site: &Site) -> Result<()> {
        Ok(())
    }

    /// What runs beside it from before its first start until after its end.
    ///
    /// # Errors
    /// The program is missing.
    fn companion(&self, _site: &Site) -> Result<Option<Launch>> {
        Ok(None)
    }

    /// The server itself, on the data that it has.
    ///
    /// # Errors
    /// The program is missing.
    fn launch(&self, site: &Site) -> Result<Launch>;

    /// The process that is told (by `TERM`) to stop, where the one that was launched only waits for it.
    fn node(&self, _site: &Site) -> Option<u32> {
        None
    }

    /// Succeeds only if it takes work and says that it is the server of this site.
    ///
    /// # Errors
    /// It does neither, or not yet.
    fn probe(&self, site: &Site) -> Result<()>;

    /// Where clients find it.
    ///
    /// # Errors
    /// The site has no port for it.
    fn url(&self, site: &Site) -> Result<String>;

    /// Where clients find it through TLS, if that is another address.
    fn encrypted_url(&self, _site: &Site) -> Option<String> {
        None
    }

    /// `BACKSHIFT_TEST_*` variables for the tests.
    ///
    /// # Errors
    /// As [`Service::url`].
    fn variables(&self, site: &Site) -> Result<Vec<(&'static str, String)>>;

    /// Whether everything that it confirmed would be there after a kill at this moment. One that has to wait for it has a
    /// known fault of its own.
    fn may_be_killed(&self, _site: &Site) -> bool {
        true
    }

    /// What stands in each of its queues; a database has none.
    ///
    /// # Errors
    /// It does not answer, or has not counted yet.
    fn queues(&self, _site: &Site) -> Result<BTreeMap<String, u64>> {
        Ok(BTreeMap::new())
    }

    /// Changes how the running server behaves.
    ///
    /// # Errors
    /// It refuses, or has no such thing.
    fn tune(&self, _site: &Site, tuning: Tuning) -> Result<()> {
        bail!("{} has no such thing: {tuning:?}", self.name())
    }
}

/// What a test changes of a running server.
#[derive(Debug, Clone, Copy)]
pub enum Tuning {
    /// Raises or ends the memory alarm, under which everybody who publishes is blocked, and nobody who consumes.
    MemoryAlarm(bool),
    /// Closes every channel, of those that are opened from now on, on which a delivery is not acknowledged for so long.
    AckTimeout(Duration),
}
