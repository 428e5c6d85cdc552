//! What is meant by a sweep, kept with it: whoever finds the sweep can go on, and does to the same jobs what was wished.
//!
//! The times stand in columns of their own, because the database's clock decides which jobs were there when it began.

use backshift_core::{
    EffectState, JobFilter, Kind, QueueName, Standing, State, StoreError, Sweep,
    sweep::{Deed, Hand, LONGEST},
};
use serde_json::{Map, Value, json};

/// The filter without its times.
pub(super) fn text(filter: &JobFilter) -> String {
    let named = [
        ("state", filter.state.map(|state| state.as_str().to_owned())),
        ("standing", filter.standing.map(|standing| standing.as_str().to_owned())),
        ("kind", filter.kind.as_ref().map(ToString::to_string)),
        ("queue", filter.queue.as_ref().map(ToString::to_string)),
        ("effect", filter.effect.map(|effect| effect.as_str().to_owned())),
        ("user", filter.user.map(|user| user.to_string())),
        ("cause", filter.cause.clone()),
    ];
    let mut all: Map<String, Value> =
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect();
    for (name, words) in [("words", &filter.words), ("error", &filter.error), ("payload", &filter.payload)] {
        if !words.is_empty() {
            all.insert(name.to_owned(), json!(words));
        }
    }
    Value::from(all).to_string()
}

/// Reads it back. What this version does not know is refused: a filter with a condition less would mean more jobs.
pub(super) fn read(text: &str) -> Result<JobFilter, StoreError> {
    let strange = || StoreError::Schema(format!("a sweep's filter cannot be read by this version: {text}"));
    let Ok(Value::Object(all)) = serde_json::from_str::<Value>(text) else { return Err(strange()) };
    let mut filter = JobFilter::default();
    for (name, value) in all {
        let list = || -> Option<Vec<String>> {
            value.as_array()?.iter().map(|word| word.as_str().map(str::to_owned)).collect()
        };
        let word = value.as_str();
        let known = match name.as_str() {
            "state" => put(&mut filter.state, word.and_then(State::parse)),
            "standing" => put(&mut filter.standing, word.and_then(Standing::parse)),
            "kind" => put(&mut filter.kind, word.and_then(|word| Kind::new(word).ok())),
            "queue" => put(&mut filter.queue, word.and_then(|word| QueueName::new(word).ok())),
            "effect" => put(&mut filter.effect, word.and_then(EffectState::parse)),
            "user" => put(&mut filter.user, word.and_then(|word| word.parse().ok())),
            "cause" => put(&mut filter.cause, word.map(str::to_owned)),
            "words" => list().map(|list| filter.words = list).is_some(),
            "error" => list().map(|list| filter.error = list).is_some(),
            "payload" => list().map(|list| filter.payload = list).is_some(),
            _ => false,
        };
        if !known {
            return Err(strange());
        }
    }
    Ok(filter)
}

fn put<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    *place = value;
    place.is_some()
}

/// Refuses what would touch more than somebody meant.
pub(super) fn legal(sweep: &Sweep) -> Result<(), StoreError> {
    let stands = sweep.filter.standing.map(Standing::as_str);
    let Some(stands) = stands.or(sweep.filter.state.map(State::as_str)) else {
        return Err(StoreError::Rejected(
            "name a state: what is done to all jobs of every state is nobody's wish".into(),
        ));
    };
    if !sweep.deed.applies_to_all(&sweep.filter) {
        let deed = sweep.deed.as_str();
        return Err(StoreError::Rejected(format!(
            "nothing was changed: to {deed} does not apply to {stands} jobs"
        )));
    }
    if sweep.words.len() > LONGEST {
        return Err(StoreError::Rejected(format!("a wish is a text of at most {LONGEST} bytes")));
    }
    signed(&sweep.hand)
}

/// Refuses what nobody answers for.
pub(super) fn signed(hand: &Hand) -> Result<(), StoreError> {
    match hand.is_signed() {
        true => Ok(()),
        false => Err(StoreError::Rejected(format!(
            "who and why are texts of at most {LONGEST} bytes, and who may not be empty"
        ))),
    }
}

/// The deed of this name, as it stands in a row.
pub(super) fn deed(name: &str) -> Result<Deed, StoreError> {
    Deed::parse(name).ok_or_else(|| StoreError::Schema(format!("this version knows no deed {name:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_read_back() {
        let words = |word: &str| vec![word.to_owned(), "\"quoted\" \\ {}".to_owned()];
        let whole = JobFilter {
            state: Some(State::Dead),
            standing: Some(Standing::Held),
            kind: Kind::new("email.send").ok(),
            queue: QueueName::new("mail").ok(),
            effect: Some(EffectState::Ambiguous),
            user: Some(uuid::Uuid::now_v7()),
            words: words("a"),
            error: words("b"),
            payload: words("c"),
            cause: Some("error: 550 *".into()),
            ..JobFilter::default()
        };
        for filter in [JobFilter::default(), whole] {
            assert_eq!(read(&text(&filter)).unwrap(), filter);
        }
        for strange in [
            "",
            "[]",
            "{\"colour\":\"red\"}",
            "{\"state\":\"odd\"}",
            "{\"standing\":\"odd\"}",
            "{\"words\":\"a\"}",
            "{\"words\":[1]}",
        ] {
            assert!(matches!(read(strange), Err(StoreError::Schema(_))), "{strange}");
        }
    }
}
