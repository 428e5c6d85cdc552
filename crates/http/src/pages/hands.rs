//! Who acts here, and the page of what everybody did.
//!
//! The name is whatever is known: who signed in, whom the program around names, or nobody, because on loopback nobody is asked.

use axum::{extract::Query, response::Response};
use backshift_core::{
    Hand, Timestamp,
    sweep::{HandRecord, LONGEST, Upon},
};
use minijinja::{Value, context};
use serde::Deserialize;

use super::{Here, Pages, entry::Asks, link, mask, words};

const ROWS: u32 = 100;
/// Characters of what a person wrote.
const SAID: usize = 300;
/// Characters of a name.
const NAME: usize = 100;

impl Pages {
    /// Whoever acts here, and why.
    pub(super) fn hand(&self, why: &str) -> Hand {
        let who = match (&self.person, self.user(), &self.auth.0) {
            (Some(person), ..) => person.to_string(),
            (None, Some(user), _) => user.to_owned(),
            (None, None, Asks::Around) => "somebody whom the program around let in".to_owned(),
            (None, None, _) => "somebody on this machine".to_owned(),
        };
        // No text of PostgreSQL holds a NUL: somebody's name must not keep that person from every action.
        let who: String = who.chars().take(NAME).map(|c| if c == '\0' { '\u{fffd}' } else { c }).collect();
        let mut why = why.trim().replace('\0', "\u{fffd}");
        while why.len() > LONGEST {
            why.pop();
        }
        Hand { who: format!("{who}, on the pages"), why: Some(why).filter(|why| !why.is_empty()) }
    }
}

/// How the page is asked for.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct HandsQuery {
    before: String,
}

/// `GET /hands`.
pub(super) async fn page(Here(pages): Here, Query(asked): Query<HandsQuery>) -> Response {
    let now = Timestamp::now();
    let hands = match pages.store.all_hands(asked.before.parse().ok(), ROWS).await {
        Ok(hands) => hands,
        Err(error) => return pages.away(&error),
    };
    let older = hands.last().filter(|_| hands.len() == ROWS as usize);
    let older = older
        .map(|last| Value::from_safe_string(format!("/hands?before={}", link::encode(&last.at.to_string()))));
    let values = context! {
        title => "By hand", older,
        hands => hands.iter().map(|hand| row(hand, now)).collect::<Vec<_>>(),
        sentence => if hands.is_empty() { "Nobody did anything by hand." } else { "What people did." },
    };
    pages.framed("/hands", "hands.html", values).await
}

fn row(one: &HandRecord, now: Timestamp) -> Value {
    let (to, href) = match &one.upon {
        Upon::Job(id) => (id.to_string(), Some(link::job(*id))),
        Upon::Queue(queue) => (queue.to_string(), Some(link::jobs_of_queue(queue))),
        Upon::Many { words: wish, changed, done } => {
            let many = words::count(*changed, "job", "jobs");
            let so_far = if *done { "" } else { " so far" };
            (format!("{many}{so_far}: {}", mask::said(wish, SAID)), one.sweep.map(link::sweep))
        }
    };
    context! {
        when => words::moment(one.at, now), who => mask::name(&one.hand.who, SAID), what => verb(&one.deed), to, href,
        why => one.hand.why.as_ref().map(|why| mask::said(why, SAID)),
    }
}

/// What was done, as a word.
fn verb(deed: &str) -> &str {
    match deed {
        "retry" => "ran again",
        "cancel" => "cancelled",
        "delete" => "deleted",
        "pause" => "paused",
        "resume" => "resumed",
        other => other,
    }
}
