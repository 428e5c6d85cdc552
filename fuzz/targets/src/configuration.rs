//! A file and an environment: either a configuration in which every value keeps its form, or problems that name the key
//! and never a secret.
//!
//! The command line is a program and not a library, so its module is included by path. Input: the TOML file, a line
//! `---`, then lines of `NAME=value`.

#[allow(dead_code, unused_imports, reason = "the program uses what the target does not")]
#[path = "../../../crates/cli/src/config/mod.rs"]
mod config;

/// The brokers' own settings are of the forms that the others have.
mod sources {
    pub(super) fn settings() -> impl Iterator<Item = &'static [super::config::Setting]> {
        std::iter::empty()
    }
}

/// So are the domains' own, but for sizes and secrets: of each there is one.
mod domains {
    use super::config::{Form, Setting, set};

    const SETTINGS: &[Setting] = &[
        set("mail.max_size", &[], "48MiB", Form::Size, "A size."),
        set("auth.jwt_secret", &["JWT_SECRET"], "", Form::Secret, "A secret."),
    ];

    pub(super) fn settings() -> impl Iterator<Item = &'static [Setting]> {
        std::iter::once(SETTINGS)
    }
}

use std::{ffi::OsString, time::Duration};

use config::{Config, Form, Key, SETTINGS, Setting, Text};

use crate::{cost, log_line::SECRET};

/// Longest duration that every clock of ours can still add to now.
const CENTURY: Duration = Duration::from_secs(100 * 366 * 86_400);

/// One file and one environment.
pub fn configuration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (file, variables) = text.split_once("\n---\n").unwrap_or((&text, ""));
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let environment = variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let read = || Config::read(Some(("fuzz.toml", file)), environment, &[]);
    match cost::within("a configuration", bytes.len(), 1024, read) {
        Err(problems) => {
            assert!(!problems.0.is_empty(), "refused without a reason");
            for problem in &problems.0 {
                assert!(!problem.is_empty() && problem.len() < 4096 + 2 * bytes.len());
                hides_secrets(problem, &text);
            }
        }
        Ok(config) => {
            SETTINGS.iter().for_each(|setting| has_its_form(&config, setting));
            is_written_and_read_again(&config);
        }
    }
}

/// Neither the password of a URL nor the value of a secret's key. Other values may be repeated: they help to find the
/// mistake. Only inputs that hold the secret once are judged.
fn hides_secrets(told: &str, input: &str) {
    let mut marked = input.lines().filter(|line| line.contains(SECRET));
    let (Some(line), None) = (marked.next(), marked.next()) else { return };
    let Some((name, value)) = line.split_once('=') else { return };
    let secrets = ["password", "jwt_secret", "SMTP_PASS", "SMTP_PASSWORD", "JWT_SECRET"];
    let once = value.matches(SECRET).count() == 1 && !name.contains(SECRET);
    if once && (secrets.contains(&name.trim()) || value.contains(&format!(":{SECRET}@"))) {
        assert!(!told.contains(SECRET), "a secret is repeated: {told}");
    }
}

fn text<'a>(config: &'a Config, setting: &Setting) -> &'a str {
    config.get(&Key::<Text>::new(*setting))
}

fn has_its_form(config: &Config, setting: &Setting) {
    let (key, text, shown) = (setting.key, text(config, setting), config.shown(setting));
    let time = || config.get(&Key::<Duration>::new(*setting));
    match setting.form {
        Form::Duration => assert!(time() <= CENTURY, "{key}: {text}"),
        Form::Time => {
            assert!(!time().is_zero() && time() <= CENTURY, "{key}: {text}")
        }
        Form::Number(least, most) => {
            let number = config.get(&Key::<u64>::new(*setting));
            assert!((least..=most).contains(&number), "{key}: {text}");
        }
        Form::Word(words) => assert!(words.contains(&text), "{key}: {text}"),
        Form::Secret => assert!(text.is_empty() || shown == "(set, not shown)", "{key} is shown"),
        Form::Url => {
            for place in [format!(":{SECRET}@"), format!("?password={SECRET}")] {
                assert!(!shown.contains(&place), "{key} shows its password: {shown}");
            }
        }
        Form::Networks => {
            let networks = text.parse::<backshift_http::client::TrustedNetworks>();
            assert!(networks.is_ok(), "{key}: {text}");
        }
        Form::Header => assert!(text.parse::<backshift_http::client::HeaderName>().is_ok(), "{key}: {text}"),
        Form::Text | Form::Switch | Form::Size => {}
    }
}

/// As a file that sets every key.
fn is_written_and_read_again(config: &Config) {
    let mut file = toml::Table::new();
    for setting in SETTINGS.iter() {
        let value = toml::Value::from(text(config, setting));
        match setting.key.split_once('.') {
            None => drop(file.insert(setting.key.into(), value)),
            Some((section, name)) => {
                let table = file.entry(section).or_insert_with(|| toml::Table::new().into());
                table.as_table_mut().expect("sections are tables").insert(name.into(), value);
            }
        }
    }
    let file = toml::to_string(&file).expect("texts can be written");
    let again =
        Config::read(Some(("fuzz.toml", &file)), std::iter::empty(), &[]).expect("it was read before");
    for setting in SETTINGS.iter() {
        assert_eq!(text(config, setting), text(&again, setting), "{}", setting.key);
    }
}
