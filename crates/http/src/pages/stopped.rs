//! Who stopped a job: it was cancelled, or runs and was asked to stop.
//!
//! What a handler says when it is told to stop is not the cause: it cannot know whether somebody cancelled its job or its worker
//! ends. The hand that was laid on it is.

use std::collections::BTreeMap;

use backshift_core::{
    JobId, JobRecord, State, Store, StoreError,
    sweep::{HandRecord, Upon},
};

use super::{mask, reason::Reason};

/// Characters of a name or a reason.
const SAID: usize = 200;

/// Who cancelled those of these jobs that are cancelled: one look, and none where none is.
pub(super) async fn of(
    store: &dyn Store,
    jobs: &[JobRecord],
) -> Result<BTreeMap<JobId, HandRecord>, StoreError> {
    let cancelled = jobs.iter().filter(|job| job.state == State::Cancelled).map(|job| job.id);
    let cancelled: Vec<JobId> = cancelled.collect();
    if cancelled.is_empty() {
        return Ok(BTreeMap::new());
    }
    let hands = store.last_hands(&cancelled).await?.into_iter();
    Ok(hands
        .filter_map(|hand| if let Upon::Job(job) = hand.upon { Some((job, hand)) } else { None })
        .collect())
}

/// The hand that stopped it, if one is on record and nothing was done to it since.
pub(super) fn by(hands: &[HandRecord]) -> Option<&HandRecord> {
    hands.last().filter(|hand| hand.deed == "cancel")
}

/// `cancelled by ann@host, with others: mistyped`, as a list says it.
pub(super) fn told(hand: &HandRecord) -> String {
    format!("cancelled by {}{}", who(hand), why(hand, SAID))
}

/// `: mistyped`, where somebody said why, at most so many characters of it.
pub(super) fn why(hand: &HandRecord, most: usize) -> String {
    hand.hand.why.as_ref().map_or(String::new(), |why| format!(": {}", mask::said(why, most)))
}

pub(super) fn who(hand: &HandRecord) -> String {
    let others = if hand.sweep.is_some() { ", with others" } else { "" };
    format!("{}{others}", mask::name(&hand.hand.who, SAID))
}

/// Why it was cancelled.
pub(super) fn cancelled(hands: &[HandRecord]) -> Reason {
    match by(hands) {
        Some(hand) => Reason {
            text: format!("It was cancelled by hand, by {}", who(hand)),
            due: Some(hand.at),
            said: hand.hand.why.clone(),
            ..Reason::default()
        },
        None => Reason {
            text: "No hand is on record: its program asked for it, its handler ended it, or a later job took its unique key"
                .to_owned(),
            ..Reason::default()
        },
    }
}

/// A running job that somebody asked to stop since it began.
pub(super) fn asked(job: &JobRecord, hands: &[HandRecord]) -> Option<Reason> {
    let hand = by(hands).filter(|_| job.state == State::Running)?;
    let since = job.started_at.is_none_or(|began| hand.at >= began);
    since.then(|| Reason {
        text: format!(
            "{} asked it to stop. It is cancelled as soon as its handler stops; a handler that ends before it hears that ends it \
             as it would have",
            who(hand)
        ),
        due: Some(hand.at),
        said: hand.hand.why.clone(),
        ..Reason::default()
    })
}

#[cfg(test)]
mod tests {
    use backshift_core::{Hand, Timestamp};

    use super::{super::specimen::job, *};

    #[test]
    fn whoever_cancelled_it_is_told_until_somebody_runs_it_again() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let hand = |deed: &str, second| HandRecord {
            at: at(second),
            deed: deed.into(),
            upon: Upon::Job(job(State::Running).id),
            hand: Hand { who: "ann@host".into(), why: Some("mistyped".into()) },
            sweep: None,
        };
        let running = JobRecord { started_at: Some(at(50)), ..job(State::Running) };
        let told = cancelled(&[hand("cancel", 60)]);
        assert!(told.text.contains("cancelled by hand, by ann@host") && told.said.is_some(), "{told:?}");
        assert!(asked(&running, &[hand("cancel", 60)]).is_some_and(|told| !told.stays));
        assert_eq!(asked(&running, &[hand("cancel", 40)]), None, "that was another start");
        assert_eq!(asked(&running, &[hand("cancel", 60), hand("retry", 70)]), None);
        assert!(cancelled(&[hand("cancel", 60), hand("retry", 70)]).text.starts_with("No hand is on record"));
        assert_eq!(super::told(&hand("cancel", 60)), "cancelled by ann@host: mistyped");
    }
}
