//! The engine: compiled once, rendered often, bounded in steps and size.
//!
//! Errors never quote values: a template's data may hold a code.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};
use serde::Serialize;

use super::{locale, shipped};

/// Steps that one part may take; the shipped ones take about a hundred.
const FUEL: u64 = 200_000;
/// Most bytes of one part.
const MAX_OUTPUT: usize = 1 << 20;
/// The three parts of a template.
const PARTS: [&str; 3] = ["subject.txt", "html", "txt"];

/// The source of one template in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateSource {
    /// One line, no escaping.
    pub subject: String,
    /// HTML, escaped. May extend `layout.html`.
    pub html: String,
    /// Plain text, no escaping.
    pub text: String,
}

/// A rendered mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The subject: one line, trimmed.
    pub subject: String,
    /// The HTML body.
    pub html: String,
    /// The text alternative.
    pub text: String,
    /// The locale that was found.
    pub locale: String,
}

/// Why a template gives no mail. All are permanent: a retry gives the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No template of this name in any language of the chain.
    #[error("there is no mail template {0:?}")]
    Unknown(String),
    /// The data lacks variables.
    #[error("the mail template {template:?} needs {}", .names.join(", "))]
    Missing {
        /// Which template.
        template: String,
        /// Every variable that it may use and the data does not have.
        names: Vec<String>,
    },
    /// Syntax error, endless loop, too much output, forbidden link.
    #[error("the mail template {template:?} cannot be rendered: {what}")]
    Broken {
        /// Which template.
        template: String,
        /// What is wrong and in which line.
        what: String,
    },
    /// The data is not an object.
    #[error("the data of a mail template must be an object with named fields")]
    Data,
}

/// A set of templates.
#[derive(Debug, Clone)]
pub struct Templates {
    environment: Environment<'static>,
    /// Name to locales.
    names: BTreeMap<String, BTreeSet<String>>,
}

impl Default for Templates {
    fn default() -> Self {
        Self::shipped()
    }
}

impl Templates {
    /// The templates that ship with Backshift.
    pub fn shipped() -> Self {
        let mut templates = Self::empty();
        for one in shipped::all() {
            // A shipped template that does not compile fails the test `every_shipped_template_renders`.
            let _ = templates.add(one.name, one.locale, one.source);
        }
        templates
    }

