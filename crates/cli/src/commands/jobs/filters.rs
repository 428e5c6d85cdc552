//! Which jobs a command is about, as flags: read into the store's filter, and written so that they can be typed again.

use backshift_core::{EffectState, JobFilter, Kind, QueueName, Stands, Timestamp};

use crate::{config::duration, exit::Failure};

/// Which jobs; all that is named must match.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub(crate) struct Filters {
    /// scheduled, available, running, retrying, completed, dead, cancelled, parked, held; failed, pending, active mean these too.
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// Only this kind.
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Only this queue.
    #[arg(long)]
    pub(crate) queue: Option<String>,
    /// none, intended, done, ambiguous.
    #[arg(long)]
    pub(crate) effect: Option<String>,
    /// Only those that concern this user.
    #[arg(long, value_name = "UUID")]
    pub(crate) user: Option<String>,
    /// Accepted at this time (RFC 3339) or later, or so long ago at most, such as 2h.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Accepted before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// With this text in error, payload, kind or queue; repeat for more.
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Vec<String>,
    /// With this text in the error; repeat for more.
    #[arg(long, value_name = "TEXT")]
    pub(crate) error: Vec<String>,
    /// With this text in the first 8 KiB of the payload; repeat for more.
    #[arg(long, value_name = "TEXT")]
    pub(crate) payload: Vec<String>,
    /// Only with an error of this cause, as `dead group` shows it.
    #[arg(long, value_name = "CAUSE")]
    pub(crate) cause: Option<String>,
}

/// The jobs that the flags mean.
pub(in crate::commands) fn filter(args: &Filters) -> Result<JobFilter, Failure> {
    let words =
        |what: &str, text: &str, all: &str| Failure::usage(format!("--{what} {text:?} is not one of {all}"));
    let stands = args.state.as_deref().map(|text| {
        Stands::meant_by(text).ok_or_else(|| {
            let meant =
                Stands::nearest(text).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            words("state", text, &(Stands::words().collect::<Vec<_>>().join(", ") + &meant))
        })
    });
    let stands = stands.transpose()?;
    let effect = args.effect.as_deref().map(|text| {
        EffectState::parse(text).ok_or_else(|| words("effect", text, "none, intended, done, ambiguous"))
    });
    Ok(JobFilter {
        state: stands.and_then(|stands| stands.state),
        standing: stands.and_then(|stands| stands.standing),
        effect: effect.transpose()?,
        kind: args.kind.as_deref().map(Kind::new).transpose().map_err(Failure::usage)?,
        queue: args.queue.as_deref().map(QueueName::new).transpose().map_err(Failure::usage)?,
        user: args
            .user
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|_| Failure::usage(no_user(args.user.as_deref().unwrap_or_default())))?,
        since: args.since.as_deref().map(|text| moment("since", text)).transpose()?,
        until: args.until.as_deref().map(|text| moment("until", text)).transpose()?,
        words: args.text.clone(),
        error: args.error.clone(),
        payload: args.payload.clone(),
        cause: args.cause.clone(),
    })
}

/// A person is known here by an id; the name may stand in payloads.
fn no_user(text: &str) -> String {
    format!(
        "--user {text:?} is no id of a user: those look like 019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55; to find a name in payloads: \
         --payload {}",
        in_shell(text)
    )
}

/// A time, or how long ago it was.
pub(super) fn moment(flag: &str, text: &str) -> Result<Timestamp, Failure> {
    let ago = || duration(text).ok().and_then(|ago| Timestamp::now().checked_sub(ago).ok());
    text.parse().ok().or_else(ago).ok_or_else(|| {
        Failure::usage(format!("--{flag} {text:?} is no time: write 2h or 2026-11-20T14:00:00Z"))
    })
}

/// The wish as it was typed, in one order: whoever types the same goes on with it.
pub(in crate::commands) fn words(filters: &Filters) -> String {
    let Filters { state, kind, queue, effect, user, since, until, text, error, payload, cause } = filters;
    let single = [
        ("state", state),
        ("kind", kind),
        ("queue", queue),
        ("effect", effect),
        ("user", user),
        ("since", since),
        ("until", until),
        ("cause", cause),
    ];
    let single = single.into_iter().filter_map(|(flag, value)| Some((flag, value.as_ref()?)));
    let several = [("text", text), ("error", error), ("payload", payload)];
    let several = several.into_iter().flat_map(|(flag, words)| words.iter().map(move |word| (flag, word)));
    let all: Vec<String> =
        single.chain(several).map(|(flag, value)| format!("--{flag} {}", in_shell(value))).collect();
    all.join(" ")
}

/// As a shell hands it on.
fn in_shell(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/@".contains(&b);
    match !word.is_empty() && word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_written_so_that_it_can_be_typed_again() {
        let filters = Filters {
            state: Some("dead".into()),
            cause: Some("error: it's *".into()),
            error: vec!["550".into(), String::new()],
            ..Filters::default()
        };
        assert_eq!(words(&filters), "--state dead --cause 'error: it'\\''s *' --error 550 --error ''");
    }
}
