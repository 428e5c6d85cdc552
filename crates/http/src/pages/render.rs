//! Turns a template and its values into a page. Templates are part of the binary; HTML is escaped by file name.

use axum::{
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};
use backshift_core::{State, StoreError, Timestamp};
use minijinja::{Environment, UndefinedBehavior, Value, context};

use super::{Pages, words};

macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../templates/", $name)))),*]
    };
}

const TEMPLATES: &[(&str, &str)] = templates![
    "code.html",
    "door.html",
    "frame.html",
    "home.html",
    "job.html",
    "jobs.html",
    "mail.html",
    "mailbox.html",
    "me.html",
    "overview.html",
    "problem.html",
    "queues.html",
    "signin.html",
    "signup.html",
    "workers.html",
];

/// The template engine with all pages.
pub(super) struct Renderer(Environment<'static>);

impl Renderer {
    /// Reads all templates; a broken one is a bug that the test below finds.
    pub(super) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, source) in TEMPLATES {
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

impl Pages {
    /// A page of its own, without the rail.
    pub(super) fn door(&self, status: StatusCode, name: &str, values: Value) -> Response {
        match self.renderer.page(name, values) {
            Ok(html) => (status, Html(html)).into_response(),
            Err(error) => broken(name, &error),
        }
    }

    /// A page in the frame with the rail of rooms.
    pub(super) async fn framed(&self, here: &str, name: &str, values: Value) -> Response {
        let rooms = match self.rooms(here).await {
            Ok(rooms) => rooms,
            Err(error) => return self.away(&error),
        };
        let frame = context! { rooms, place => self.place.as_ref(), now => words::clock(Timestamp::now()) };
        self.door(StatusCode::OK, name, context! { ..values, ..frame })
    }

    /// The page for a store that does not answer.
    pub(super) fn away(&self, error: &StoreError) -> Response {
        let status = match error {
            StoreError::NotFound(_) => StatusCode::NOT_FOUND,
            StoreError::Rejected(_) => StatusCode::CONFLICT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let title = match status {
            StatusCode::NOT_FOUND => "There is nothing here",
            StatusCode::CONFLICT => "That cannot be done",
            _ => "The store does not answer",
        };
        self.door(status, "problem.html", context! { title, under => "", wrong => error.to_string() })
    }

    async fn rooms(&self, here: &str) -> Result<Value, StoreError> {
        let counts = self.store.counts().await?;
        let dead: u64 = counts.iter().map(|q| q.count(State::Dead)).sum();
        let workers = self.store.workers().await?.len();
        let mails = match &self.mailbox {
            Some(mailbox) => mailbox.list(0, 0).await.ok().map(|(_, total)| total as u64),
            None => None,
        };
        let room = |name: &str, href: &str, count: String, bad: bool| {
            context! { name, href, count, bad, here => href == here }
        };
        let number = |n: u64| if n == 0 { String::new() } else { words::number(n) };
        let mut rooms = vec![
            room("Overview", "/overview", String::new(), false),
            room("Jobs", "/jobs", String::new(), false),
            room("Queues", "/queues", number(counts.len() as u64), false),
            room("Dead letters", "/jobs?state=dead", number(dead), dead > 0),
            room("Workers", "/workers", number(workers as u64), workers == 0),
        ];
        if let Some(mails) = mails {
            rooms.push(room("Mailbox", "/mailbox", number(mails), false));
        }
        if self.identity.is_some() {
            rooms.push(room("Sign-up page", "/", String::new(), false));
        }
        Ok(Value::from(rooms))
    }
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
        let renderer = Renderer::new();
        for (name, _) in TEMPLATES {
            assert!(renderer.0.get_template(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn text_from_outside_is_escaped() {
        let values = context! { title => "t", under => "", wrong => "<script>alert(1)</script>" };
        let html = Renderer::new().page("problem.html", values).unwrap();
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script>alert"));
    }
}
