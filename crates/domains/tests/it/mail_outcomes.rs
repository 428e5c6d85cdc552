//! The table "Mail outcome" of docs/contracts/system-c.md, row by row, at the job's side.

use std::time::Duration;

use backshift_core::{EffectState, Reason, State, Timestamp, Verdict, wire::EXPIRES_AT};
use backshift_domains::mail::MAIL_CLASS;
use backshift_mail::{
    Class, MailClass, Outcome, RefusedCopy, Stage as Smtp, Suppression, SuppressionReason, Suppressions,
};

use crate::stage::{BODY, Stage, cut_after_the_dot, failure};

#[tokio::test]
async fn a_taken_mail_is_done_and_written_down() {
    let mut stage = Stage::new().await;
    let id = stage.enqueue(BODY, &[]).await;
    stage.run().await.unwrap();
    let row = stage.row(id).await;
    assert_eq!((row.state, row.effect), (State::Completed, EffectState::Done));
    let message = &stage.mailer.messages()[0];
    assert_eq!(message.message_id(), format!("<{id}@example.org>"));
    let entry = &stage.log.entries()[0];
    assert_eq!((entry.outcome, entry.job_id.as_str()), ("sent", id.to_string().as_str()));
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_counts() {
    for (throttled, after) in [(false, None), (true, None), (false, Some(Duration::from_secs(310)))] {
        let mut stage = Stage::new().await;
        let id = stage.enqueue(BODY, &[]).await;
        let failure = failure(Smtp::Rcpt, Class::Transient, 450, "later");
        stage.mailer.tell(Outcome::Retry { after, throttled, failure });
        let error = stage.run().await.unwrap_err();
        match after.is_some() || throttled {
            true => assert_eq!(*error.verdict(), Verdict::Throttled { after }),
            false => assert_eq!(*error.verdict(), Verdict::Retry),
        }
        assert_eq!(stage.effect(id).await, EffectState::None, "it was certainly not sent");
        stage.run().await.unwrap();
        let row = stage.row(id).await;
        assert_eq!((row.state, row.attempt, row.effect), (State::Completed, 2, EffectState::Done));
        let ids: Vec<_> = stage.mailer.messages().iter().map(|m| m.message_id().to_owned()).collect();
        assert_eq!(ids[0], ids[1], "the Message-ID is stable");
    }
}

#[tokio::test]
async fn a_wish_beyond_the_longest_delay_is_cut() {
    let mut stage = Stage::new().await;
    stage.enqueue(BODY, &[]).await;
    let failure = failure(Smtp::Rcpt, Class::Quota, 452, "full");
    stage.mailer.tell(Outcome::Retry { after: Some(Duration::from_secs(99_999)), throttled: false, failure });
    let after = Some(stage.worker.options.retry_cap);
    assert_eq!(*stage.run().await.unwrap_err().verdict(), Verdict::Throttled { after });
}

#[tokio::test]
async fn an_unusable_transport_pauses_every_mail_and_burns_no_attempt() {
    let mut stage = Stage::new().await;
    let ids = [stage.enqueue(BODY, &[]).await, stage.enqueue(BODY, &[]).await];
    let refused = || Outcome::Pause { failure: failure(Smtp::Auth, Class::Config, 535, "5.7.8 no") };
    stage.mailer.tell(refused());
    let error = stage.run().await.unwrap_err();
    assert!(matches!(error.verdict(), Verdict::Snooze(delay) if !delay.is_zero()), "{error:?}");
    let pause = stage.worker.pause();
    assert!(pause.view().unwrap().reason.contains("535"));
    assert_eq!(stage.mailer.messages().len(), 1);

    stage.mailer.tell_probe(refused());
    stage.run().await.expect("the second mail keeps its slot until a probe is good");
    assert_eq!((pause.view(), stage.mailer.messages().len()), (None, 2));
    let mut runs = 0;
    while stage.row(ids[0]).await.state != State::Completed
        || stage.row(ids[1]).await.state != State::Completed
    {
        let _ = stage.run().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        runs += 1;
        assert!(runs < 500, "the pause ends with the first good probe");
    }
    for id in ids {
        assert_eq!(stage.row(id).await.attempt, 1, "no attempt was burnt");
    }
}

#[tokio::test]
async fn a_dead_address_is_dead_and_suppressed_and_a_policy_is_not() {
    for (suppress, class) in [(true, Class::InvalidRecipient), (false, Class::Policy)] {
        let mut stage = Stage::new().await;
        let id = stage.enqueue(BODY, &[]).await;
        let failure = failure(Smtp::Rcpt, class, 550, "5.1.1 <lan@x.io> unknown");
        stage.mailer.tell(Outcome::Permanent { suppress, failure });
        let error = stage.run().await.unwrap_err();
        assert_eq!(*error.verdict(), Verdict::DeadLetter(Reason::Permanent));
        let row = stage.row(id).await;
        assert_eq!((row.state, row.effect), (State::Dead, EffectState::None));
        let now = Timestamp::now();
        let found = stage.suppressions.find(&"LAN@x.io".parse().unwrap(), now).await.unwrap();
        assert_eq!(found.is_some(), suppress);
        let Some(found) = found else { continue };
        assert_eq!(found.reason, SuppressionReason::HardBounce);
        assert_eq!(found.until.duration_since(found.since).as_hours(), 90 * 24);
        stage.enqueue(BODY, &[]).await;
        stage.run().await.unwrap();
        assert_eq!(stage.mailer.messages().len(), 1, "the next mail is not sent");
        assert_eq!(stage.log.entries()[1].outcome, "suppressed");
    }
}

#[tokio::test]
async fn a_suppressed_recipient_is_no_error_and_a_code_is_sent_all_the_same() {
    for (headers, sent) in [
        (&[][..], false),
        (&[(MAIL_CLASS, "marketing")][..], false),
        (&[(MAIL_CLASS, MailClass::TransactionalCritical.as_str())][..], true),
        (&[("backshift-sensitive", "true")][..], true),
    ] {
        let mut stage = Stage::new().await;
        let address = "lan@x.io".parse().unwrap();
        let suppression = Suppression::new(address, SuppressionReason::Manual, "", Timestamp::now());
        stage.suppressions.add(suppression).await.unwrap();
        let id = stage.enqueue(BODY, headers).await;
        stage.run().await.unwrap();
        assert_eq!(stage.mailer.messages().len(), usize::from(sent), "{headers:?}");
        let row = stage.row(id).await;
        assert_eq!(row.state, State::Completed);
        assert_eq!(row.note.as_deref() == Some("suppressed"), !sent);
    }
}

#[tokio::test]
async fn a_refused_copy_is_a_warning_and_is_recorded() {
    let mut stage = Stage::new().await;
    let body = r#"{"Recipient":"lan@x.io","Body":"b","CcAddresses":["gone@x.io","kept@x.io","known@x.io"]}"#;
    let id = stage.enqueue(body, &[]).await;
    let known =
        Suppression::new("known@x.io".parse().unwrap(), SuppressionReason::Manual, "", Timestamp::now());
    stage.suppressions.add(known).await.unwrap();
    let failure = failure(Smtp::Rcpt, Class::InvalidRecipient, 550, "5.1.1 unknown");
    let copy = RefusedCopy { address: "gone@x.io".parse().unwrap(), suppress: true, failure };
    stage.mailer.tell(Outcome::Sent { reply: "queued".into(), refused_cc: vec![copy] });
    stage.run().await.unwrap();
    let row = stage.row(id).await;
    assert_eq!((row.state, row.effect), (State::Completed, EffectState::Done));
    let note = row.note.unwrap();
    assert!(note.contains("go***@x.io") && !note.contains("gone@"), "{note}");
    let copies: Vec<_> = stage.mailer.messages()[0].envelope().cc.iter().map(ToString::to_string).collect();
    assert_eq!(copies, ["gone@x.io", "kept@x.io"], "a suppressed copy is left out");
    assert!(
        stage.suppressions.find(&"gone@x.io".parse().unwrap(), Timestamp::now()).await.unwrap().is_some()
    );
}

#[tokio::test]
async fn bytes_that_are_no_mail_are_malformed() {
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"Recipient":"a@x.io,b@x.io"}"#,
        r#"{"Recipient":"a@x.io","Subject":"a\r\nBcc: e"}"#,
    ] {
        let mut stage = Stage::new().await;
        stage.enqueue(bad, &[]).await;
        let error = stage.run().await.unwrap_err();
        assert_eq!(*error.verdict(), Verdict::DeadLetter(Reason::Malformed), "{bad}");
        assert!(stage.mailer.messages().is_empty());
    }
}

