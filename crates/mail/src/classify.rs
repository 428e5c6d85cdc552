//! From a server's reply to an outcome: retry? suppress? why? whose fault?
//!
//! "5xx means a dead address" is wrong most of the time, so the order is: stage of the conversation, enhanced
//! code, plain code, and words last. Sources: docs/contracts/system-c.md "Mail outcome", RFC 3463.

use std::time::Duration;

use crate::outcome::{Class, Failure, Outcome, Stage};
use crate::smtp::Reply;

/// A full mailbox is not emptied within minutes.
const QUOTA_DELAY: Duration = Duration::from_secs(3600);
/// Longest delay that we believe from a server's words.
const MAX_WISH: Duration = Duration::from_secs(6 * 3600);

/// What follows from a refusal (4xx or 5xx) at `stage`.
pub fn classify(stage: Stage, reply: &Reply) -> Outcome {
    let verdict = verdict(stage, reply);
    let failure = Failure {
        stage,
        class: verdict.class(),
        code: Some(reply.code),
        enhanced: reply.enhanced,
        text: crate::masking::mask_text(&reply.text()),
    };
    match verdict {
        Verdict::Pause(_) => Outcome::Pause { failure },
        Verdict::Retry(Class::Quota) => {
            Outcome::Retry { after: Some(QUOTA_DELAY), throttled: false, failure }
        }
        Verdict::Retry(class) => Outcome::Retry {
            after: wished_delay(&reply.text()),
            throttled: class == Class::Throttled,
            failure,
        },
        Verdict::Permanent(_) => Outcome::Permanent { suppress: false, failure },
        Verdict::Suppress(_) => Outcome::Permanent { suppress: true, failure },
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Verdict {
    Pause(Class),
    Retry(Class),
    Permanent(Class),
    Suppress(Class),
}

impl Verdict {
    fn class(self) -> Class {
        match self {
            Self::Pause(class) | Self::Retry(class) | Self::Permanent(class) | Self::Suppress(class) => class,
        }
    }
}

fn verdict(stage: Stage, reply: &Reply) -> Verdict {
    if reply.code == 421 {
        return Verdict::Retry(Class::Throttled);
    }
    if matches!(reply.code, 530 | 534 | 535 | 538) {
        return Verdict::Pause(Class::Config);
    }
    match stage {
        Stage::Tls => Verdict::Pause(Class::Tls),
        Stage::Auth => Verdict::Pause(Class::Config),
        Stage::Connect if reply.code >= 500 => Verdict::Pause(Class::Config),
        // No mail was named yet: whatever the enhanced code says, it is about none.
        Stage::Connect => by_code(stage, reply),
        _ => by_enhanced(stage, reply).unwrap_or_else(|| by_code(stage, reply)),
    }
}

fn by_enhanced(stage: Stage, reply: &Reply) -> Option<Verdict> {
    let enhanced = reply.enhanced?;
    let agrees = u16::from(enhanced.class) == reply.code / 100;
    let transient = enhanced.class == 4;
    Some(match (enhanced.subject, enhanced.detail) {
        // Full mailbox, too many recipients: retried also when the server says 5xx.
        (2, 2) => Verdict::Retry(Class::Quota),
        (5, 3) => Verdict::Retry(Class::TooManyRecipients),
        (7, 8 | 9 | 11) if !transient => Verdict::Pause(Class::Config),
        (7, _) if transient && says_rate(reply) => Verdict::Retry(Class::Throttled),
        (4, 5) | (3, 2) if transient => Verdict::Retry(Class::Throttled),
        _ if transient => Verdict::Retry(Class::Transient),
        (1, 7 | 8) => Verdict::Pause(Class::Sender),
        _ if stage == Stage::Mail && !is_about_message(enhanced.subject, enhanced.detail) => {
            Verdict::Pause(Class::Sender)
        }
        // Dead addresses are reported at RCPT, and after the dot by servers that look up late.
        (1, 2 | 10) => suppress_if(agrees, Class::BadDomain),
        (1, 0 | 1 | 3 | 4 | 6) | (2, 1) | (7, 13 | 17 | 18) => suppress_if(agrees, Class::InvalidRecipient),
        (7, _) if says_rate(reply) => Verdict::Retry(Class::Throttled),
        (7, _) => Verdict::Permanent(Class::Policy),
        (4, _) => Verdict::Permanent(Class::InvalidRecipient),
        (2 | 3 | 6, _) => Verdict::Permanent(Class::Message),
        (5, _) => Verdict::Permanent(Class::Protocol),
        _ => return None,
    })
}

/// Code and enhanced code disagree: the enhanced one decides about the retry, nobody is suppressed.
fn suppress_if(agrees: bool, class: Class) -> Verdict {
    if agrees { Verdict::Suppress(class) } else { Verdict::Permanent(class) }
}

/// Size and content can be refused at MAIL (SIZE=) without our sender being at fault.
fn is_about_message(subject: u16, detail: u16) -> bool {
    matches!((subject, detail), (3, 4) | (2, 3) | (6, _))
}

fn by_code(stage: Stage, reply: &Reply) -> Verdict {
    match (stage, reply.code) {
        (Stage::Rcpt, 552) => Verdict::Retry(Class::Quota),
        (_, 552) => Verdict::Permanent(Class::Message),
        (_, 400..=499) if says_rate(reply) => Verdict::Retry(Class::Throttled),
        (_, 400..=499) => Verdict::Retry(Class::Transient),
        (Stage::Mail, _) => Verdict::Pause(Class::Sender),
        (Stage::Rcpt, 556) => Verdict::Suppress(Class::BadDomain),
        (Stage::Rcpt, 550 | 551 | 553) if !says_policy(reply) => Verdict::Suppress(Class::InvalidRecipient),
        (_, 500..=504) => Verdict::Permanent(Class::Protocol),
        (Stage::Rcpt, _) => Verdict::Permanent(Class::Policy),
        (_, 550..=559) if says_policy(reply) => Verdict::Permanent(Class::Policy),
        _ => Verdict::Permanent(Class::Message),
    }
}

fn says_rate(reply: &Reply) -> bool {
    says(
        reply,
        &["rate limit", "too many connections", "too many messages", "throttl", "too fast", "slow down"],
    )
}

/// Words with which servers refuse us while the address may be fine.
fn says_policy(reply: &Reply) -> bool {
    let words = [
        "relay",
        "spam",
        "blocked",
        "blacklist",
        "blocklist",
        "block list",
        "reputation",
        "policy",
        "dmarc",
        "spf",
        "dkim",
        "authenticat",
        "not permitted",
        "denied",
        "banned",
        "rate limit",
    ];
    says(reply, &words)
}

fn says(reply: &Reply, words: &[&str]) -> bool {
    let text = reply.text().to_ascii_lowercase();
    words.iter().any(|word| text.contains(word))
}

/// "greylisted, try again in 300 seconds" is believed, plus ten seconds of grace.
fn wished_delay(text: &str) -> Option<Duration> {
    let lower = text.to_ascii_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    words.windows(2).find_map(|pair| {
        let unit = match pair[1] {
            "s" | "sec" | "secs" | "second" | "seconds" => 1,
            "m" | "min" | "mins" | "minute" | "minutes" => 60,
            "h" | "hour" | "hours" => 3600,
            _ => return None,
        };
        let amount: u64 = pair[0].parse().ok()?;
        Some(Duration::from_secs(amount.saturating_mul(unit).saturating_add(10)).min(MAX_WISH))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::classify;
    use crate::outcome::{Class, Fault, Outcome, Stage};
    use crate::smtp::Reply;

    fn outcome(stage: Stage, line: &str) -> Outcome {
        classify(stage, &Reply::parse(line).unwrap())
    }

    fn shown(stage: Stage, line: &str) -> (&'static str, &'static str, bool) {
        let outcome = outcome(stage, line);
        let class = outcome.failure().unwrap().class.as_str();
        (outcome.word(), class, matches!(outcome, Outcome::Permanent { suppress: true, .. }))
    }

    #[test]
    fn the_contracts_table_and_the_domains() {
        use Stage::{Auth, Connect, Data, Final, Mail, Rcpt, Tls};
        for (stage, line, word, class, suppress) in [
            (Connect, "421 too busy", "retry", "throttled", false),
            (Rcpt, "421 4.3.2 closing", "retry", "throttled", false),
            (Final, "421 4.7.0 slow down", "retry", "throttled", false),
            (Connect, "450 later", "retry", "transient", false),
            (Connect, "450 5.1.1 later", "retry", "transient", false),
            (Connect, "450 5.7.1 rate limit", "retry", "throttled", false),
            (Connect, "554 no service for you", "pause", "config", false),
            (Rcpt, "450 4.2.0 greylisted", "retry", "transient", false),
            (Rcpt, "451 4.7.1 try later", "retry", "transient", false),
            (Data, "451 local error", "retry", "transient", false),
            (Final, "451 4.3.0 queue file write error", "retry", "transient", false),
            (Mail, "452 4.3.1 insufficient storage", "retry", "transient", false),
            (Rcpt, "452 4.5.3 too many recipients", "retry", "too_many_recipients", false),
            (Rcpt, "550 5.5.3 too many recipients", "retry", "too_many_recipients", false),
            (Rcpt, "452 4.2.2 mailbox full", "retry", "quota", false),
            (Rcpt, "552 5.2.2 over quota", "retry", "quota", false),
            (Rcpt, "552 mailbox full", "retry", "quota", false),
            (Auth, "535 5.7.8 bad credentials", "pause", "config", false),
            (Auth, "534 mechanism too weak", "pause", "config", false),
            (Auth, "454 4.7.0 temporary authentication failure", "pause", "config", false),
            (Mail, "530 5.7.0 must issue STARTTLS first", "pause", "config", false),
            (Rcpt, "530 authentication required", "pause", "config", false),
            (Tls, "454 4.7.0 TLS not available", "pause", "tls", false),
            (Mail, "550 5.7.1 sender rejected", "pause", "sender", false),
            (Mail, "553 sender domain not allowed", "pause", "sender", false),
            (Rcpt, "550 5.1.8 sender domain does not exist", "pause", "sender", false),
            (Mail, "552 5.3.4 too big", "permanent", "message", false),
            (Mail, "552 message too big", "permanent", "message", false),
            (Rcpt, "550 5.1.1 no such user", "permanent", "invalid_recipient", true),
            (Rcpt, "550 no such user", "permanent", "invalid_recipient", true),
            (Rcpt, "551 user moved", "permanent", "invalid_recipient", true),
            (Rcpt, "553 5.1.3 bad address", "permanent", "invalid_recipient", true),
            (Rcpt, "553 mailbox name not allowed", "permanent", "invalid_recipient", true),
            (Rcpt, "550 5.1.6 moved", "permanent", "invalid_recipient", true),
            (Rcpt, "550 5.2.1 disabled", "permanent", "invalid_recipient", true),
            (Rcpt, "550 5.1.2 bad domain", "permanent", "bad_domain", true),
            (Rcpt, "556 5.1.10 null MX", "permanent", "bad_domain", true),
            (Rcpt, "550 5.7.17 owner changed", "permanent", "invalid_recipient", true),
            (Rcpt, "550 5.7.1 blocked by policy", "permanent", "policy", false),
            (Rcpt, "554 5.7.1 relay access denied", "permanent", "policy", false),
            (Rcpt, "550 relay not permitted", "permanent", "policy", false),
            (Rcpt, "554 rejected", "permanent", "policy", false),
            (Final, "550 5.7.26 DMARC", "permanent", "policy", false),
            (Final, "550 looks like spam", "permanent", "policy", false),
            (Final, "554 5.6.0 bad content", "permanent", "message", false),
            (Final, "552 5.3.4 too big", "permanent", "message", false),
            (Final, "552 too big", "permanent", "message", false),
            (Final, "554 transaction failed", "permanent", "message", false),
            (Final, "550 5.1.1 no such user", "permanent", "invalid_recipient", true),
            (Rcpt, "501 syntax", "permanent", "protocol", false),
            (Rcpt, "550 4.2.1 try later", "retry", "transient", false),
            (Rcpt, "450 5.1.1 no such user", "permanent", "invalid_recipient", false),
            (Final, "550 5.7.0 rate limit exceeded", "retry", "throttled", false),
        ] {
            assert_eq!(shown(stage, line), (word, class, suppress), "{stage:?} {line}");
        }
    }

    #[test]
    fn believes_a_delay_within_reason() {
        for (line, seconds) in [
            ("450 4.7.1 greylisted, try again in 300 seconds", Some(310)),
            ("451 Greylisted for 5 minutes", Some(310)),
            ("450 come back in 99999999999 hours", Some(6 * 3600)),
            ("450 later", None),
            ("452 4.2.2 full", Some(3600)),
        ] {
            let Outcome::Retry { after, .. } = outcome(Stage::Rcpt, line) else { panic!("{line}") };
            assert_eq!(after, seconds.map(Duration::from_secs), "{line}");
        }
    }

    #[test]
    fn says_whose_fault_and_masks() {
        let outcome = outcome(Stage::Rcpt, "550 5.1.1 <lan@x.io> unknown");
        let failure = outcome.failure().unwrap();
        assert_eq!((failure.fault(), failure.class), (Fault::Recipient, Class::InvalidRecipient));
        assert_eq!(failure.to_string(), "invalid_recipient at rcpt (550 5.1.1): <la***@x.io> unknown");
    }
}
