//! Reads the two outside sources, the TOML file and the environment, and refuses what nobody knows.
//!
//! Two spellings of one setting (`SMTP_USER`, `SMTP_USERNAME`) may both be set when they are equal.

use std::{collections::BTreeMap, ffi::OsString, os::unix::fs::MetadataExt};

use super::{Origin, Problems, SETTINGS, Setting, secret_files, setting};

type Layer = BTreeMap<&'static str, (String, Origin)>;

/// The file read when no other is named and it exists.
const DEFAULT_FILE: &str = "backshift.toml";

/// Where a test tells the process to die, such as `after-ledger:abort`. No setting: no file has it.
pub(crate) const FAILPOINT: &str = "BACKSHIFT_FAILPOINT";

/// Variables with our prefix that are not settings but the test suite's: all that begin so, and two names.
const OF_TESTS: (&str, [&str; 2]) = ("BACKSHIFT_TEST_", ["BACKSHIFT_REQUIRE", FAILPOINT]);

/// Path and text of the file: the named one must exist, `backshift.toml` may.
pub(super) fn file(named: Option<&str>) -> Result<Option<(String, String)>, Problems> {
    let path = named.unwrap_or(DEFAULT_FILE);
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some((path.to_owned(), text))),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Problems(vec![format!("configuration file {path}: {error}")])),
    }
}

/// Who may touch the configuration file beside its owner.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rights {
    path: String,
    mode: u32,
}

impl Rights {
    /// A file that everybody may write says nothing reliable: whoever writes it decides where passwords are sent.
    pub(super) fn problem(&self) -> Option<String> {
        let Self { path, mode } = self;
        (mode & 0o002 != 0).then(|| {
            format!("configuration file {path}: everybody can write it (mode {mode:03o}): chmod o-w {path}")
        })
    }

    /// Others who read its secrets, or put theirs in; said when it holds any.
    pub(super) fn remark(&self) -> Option<String> {
        let Self { path, mode } = self;
        (mode & 0o066 != 0).then(|| {
            format!(
                "configuration file {path} holds secrets, and others can read or write it (mode {mode:03o}): chmod 600 {path}"
            )
        })
    }
}

pub(super) fn rights_of(path: &str) -> Option<Rights> {
    let found = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    Some(Rights { path: path.to_owned(), mode: found.mode() & 0o777 })
}

/// The settings of a file.
pub(super) fn settings(path: &str, text: &str) -> Result<Layer, Problems> {
    let table: toml::Table =
        toml::from_str(text).map_err(|error| Problems(vec![unread(path, text, &error)]))?;
    let mut layer = Layer::new();
    let mut problems = Vec::new();
    flatten("", &table, &mut |key, value| match (setting(key), plain(value)) {
        (Some(setting), Some(text)) => {
            layer.insert(setting.key, (text, Origin::File(path.to_owned())));
        }
        (Some(_), None) => {
            problems.push(format!("{key} (file {path}): write it as text, number or true/false"))
        }
        (None, _) => problems.push(format!(
            "{key} (file {path}): unknown key{}",
            meant(key, SETTINGS.iter().map(|s| s.key.to_owned()))
        )),
    });
    if problems.is_empty() { Ok(layer) } else { Err(Problems(problems)) }
}

/// Where and why a file is no TOML. The error's own text shows the line, which may hold a password.
fn unread(path: &str, text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.as_bytes().get(..span.start)).unwrap_or_default();
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    format!("configuration file {path}, line {line}: {}", error.message().replace('\n', ", "))
}

/// The settings of the environment.
pub(super) fn environment(vars: impl Iterator<Item = (OsString, OsString)>) -> Result<Layer, Problems> {
    let mut problems = Vec::new();
    let mut set = Variables::new();
    for (name, value) in vars {
        let Some(name) = name.to_str().map(str::to_owned) else { continue };
        let ours = name.starts_with("BACKSHIFT_");
        if name.starts_with(OF_TESTS.0) || OF_TESTS.1.contains(&name.as_str()) {
            continue;
        }
        let file_of = secret_files::stands_for(&name, &SETTINGS).map(str::to_owned);
        if file_of.is_none() && !SETTINGS.iter().any(|s| s.variables().contains(&name)) {
            if ours {
                let known = SETTINGS.iter().map(Setting::variable);
                problems.push(format!("{name} (environment): unknown variable{}", meant(&name, known)));
            }
            continue;
        }
        let Ok(value) = value.into_string() else {
            problems.push(format!("{name} (environment): the value is not UTF-8"));
            continue;
        };
        // Compose files pass on what nobody set as an empty text.
        if value.is_empty() {
            continue;
        }
        let (variable, text) = match file_of {
            None => (name.clone(), Ok(value)),
            Some(variable) => (variable, secret_files::read(&value)),
        };
        match text {
            Ok(text) => set.entry(variable).or_default().push((name, text)),
            Err(problem) => problems.push(format!("{name} (environment): {problem}")),
        }
    }
    let layer = SETTINGS.iter().filter_map(|s| one(s, &set, &mut problems)).collect();
    if problems.is_empty() { Ok(layer) } else { Err(Problems(problems)) }
}

/// By variable: who set it (itself, or its file), and to what.
type Variables = BTreeMap<String, Vec<(String, String)>>;

