//! Turns a template and its values into a page. Templates are part of the binary; HTML is escaped by file name.

use std::{borrow::Cow, sync::Arc};

use axum::{
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};
use backshift_core::{State, StoreError, Timestamp};
use minijinja::{Environment, HtmlEscape, Output, UndefinedBehavior, Value, context, escape_formatter};

use super::{Pages, Room, Section, mask, sight::Sight, words};

macro_rules! own {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../templates/", $name)))),*]
    };
}

const TEMPLATES: &[(&str, &str)] = own![
    "causes.html",
    "delete.html",
    "door.html",
    "enter.html",
    "first.html",
    "frame.html",
    "hands.html",
    "job.html",
    "jobs.html",
    "many.html",
    "overview.html",
    "problem.html",
    "queues.html",
    "sweep.html",
    "try.html",
    "workers.html",
];

/// The template engine with all pages.
pub(super) struct Renderer(Environment<'static>);

impl Renderer {
    /// Reads all templates; a broken one is a bug that the test below finds.
    pub(super) fn new(sections: &[Arc<dyn Section>]) -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        environment.add_filter("soft", soft);
        environment.add_filter("exact", exact);
        environment.set_formatter(plainly);
        let theirs = sections.iter().flat_map(|section| section.templates());
        for (name, source) in TEMPLATES.iter().chain(theirs) {
            if let Err(error) = environment.add_template(name, source) {
                tracing::error!(%error, name, "a page template does not compile");
            }
        }
        Self(environment)
    }

    fn page(&self, name: &str, values: Value) -> Result<String, minijinja::Error> {
        self.0.get_template(name)?.render(values)
    }
}

/// Writes a value as a template does, without what acts on its reader: whatever a page shows passes here, so that no place can
/// forget it.
fn plainly(
    out: &mut Output<'_>,
    state: &mut minijinja::State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    match value.as_str().filter(|_| !value.is_safe()).map(mask::seen) {
        Some(Cow::Owned(seen)) => escape_formatter(out, state, &seen.into()),
        _ => escape_formatter(out, state, value),
    }
}

/// A text in a field that is sent back: each of its characters, because what comes back must be what was meant.
fn exact(text: &str) -> Value {
    Value::from_safe_string(HtmlEscape(text).to_string())
}

/// A name that breaks where it has a mark and not in the middle of a word, unless the word has no end.
fn soft(text: &str) -> Value {
    const ENDLESS: usize = 32;
    let mut html = String::with_capacity(text.len() + 32);
    let mut run = 0;
    for letter in mask::seen(text).chars() {
        html.push_str(&HtmlEscape(&letter.to_string()).to_string());
        run += 1;
        if "@._-/:, ".contains(letter) || run == ENDLESS {
            html.push_str("<wbr>");
            run = 0;
        }
    }
    Value::from_safe_string(html)
}

impl Pages {
    /// A page that stands alone, without the rail: its template extends `door.html`.
    pub fn door(&self, status: StatusCode, name: &str, values: Value) -> Response {
        let doors = context! {
            base => self.base.value(),
            home => Value::from_safe_string(if self.has_front() { "/" } else { "/overview" }.to_owned()),
            doors => self.sections.iter().flat_map(|section| section.doors()).map(offer).collect::<Vec<_>>(),
            read_only => self.read_only, theme => self.theme,
        };
        match self.renderer.page(name, context! { ..values, ..doors }) {
            Ok(html) => (status, Html(html)).into_response(),
            Err(error) => broken(name, &error),
        }
    }

    /// Whether somebody's front page is at `/`.
    pub(super) fn has_front(&self) -> bool {
        self.sections.iter().any(|section| section.has_front())
    }

