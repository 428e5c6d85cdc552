//! What is configured, and where each value came from.
//!
//! Flags beat the environment, which beats the file, which beats the defaults. Every error names the key, the
//! value, the source and the remedy; all errors are reported at once.

mod key;
mod ranges;
mod secret_files;
mod setting;
pub(crate) mod settings;
mod sources;
mod template;
mod value;

use std::{collections::BTreeMap, ffi::OsString, fmt, path::Path};

use backshift_http::client::{HeaderName, TrustedNetworks};

use key::Value;
use sources::{Rights, rights_of};

pub(crate) use key::{Bytes, Key, Secret, Text, settings};
pub(crate) use setting::{Form, Setting, set};
pub(crate) use settings::{self as keys, SETTINGS, setting};
pub(crate) use sources::FAILPOINT;
pub(crate) use template::template;
pub(crate) use value::duration;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The built-in default.
    Default,
    /// A key of this file.
    File(String),
    /// This variable.
    Variable(String),
    /// This flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// Everything that is wrong with the configuration, one line a cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problems(pub(crate) Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// The checked configuration.
#[derive(Clone)]
pub(crate) struct Config {
    values: BTreeMap<&'static str, (String, Origin)>,
    /// What is to be said about the configuration once there is a log.
    remarks: Vec<String>,
}

impl Config {
    /// Reads the file (if any) and the environment, and lays the flags over them.
    pub(crate) fn load(
        file: Option<&str>,
        flags: &[(&'static str, &'static str, String)],
    ) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let found = sources::file(file).map_err(|Problems(more)| problems.extend(more)).unwrap_or_default();
        let file = found.as_ref().map(|(path, text)| (path.as_str(), text.as_str()));
        let rights = found.as_ref().and_then(|(path, _)| rights_of(path));
        problems.extend(rights.as_ref().and_then(Rights::problem));
        match Self::read(file, std::env::vars_os(), flags) {
            Ok(mut config) if problems.is_empty() => {
                let secrets = SETTINGS.iter().any(|setting| config.is_secret_of_a_file(setting));
                config.remarks.extend(rights.as_ref().filter(|_| secrets).and_then(Rights::remark));
                Ok(config)
            }
            Ok(_) => Err(Problems(problems)),
            Err(Problems(more)) => Err(Problems(problems.into_iter().chain(more).collect())),
        }
    }

    /// The same from a file's path and text and from these variables.
    pub(crate) fn read(
        file: Option<(&str, &str)>,
        variables: impl Iterator<Item = (OsString, OsString)>,
        flags: &[(&'static str, &'static str, String)],
    ) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let mut values = Self::defaults().values;
        let file = file.map_or_else(|| Ok(BTreeMap::new()), |(path, text)| sources::settings(path, text));
        for layer in [file, sources::environment(variables)] {
            match layer {
                Ok(found) => values.extend(found),
                Err(Problems(more)) => problems.extend(more),
            }
        }
        for (key, flag, text) in flags {
            values.insert(key, (text.clone(), Origin::Flag(flag)));
        }
        for setting in SETTINGS.iter() {
            let (text, origin) = &values[setting.key];
            if let Err(problem) = check(setting, text) {
                // A URL in the wrong place brings its password along.
                let problem = match text.contains('@') {
                    true => problem.replace(&format!("{text:?}"), "the value (not shown)"),
                    false => problem,
                };
                problems.push(format!("{} ({origin}): {problem}", setting.key));
            }
        }
        match problems.is_empty() {
            true => Ok(Self { values, remarks: Vec::new() }),
            false => Err(Problems(problems)),
        }
    }

    /// The defaults alone: for what must be said about a configuration that cannot be read.
    pub(crate) fn defaults() -> Self {
        let values = SETTINGS.iter().map(|s| (s.key, (s.default.to_owned(), Origin::Default))).collect();
        Self { values, remarks: Vec::new() }
    }

    /// Defaults and these settings, as if a flag `--flag` had said them. For tests.
    #[cfg(test)]
    pub(crate) fn of_flags(flags: &[(&'static str, &str)]) -> Self {
        let mut values = Self::defaults().values;
        values.extend(flags.iter().map(|(key, text)| (*key, ((*text).to_owned(), Origin::Flag("--flag")))));
        Self { values, remarks: Vec::new() }
    }

    /// Where the files of this machine are.
    pub(crate) fn data_dir(&self) -> &Path {
        Path::new(self.get(&keys::DATA_DIR))
    }

    /// What is odd about it and no error.
    pub(crate) fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Whether a file says it and nobody else should read it.
    fn is_secret_of_a_file(&self, setting: &Setting) -> bool {
        let secret = match setting.form {
            Form::Secret => !self.text(setting).is_empty(),
            Form::Url => holds_password(self.text(setting)),
            _ => false,
        };
        secret && matches!(self.origin(setting), Origin::File(_))
    }

    fn text(&self, setting: &Setting) -> &str {
        self.values.get(setting.key).map_or("", |(text, _)| text)
    }

    /// The value.
    pub(crate) fn get<T: Value>(&self, key: &Key<T>) -> T::Of<'_> {
        T::of(self.text(key.as_ref()))
    }

    /// The text, or `None` when it is empty.
    pub(crate) fn some(&self, key: impl AsRef<Setting>) -> Option<&str> {
        Some(self.text(key.as_ref())).filter(|text| !text.is_empty())
    }

    /// Whether somebody set it, and where.
    pub(crate) fn origin(&self, key: impl AsRef<Setting>) -> &Origin {
        self.values.get(key.as_ref().key).map_or(&Origin::Default, |(_, origin)| origin)
    }

    /// `worker.lease (environment BACKSHIFT_WORKER_LEASE): "5"`: how an error begins that names a setting.
    pub(crate) fn told(&self, key: impl AsRef<Setting>) -> String {
        let setting = key.as_ref();
        let shown = self.shown(setting);
        match (shown.is_empty(), self.origin(setting)) {
            (true, Origin::Default) => format!("{} is not set", setting.key),
            (_, origin) => format!("{} ({origin}): {shown:?}", setting.key),
        }
    }

    /// The value as it may be shown: no secret, no password in a URL.
    pub(crate) fn shown(&self, setting: &Setting) -> String {
        let text = self.text(setting);
        match setting.form {
            Form::Secret if !text.is_empty() => "(set, not shown)".to_owned(),
            Form::Url => without_password(text),
            _ => text.to_owned(),
        }
    }
}