fn one(
    setting: &Setting,
    set: &Variables,
    problems: &mut Vec<String>,
) -> Option<(&'static str, (String, Origin))> {
    let spellings: Vec<_> =
        setting.variables().iter().filter_map(|variable| set.get(variable)).flatten().collect();
    let (name, text) = spellings.first()?;
    if let Some((other, _)) = spellings.iter().find(|(_, t)| t != text) {
        problems.push(format!(
            "{name} and {other} (environment) are both set and differ: they mean the same, keep one"
        ));
    }
    let key = super::setting(setting.key).map_or(setting.key, |s| s.key);
    Some((key, (text.clone(), Origin::Variable(name.clone()))))
}

fn flatten(prefix: &str, table: &toml::Table, each: &mut impl FnMut(&str, &toml::Value)) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) => flatten(&key, inner, each),
            other => each(&key, other),
        }
    }
}

fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(switch) => Some(switch.to_string()),
        _ => None,
    }
}

/// `; did you mean X?` for the closest known name, if one is close.
fn meant(name: &str, known: impl Iterator<Item = String>) -> String {
    match backshift_core::nearest(name, known) {
        Some(known) => format!("; did you mean {known}?"),
        None => "; `backshift config show` lists every key".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_touch_the_file_is_looked_at() {
        let rights = |mode| Rights { path: "b.toml".into(), mode };
        for mode in [0o666, 0o602, 0o646] {
            assert!(rights(mode).problem().is_some_and(|text| text.contains("chmod o-w b.toml")), "{mode:o}");
        }
        for mode in [0o644, 0o660, 0o620, 0o604] {
            assert!(rights(mode).problem().is_none() && rights(mode).remark().is_some(), "{mode:o}");
        }
        assert_eq!(
            (rights(0o600).problem(), rights(0o600).remark(), rights(0o700).remark()),
            (None, None, None)
        );
    }

    fn env(pairs: &[(&str, &str)]) -> Result<Layer, Problems> {
        environment(pairs.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))))
    }

    #[test]
    fn both_spellings_are_read_and_must_agree() {
        assert_eq!(env(&[("SMTP_USER", "a")]).unwrap()["smtp.username"].0, "a");
        assert!(env(&[("SMTP_USER", "a"), ("SMTP_USERNAME", "a")]).is_ok());
        let problems = env(&[("SMTP_USER", "a"), ("SMTP_USERNAME", "b")]).unwrap_err();
        assert!(problems.0[0].contains("SMTP_USER") && problems.0[0].contains("SMTP_USERNAME"));
    }

    #[test]
    fn a_secret_may_stand_in_a_file_and_must_agree_with_what_is_set_beside_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("smtp");
        std::fs::write(&path, "hunter2\n").unwrap();
        let path = path.to_str().unwrap();
        let read = env(&[("SMTP_PASSWORD_FILE", path), ("SMTP_PASSWORD", "")]).unwrap();
        let told = Origin::Variable("SMTP_PASSWORD_FILE".into());
        assert_eq!(read["smtp.password"], ("hunter2".to_owned(), told));
        assert!(env(&[("SMTP_PASSWORD_FILE", path), ("SMTP_PASS", "hunter2")]).is_ok());
        let problem = env(&[("SMTP_PASSWORD_FILE", path), ("SMTP_PASS", "other")]).unwrap_err().to_string();
        assert!(problem.contains("SMTP_PASSWORD_FILE") && problem.contains("SMTP_PASS "), "{problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
        let problem = env(&[("BACKSHIFT_SMTP_PASSWORD_FILE", "/not/there")]).unwrap_err().to_string();
        assert!(
            problem.starts_with("BACKSHIFT_SMTP_PASSWORD_FILE (environment): the file /not/there"),
            "{problem}"
        );
        assert!(env(&[("BACKSHIFT_MAIL_CONCURRENCY_FILE", path)]).is_err(), "no secret");
    }

    #[test]
    fn an_unknown_variable_is_an_error_with_the_nearest_name() {
        let problems = env(&[("BACKSHIFT_WORKER_LAESE", "5s"), ("PATH", "/bin")]).unwrap_err();
        assert_eq!(problems.0.len(), 1);
        assert!(problems.0[0].contains("did you mean BACKSHIFT_WORKER_LEASE?"), "{problems}");
        assert!(
            env(&[("BACKSHIFT_TEST_POSTGRES_URL", "x"), ("BACKSHIFT_REQUIRE", "all")]).unwrap().is_empty()
        );
        assert_eq!(env(&[("BACKSHIFT_REQUIRE_TLS", "true")]).unwrap()["require_tls"].0, "true");
    }

    #[test]
    fn an_unknown_key_of_the_file_is_an_error_with_the_nearest_name() {
        let problems = settings("b.toml", "max_attempts = 3\n[worker]\nlaese = \"5s\"\n").unwrap_err();
        assert!(
            problems.0[0].contains("worker.laese") && problems.0[0].contains("worker.lease?"),
            "{problems}"
        );
        assert!(file(Some("does-not-exist.toml")).is_err());
    }

    #[test]
    fn a_file_that_is_no_toml_is_told_by_its_line_and_not_by_what_stands_there() {
        for text in ["\n[smtp]\npassword = \"hunter2\n", "\n[smtp]\npassword = hunter2\n"] {
            let problem = settings("b.toml", text).unwrap_err().to_string();
            assert!(problem.contains("b.toml, line 3: ") && !problem.contains("hunter2"), "{problem}");
        }
    }
}
