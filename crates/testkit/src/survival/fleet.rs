//! The workers of a run: a fixed number of places, each with a process that is replaced when it is gone.
//!
//! Half of the replacements keep the name of the dead one, as a service manager on a fixed host does; the others get
//! a new one, as a container does.

use std::{io, time::Duration};

use super::{Site, WorkerProgram};
use crate::{process::Running, proxy::Proxy};

/// One worker process, with its own way to each server.
struct Member {
    name: String,
    process: Running,
    /// In the order of [`Site::addresses`].
    ways: Vec<Proxy>,
}

/// Running workers.
pub struct Fleet {
    program: WorkerProgram,
    site: Site,
    proxied: bool,
    members: Vec<Member>,
    started: usize,
    /// The output of those that are gone, each shortened to its end.
    remains: Vec<(String, String)>,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.members.iter().map(|member| member.name.as_str()).collect();
        f.debug_tuple("Fleet").field(&names).finish()
    }
}

const KEPT: usize = 16 * 1024;

impl Fleet {
    /// Starts so many workers.
    pub async fn start(
        program: WorkerProgram,
        site: &Site,
        workers: usize,
        proxied: bool,
    ) -> io::Result<Self> {
        let mut fleet = Self {
            program,
            site: site.clone(),
            proxied,
            members: Vec::new(),
            started: 0,
            remains: Vec::new(),
        };
        for _ in 0..workers.max(1) {
            fleet.enlist(None).await?;
        }
        Ok(fleet)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The name of the worker in this place (modulo their number).
    pub fn name(&self, pick: usize) -> &str {
        &self.members[pick % self.members.len()].name
    }

    /// The process in this place (modulo their number).
    pub fn process(&self, pick: usize) -> &Running {
        &self.members[pick % self.members.len()].process
    }

    /// The ways of the worker in this place to the servers, broker first; none unless the fleet is proxied.
    pub fn ways(&self, pick: usize) -> &[Proxy] {
        &self.members[pick % self.members.len()].ways
    }

    /// The ways of all workers to one server (modulo the servers).
    pub fn ways_to(&self, server: usize) -> impl Iterator<Item = &Proxy> {
        self.members.iter().filter_map(move |member| member.ways.get(server % member.ways.len().max(1)))
    }

    /// SIGKILL to one worker. Its place stays empty until [`Self::replace`]; its name.
    pub async fn kill(&mut self, pick: usize) -> String {
        let at = pick % self.members.len();
        let member = self.members.remove(at);
        self.bury(&member);
        member.process.kill().await;
        member.name
    }

    /// SIGKILL to all workers at the same moment; their names.
    pub async fn kill_all(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        for member in &self.members {
            member.process.signal(crate::process::Signal::KILL);
        }
        while !self.members.is_empty() {
            names.push(self.kill(0).await);
        }
        names
    }

    /// SIGTERM to one worker, and waits for its end; the exit code, or `None` when it did not end in time.
    pub async fn stop(&mut self, pick: usize, deadline: Duration) -> Option<i32> {
        let at = pick % self.members.len();
        let mut member = self.members.remove(at);
        member.process.terminate();
        let ended = member.process.ended(deadline).await;
        self.bury(&member);
        ended.and_then(|status| status.code())
    }

    /// SIGTERM to all, then waits for all; their exit codes.
    pub async fn stop_all(&mut self, deadline: Duration) -> Vec<Option<i32>> {
        for member in &self.members {
            member.process.terminate();
        }
        let mut codes = Vec::new();
        while !self.members.is_empty() {
            let mut member = self.members.remove(0);
            let ended = member.process.ended(deadline).await;
            self.bury(&member);
            codes.push(ended.and_then(|status| status.code()));
        }
        codes
    }

    /// Starts a worker in an empty place, under the name of the dead one or a new one.
    ///
    /// # Errors
    /// A proxy found no port.
    pub async fn replace(&mut self, name: Option<String>) -> io::Result<()> {
        self.enlist(name).await
    }

    /// Removes those that ended by themselves; their names.
    pub async fn sweep(&mut self) -> Vec<String> {
        let mut gone = Vec::new();
        let mut at = 0;
        while at < self.members.len() {
            match self.members[at].process.ended(Duration::ZERO).await {
                Some(_) => {
                    let member = self.members.remove(at);
                    self.bury(&member);
                    gone.push(member.name);
                }
                None => at += 1,
            }
        }
        gone
    }

    /// What each worker printed, the end of it.
    pub fn outputs(&self) -> Vec<(String, String)> {
        let alive = self.members.iter().map(|member| (member.name.clone(), end_of(&member.process.output())));
        self.remains.iter().cloned().chain(alive).collect()
    }

    async fn enlist(&mut self, name: Option<String>) -> io::Result<()> {
        self.started += 1;
        let name = name.unwrap_or_else(|| format!("survivor-{}-{}", std::process::id(), self.started));
        let (mut site, mut ways) = (self.site.clone(), Vec::new());
        if self.proxied {
            for url in self.site.addresses() {
                let (proxy, through) = Proxy::before(&url).await;
                for place in [&mut site.broker, &mut site.store] {
                    if *place == url {
                        *place = through.clone();
                    }
                }
                ways.push(proxy);
            }
        }
        let (arguments, settings) = self.program.call(&site, &name);
        let settings: Vec<(&str, &str)> =
            settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let process = Running::launch(self.program.path(), &arguments, &settings);
        self.members.push(Member { name, process, ways });
        Ok(())
    }

    fn bury(&mut self, member: &Member) {
        self.remains.push((member.name.clone(), end_of(&member.process.output())));
    }
}

fn end_of(text: &str) -> String {
    let from = text.len().saturating_sub(KEPT);
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    text[from..].to_owned()
}
