//! One server's own place: a private directory, private ports, an account, and the name by which it is told from somebody
//! else's server that happens to listen on the same port.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{account::Account, ports::free_port};

/// Where one server lives, and how.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its private directory.
    pub dir: PathBuf,
    /// Whom it runs as; `None` = whoever we are.
    pub account: Option<Account>,
    /// By their roles.
    pub ports: BTreeMap<String, u16>,
    /// The identity that the server states when it is asked: 16 hex digits.
    pub nonce: String,
    /// How it was wished.
    pub wishes: Wishes,
    /// The main port of the server that it stands in front of.
    pub behind: Option<u16>,
    /// What was unpacked stays here between starts. Its files name it absolutely: do not move it.
    pub cache: Option<PathBuf>,
    /// The process that was launched; `None` while there is none, and for a container.
    pub pid: Option<u32>,
}

/// What differs between one server and another of its kind.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Durable settings off: quicker, and refused by the product's boot check.
    pub fast: bool,
    /// Little memory: one of several beside the shared ones.
    pub small: bool,
    /// Certificate and key as PEM; `None` = no TLS. Servers that know no TLS pass it over.
    pub certificate: Option<(String, String)>,
    /// A method of authentication in the server's own words, such as `scram-sha-256`, and the password; `None` = everybody.
    pub login: Option<(&'static str, String)>,
}

impl Site {
    /// A site with an identity and ports of its own.
    ///
    /// # Errors
    /// No port is free.
    pub fn new(account: Option<Account>, ports: &[&str], dir: PathBuf, wishes: Wishes) -> Result<Self> {
        let drawn = ports.iter().map(|role| Ok(((*role).to_owned(), free_port()?)));
        Ok(Self {
            dir,
            account,
            ports: drawn.collect::<Result<_>>()?,
            nonce: nonce()?,
            wishes,
            behind: None,
            cache: None,
            pid: None,
        })
    }

    /// The port with that role.
    ///
    /// # Errors
    /// There is none: the site was written down by another version of our tool.
    pub fn port(&self, role: &str) -> Result<u16> {
        let found = self.ports.get(role).copied();
        found.with_context(|| {
            format!("{} has no {role} port: run `cargo xtask services down`", self.dir.display())
        })
    }

    /// The name of a file in the private directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes a directory that belongs to the server's account alone; `""` is the private one itself.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make_dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.file(name);
        Account::own_dir(self.account, &dir)?;
        Ok(dir)
    }

    /// Writes a file that the server's account may read.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.file(name);
        Account::write(self.account, &file, text)?;
        Ok(file)
    }

    /// The same, and nobody else may.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_secret(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.write(name, text)?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
        Ok(file)
    }

    /// The last lines that it printed.
    pub fn end_of_log(&self) -> String {
        crate::command::last_lines(&std::fs::read_to_string(self.file("log")).unwrap_or_default(), 15)
    }
}

/// How a process is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Politely.
    Term,
    /// As by hand.
    Int,
    /// Not asked: there is nothing to lose.
    Kill,
}

impl Signal {
    /// As the shell's `kill` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Int => "INT",
            Self::Kill => "KILL",
        }
    }
}

/// A process to start.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Full path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Everything that it finds in its environment beside `PATH`, `LANG` and `HOME`, which may be set, too.
    pub envs: Vec<(&'static str, OsString)>,
    /// What it stops by.
    pub signal: Signal,
}

impl Launch {
    /// A program with these arguments, stopped by `TERM`.
    pub fn new<A: Into<OsString>>(program: PathBuf, args: impl IntoIterator<Item = A>) -> Self {
        let args = args.into_iter().map(Into::into).collect();
        Self { program, args, envs: Vec::new(), signal: Signal::Term }
    }

    /// The same, stopped by another signal.
    #[must_use]
    pub fn stopped_by(mut self, signal: Signal) -> Self {
        self.signal = signal;
        self
    }

    /// The same with this environment.
    #[must_use]
    pub fn with_envs(mut self, envs: Vec<(&'static str, OsString)>) -> Self {
        self.envs = envs;
        self
    }

    /// The same in a session of its own, so that it outlives us and our terminal.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.args.insert(0, self.program.into());
        self.program = PathBuf::from("setsid");
        self
    }

    /// The command: in the private directory, under the server's account, with its output at the end of `<dir>/log`.
    ///
    /// # Errors
    /// The log cannot be opened.
    pub fn command(&self, site: &Site) -> Result<Command> {
        let log = File::options().create(true).append(true).open(site.file("log"))?;
        let mut command = Command::new(&self.program);
        command.args(&self.args).current_dir(&site.dir).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C.UTF-8").env("HOME", &site.dir);
        command.envs(self.envs.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Account::apply(site.account, &mut command);
        Ok(command)
    }
}

/// A name nobody else uses: lower-case hex, 16 digits.
fn nonce() -> Result<String> {
    let mut bytes = [0_u8; 8];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("/dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