    fn empty() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_debug(false);
        environment.set_auto_escape_callback(|name| match name.ends_with(".html") {
            true => AutoEscape::Html,
            false => AutoEscape::None,
        });
        environment.add_filter("safe_url", safe_url);
        // As above: covered by the test of the shipped templates.
        let _ = environment.add_template("layout.html", shipped::LAYOUT);
        Self { environment, names: BTreeMap::new() }
    }

    /// Adds or replaces one template in one language; a syntax error is found now, not at the first mail.
    pub fn add(&mut self, name: &str, locale: &str, source: TemplateSource) -> Result<(), TemplateError> {
        let locale = locale.to_ascii_lowercase().replace('_', "-");
        for (part, text) in PARTS.into_iter().zip([source.subject, source.html, source.text]) {
            let added = self.environment.add_template_owned(part_name(name, &locale, part), text);
            added.map_err(|error| broken(name, &error))?;
        }
        self.names.entry(name.to_owned()).or_default().insert(locale);
        Ok(())
    }

    /// Names and their locales.
    pub fn names(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.names.iter().map(|(name, locales)| (name.as_str(), locales.iter().map(String::as_str).collect()))
    }

    /// Renders `name` in the closest language to `locale` (`vi-VN`, then `vi`, then `en`).
    pub fn render(&self, name: &str, locale: &str, data: &impl Serialize) -> Result<Rendered, TemplateError> {
        let locales = self.names.get(name).ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
        let mut chain = locale::fallback_chain(locale).into_iter();
        let found =
            chain.find(|l| locales.contains(l)).ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
        let data = serde_json::to_value(data).map_err(|_| TemplateError::Data)?;
        let serde_json::Value::Object(fields) = &data else { return Err(TemplateError::Data) };
        let value = Value::from(minijinja::value::Serde(&data));
        let part = |part: &str| self.part(name, &part_name(name, &found, part), &value);
        let parts = (part(PARTS[0]), part(PARTS[1]), part(PARTS[2]));
        match parts {
            (Ok(subject), Ok(html), Ok(text)) => {
                Ok(Rendered { subject: one_line(&subject), html, text, locale: found })
            }
            (subject, html, text) => {
                let errors = [subject.err(), html.err(), text.err()].into_iter().flatten();
                Err(self.explain(name, &found, fields, errors))
            }
        }
    }

    /// Renders with sample data, for a preview page. Templates that were added have no sample of their own.
    pub fn preview(&self, name: &str, locale: &str) -> Result<Rendered, TemplateError> {
        let sample = shipped::sample(name).ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
        self.render(name, locale, &sample)
    }

    fn part(&self, name: &str, part: &str, data: &Value) -> Result<String, minijinja::Error> {
        let template = self.environment.get_template(part)?;
        let mut out = Bounded::default();
        let done = template.render_captured_to(data, &mut out).map(|_| ());
        if out.full {
            let text = format!("{name} makes more than {MAX_OUTPUT} bytes");
            return Err(minijinja::Error::new(ErrorKind::InvalidOperation, text));
        }
        done.map(|()| String::from_utf8_lossy(&out.bytes).into_owned())
    }

    /// Missing variables win over other errors, because all of them can be named at once.
    fn explain(
        &self,
        name: &str,
        locale: &str,
        fields: &serde_json::Map<String, serde_json::Value>,
        errors: impl Iterator<Item = minijinja::Error>,
    ) -> TemplateError {
        let errors: Vec<_> = errors.collect();
        if errors.iter().any(|error| error.kind() == ErrorKind::UndefinedError) {
            let names = self.used(name, locale).into_iter().filter(|used| !fields.contains_key(used));
            return TemplateError::Missing { template: name.to_owned(), names: names.collect() };
        }
        match errors.first() {
            Some(error) => broken(name, error),
            None => TemplateError::Unknown(name.to_owned()),
        }
    }

    /// Every variable that the parts may look up and that is not optional (`X is defined`).
    fn used(&self, name: &str, locale: &str) -> BTreeSet<String> {
        let mut used = BTreeSet::new();
        for part in PARTS {
            let Ok(template) = self.environment.get_template(&part_name(name, locale, part)) else {
                continue;
            };
            let optional = |variable: &str| template.source().contains(&format!("{variable} is defined"));
            let known = |variable: &String| self.environment.globals().any(|(global, _)| global == variable);
            let undeclared = template.undeclared_variables(false).into_iter();
            used.extend(undeclared.filter(|v| !known(v) && !optional(v) && v != "super" && v != "self"));
        }
        used
    }
}

fn part_name(name: &str, locale: &str, part: &str) -> String {
    format!("{name}/{locale}.{part}")
}

/// Data may bring line breaks; in a subject they would begin a header.
fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.trim().to_owned()
}

fn broken(name: &str, error: &minijinja::Error) -> TemplateError {
    let detail = match error.kind() {
        ErrorKind::OutOfFuel => "it takes too many steps; is there an endless loop?".to_owned(),
        kind => error.detail().map_or_else(|| kind.to_string(), str::to_owned),
    };
    let at = error.line().map(|line| format!(" (line {line})")).unwrap_or_default();
    TemplateError::Broken { template: name.to_owned(), what: format!("{detail}{at}") }
}

/// `{{ Link|safe_url }}`: only https, http and mailto may be linked.
fn safe_url(url: String) -> Result<String, minijinja::Error> {
    let scheme = url.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let sound = ["https", "http", "mailto"].contains(&scheme.as_str())
        && !url.contains(|c: char| c.is_control() || c.is_whitespace());
    if sound {
        return Ok(url);
    }
    let text = "a link must begin with https://, http:// or mailto: and hold no spaces";
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, text))
}

/// A buffer that stops at the limit.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MAX_OUTPUT {
            self.full = true;
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
