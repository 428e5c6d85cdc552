//! The words that narrow the list of jobs, as they stand in an address: what was understood can be said again, as an
//! address and as a command, and what was not is named without leaving its line.

use backshift_core::{EffectState, JobFilter};
use backshift_http::pages::fuzzing::{self, Asked};

use crate::{cost, log_line};

/// One query string of the list of jobs.
pub fn filter(bytes: &[u8]) {
    let Ok(query) = std::str::from_utf8(bytes) else { return };
    let Some(asked) = cost::within("a filter", bytes.len(), 256, || fuzzing::jobs(query)) else { return };
    leads_back(&asked);
    asked.command.as_deref().into_iter().for_each(|command| is_plain(&unquoted(command)));
    is_plain(&asked.sentence);
    assert_eq!(fuzzing::jobs(&said_again(&asked.filter)).map(|again| again.filter), Some(asked.filter));
    if let Some(problem) = asked.problem {
        log_line::assert_is_one(&problem);
        log_line::assert_addresses_are_masked(&problem);
        assert!(problem.chars().count() <= 200, "{problem:?}");
    }
}

/// The link of the page is safe in an attribute, and leads to the same page.
fn leads_back(asked: &Asked) {
    let safe = |c: char| c.is_ascii_graphic() && !"\"'<>`".contains(c);
    assert!(asked.link.chars().all(safe), "{:?} is not safe in an attribute", asked.link);
    let address = asked.link.replace("&amp;", "&");
    let query = address.split_once('?').map_or("", |(_, query)| query);
    assert_eq!(fuzzing::jobs(query).as_ref(), Some(asked), "the link leads elsewhere");
}

/// The command without its quoted words; a quote in a word is `'\''`, which ends one and begins the next.
fn unquoted(command: &str) -> String {
    command.replace("'\\''", "").split('\'').step_by(2).collect()
}

/// Nothing in it means anything to a shell.
fn is_plain(text: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || " -_.:=".contains(c);
    assert!(text.chars().all(plain), "{text:?}");
}

fn said_again(filter: &JobFilter) -> String {
    let mut words = Vec::new();
    words.extend(filter.kind.as_ref().map(|kind| format!("kind:{kind}")));
    words.extend(filter.queue.as_ref().map(|queue| format!("queue:{queue}")));
    words.extend(filter.effect.map(|effect: EffectState| format!("effect:{}", effect.as_str())));
    words.extend(filter.user.map(|user| format!("user:{user}")));
    words.extend(filter.since.map(|at| format!("since:{at}")));
    words.extend(filter.until.map(|at| format!("until:{at}")));
    for (key, texts) in [("", &filter.words), ("error:", &filter.error), ("payload:", &filter.payload)] {
        words.extend(texts.iter().map(|text| format!("{key}{}", fuzzing::quoted(text))));
    }
    format!(
        "state={}&find={}",
        filter.state.map_or("", |state| state.as_str()),
        fuzzing::encoded(&words.join(" "))
    )
}