#[tokio::test]
async fn a_mail_of_no_use_any_more_is_not_sent() {
    for (at, sent) in [
        (Timestamp::now() - Duration::from_secs(1), false),
        (Timestamp::now() + Duration::from_secs(60), true),
    ] {
        let mut stage = Stage::new().await;
        stage.enqueue(BODY, &[(EXPIRES_AT, &at.to_string())]).await;
        let result = stage.run().await;
        assert_eq!(stage.mailer.messages().len(), usize::from(sent));
        if let Err(error) = result {
            assert_eq!(*error.verdict(), Verdict::DeadLetter(Reason::Expired));
        }
    }
}

#[tokio::test]
async fn an_unknown_end_is_resent_once_or_held_by_the_mail_s_class() {
    for (headers, resent) in [
        (&[][..], true),
        (&[("backshift-sensitive", "true")][..], true),
        (&[(MAIL_CLASS, "transactional-critical")][..], true),
        (&[(MAIL_CLASS, "transactional")][..], false),
        (&[(MAIL_CLASS, "marketing")][..], false),
    ] {
        let mut stage = Stage::new().await;
        let id = stage.enqueue(BODY, headers).await;
        stage.mailer.tell(cut_after_the_dot());
        let error = stage.run().await.unwrap_err();
        assert_eq!(stage.effect(id).await, EffectState::Ambiguous);
        if !resent {
            assert_eq!(*error.verdict(), Verdict::DeadLetter(Reason::Ambiguous), "{headers:?}");
            continue;
        }
        assert_eq!(*error.verdict(), Verdict::Retry, "{headers:?}");
        stage.run().await.unwrap();
        let row = stage.row(id).await;
        assert_eq!(
            (row.state, row.effect),
            (State::Completed, EffectState::Ambiguous),
            "a duplicate is flagged"
        );
        let messages = stage.mailer.messages();
        assert_eq!(messages[0].message_id(), messages[1].message_id());
    }
}
