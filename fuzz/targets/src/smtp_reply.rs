//! A server's reply and what it means for the mail: the table of docs/contracts/system-c.md as properties.
//!
//! The first byte chooses the stage of the conversation, the rest is what the server said.

use std::time::Duration;

use backshift_mail::{Class, Outcome, Stage, classify::classify, mask_text, smtp::Reply};

use crate::{cost, log_line};

const STAGES: [Stage; 7] =
    [Stage::Connect, Stage::Tls, Stage::Auth, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Final];

/// One reply at one stage.
pub fn smtp_reply(bytes: &[u8]) {
    let Some((stage, said)) = bytes.split_first() else { return };
    let stage = STAGES[usize::from(*stage) % STAGES.len()];
    let said = String::from_utf8_lossy(said);
    log_line::assert_addresses_are_masked(&mask_text(&said));
    let Some(reply) = cost::within("a reply", bytes.len(), 64, || Reply::parse(&said)) else { return };
    is_sound(&reply);
    assert_eq!(Some(&reply), Reply::parse(&said.replace("\r\n", "\n").replace('\n', "\r\n")).as_ref());
    if reply.code >= 400 {
        let outcome = cost::within("a verdict", bytes.len(), 64, || classify(stage, &reply));
        is_fit_for_logs(&outcome, stage, &reply);
        keeps_to_the_table(&outcome, stage, &reply);
    }
}

fn is_sound(reply: &Reply) {
    assert!((200..600).contains(&reply.code));
    assert!(!reply.lines.is_empty() && reply.lines.iter().all(|line| !line.contains('\n')));
    if let Some(enhanced) = reply.enhanced {
        assert!(matches!(enhanced.class, 2 | 4 | 5) && enhanced.subject < 1000 && enhanced.detail < 1000);
    }
}

fn is_fit_for_logs(outcome: &Outcome, stage: Stage, reply: &Reply) {
    let failure = outcome.failure().expect("a refusal is a failure");
    assert_eq!((failure.stage, failure.code, failure.enhanced), (stage, Some(reply.code), reply.enhanced));
    assert!(failure.text.chars().count() <= 501 && !failure.text.chars().any(char::is_control));
    log_line::assert_addresses_are_masked(&failure.text);
    log_line::assert_is_one(&outcome.to_string());
}

fn keeps_to_the_table(outcome: &Outcome, stage: Stage, reply: &Reply) {
    let early = matches!(stage, Stage::Connect | Stage::Tls | Stage::Auth);
    match outcome {
        Outcome::Sent { .. } | Outcome::Ambiguous { .. } => panic!("a refusal is no {}", outcome.word()),
        Outcome::Retry { after, .. } => {
            assert!(after.is_none_or(|after| after <= Duration::from_secs(6 * 3600)), "{after:?}");
        }
        Outcome::Pause { failure } => {
            assert!(matches!(failure.class, Class::Config | Class::Tls | Class::Sender), "{failure:?}");
        }
        Outcome::Permanent { suppress, .. } => {
            let for_good = reply.enhanced.map_or(reply.code >= 500, |enhanced| enhanced.class != 4);
            assert!(for_good && !early, "{stage:?} {} ends for good", reply.code);
            assert!(!suppress || (reply.code >= 500 && stage != Stage::Mail), "suppressed without reason");
        }
    }
    if reply.code == 421 {
        assert!(matches!(outcome, Outcome::Retry { throttled: true, .. }), "421 is {outcome}");
    }
}