/// Whether a URL has a password somewhere.
pub(crate) fn holds_password(url: &str) -> bool {
    without_password(url) != url
}

/// A URL whose password is replaced by `***`, wherever it stands.
pub(crate) fn without_password(text: &str) -> String {
    let is_secret = |name: &str| name.to_ascii_lowercase().contains("pass");
    let misplaced = |part: Option<&str>| part.is_some_and(|part| part.contains('@'));
    match url::Url::parse(text) {
        // `amqp:user:password@host`, a slash or two short: nothing says where a password begins.
        Ok(url) if [Some(url.path()), url.query(), url.fragment()].into_iter().any(misplaced) => {
            "(an @ in an odd place, not shown)".to_owned()
        }
        Ok(mut url) => {
            let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            let in_query = pairs.iter().any(|(name, _)| is_secret(name));
            if url.password().is_none() && !in_query {
                return text.to_owned();
            }
            if url.password().is_some() {
                let _ = url.set_password(Some("***"));
            }
            if in_query {
                let shown = pairs.iter().map(|(k, v)| (k, if is_secret(k) { "***" } else { v.as_str() }));
                url.query_pairs_mut().clear().extend_pairs(shown);
            }
            url.into()
        }
        Err(_) if text.contains('@') || is_secret(text) => "(not a URL, not shown)".to_owned(),
        Err(_) => text.to_owned(),
    }
}

fn check(setting: &Setting, text: &str) -> Result<(), String> {
    match setting.form {
        Form::Duration => value::duration(text).map(drop),
        Form::Time => match value::duration(text)? {
            none if none.is_zero() => Err(format!("{text:?} leaves no time: write a longer one, such as 5s")),
            _ => Ok(()),
        },
        Form::Switch => value::switch(text).map(drop),
        Form::Number(least, most) => value::number(text, least, most).map(drop),
        Form::Size => value::size(text).map(drop),
        Form::Word(words) if !words.contains(&text) => Err(format!(
            "{text:?} is not one of {}",
            words.iter().filter(|w| !w.is_empty()).copied().collect::<Vec<_>>().join(", ")
        )),
        Form::Url if !text.is_empty() && !text.contains(':') => {
            Err(format!("{text:?} is no URL: write scheme:… such as postgres://host/database"))
        }
        Form::Networks => {
            text.parse::<TrustedNetworks>().map(drop).map_err(|error| match text.contains('@') {
                // Told whole, so that it can be hidden whole.
                true => format!("{text:?} is no list of networks"),
                false => error.to_string(),
            })
        }
        Form::Header if text.parse::<HeaderName>().is_err() => {
            Err(format!("{text:?} is no name of a header: write x-forwarded-for or another one"))
        }
        Form::Text | Form::Secret | Form::Url | Form::Word(_) | Form::Header => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn a_password_in_a_url_is_not_shown_wherever_it_stands() {
        for (text, shown) in [
            ("postgres://u:p@h/d?sslmode=require", "postgres://u:***@h/d?sslmode=require"),
            ("postgres://u@h/d?password=p&sslmode=require", "postgres://u@h/d?password=***&sslmode=require"),
            ("amqp:u:p@h", "(an @ in an odd place, not shown)"),
            ("postgres:/u:p@h/d", "(an @ in an odd place, not shown)"),
            ("u:p@h", "(an @ in an odd place, not shown)"),
            ("postgrés://h/d?password=p", "(not a URL, not shown)"),
            ("sqlite:jobs.db", "sqlite:jobs.db"),
            ("amqps://h/v", "amqps://h/v"),
        ] {
            assert_eq!(without_password(text), shown);
        }
    }
}