    /// A page in the frame with the rail of rooms: its template extends `frame.html`, and `here` is its room's address.
    pub async fn framed(&self, here: &str, name: &str, values: Value) -> Response {
        let sight = match self.sight().await {
            Ok(sight) => sight,
            Err(error) => return self.away(&error),
        };
        let frame = context! {
            rooms => rooms(self, &sight, here),
            seen => sight.fingerprint.as_str(),
            place => self.place.as_ref(),
            now => words::clock(Timestamp::now()),
            stood => self.stood(&sight).map(words::clock),
            user => self.user(),
        };
        self.door(StatusCode::OK, name, context! { ..values, ..frame })
    }

    /// The page for what cannot be shown or done.
    pub fn away(&self, error: &StoreError) -> Response {
        let (status, title) = match error {
            StoreError::NotFound(_) => (StatusCode::NOT_FOUND, "There is nothing here"),
            StoreError::Rejected(_) | StoreError::Taken { .. } | StoreError::Stale => {
                (StatusCode::CONFLICT, "That cannot be done")
            }
            _ => (StatusCode::SERVICE_UNAVAILABLE, "The store does not answer"),
        };
        let (under, said) = match error {
            StoreError::NotFound(text) => (text.as_str(), None),
            StoreError::Rejected(_) | StoreError::Taken { .. } | StoreError::Stale => {
                ("", Some(error.to_string()))
            }
            other => ("Nothing is lost. The page works again when the store does.", Some(other.to_string())),
        };
        let said = said.map(|said| mask::said(&said, 400));
        self.door(status, "problem.html", context! { title, under, said })
    }
}

/// The rooms of the rail, with the counts that say something.
fn rooms(pages: &Pages, sight: &Sight, here: &str) -> Vec<Value> {
    let dead = sight.total(State::Dead);
    let workers = sight.workers.len() as u64;
    let room = |name: &str, href: &'static str, n: u64, bad: bool| {
        let count = if n == 0 { String::new() } else { words::number(n) };
        context! { name, href => Value::from_safe_string(href.to_owned()), count, bad, here => href == here }
    };
    let mut rooms = vec![
        room("Overview", "/overview", 0, false),
        room("Jobs", "/jobs", 0, false),
        room("Queues", "/queues", sight.queues.len() as u64, false),
        room("Dead letters", "/jobs?state=dead", dead, dead > 0),
        room("Workers", "/workers", workers, false),
        room("By hand", "/hands", 0, false),
    ];
    if pages.trial.is_some() {
        rooms.push(room("Try it", "/try", 0, false));
    }
    for (section, count) in pages.sections.iter().zip(&sight.sections) {
        let counts = std::iter::once(count.unwrap_or_default()).chain(std::iter::repeat(0));
        rooms.extend(section.rooms().iter().zip(counts).map(|(it, n)| room(it.name, it.href, n, false)));
    }
    rooms
}

/// A page that is offered at the top of those that stand alone.
fn offer(room: &Room) -> Value {
    context! { name => room.name, href => Value::from_safe_string(room.href.to_owned()) }
}

fn broken(name: &str, error: &minijinja::Error) -> Response {
    tracing::error!(%error, name, "a page could not be rendered");
    (StatusCode::INTERNAL_SERVER_ERROR, "This page is broken; the log says why.\n").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_compiles() {
        let renderer = Renderer::new(&[]);
        for (name, _) in TEMPLATES {
            assert!(renderer.0.get_template(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_name_breaks_at_its_marks_and_stays_text() {
        assert_eq!(soft("anna@example.com").to_string(), "anna@<wbr>example.<wbr>com");
        assert_eq!(soft("<b>&\"'").to_string(), "&lt;b&gt;&amp;&quot;&#x27;");
        assert_eq!(soft(&"x".repeat(40)).to_string(), format!("{}<wbr>{}", "x".repeat(32), "x".repeat(8)));
    }

    #[test]
    fn text_from_outside_is_escaped() {
        let said = "<script>alert(1)</script>";
        let values = context! { title => "t", under => "", said, base => "", theme => "", home => "/", doors => [""; 0] };
        let html = Renderer::new(&[]).page("problem.html", values).unwrap();
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script>alert"));
    }
}
