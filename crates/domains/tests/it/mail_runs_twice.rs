//! What happens when the handler of `email.send` runs twice for one job.

use backshift_core::{EffectState, Reason, State, Verdict, store::Jobs};
use backshift_domains::mail::MAIL_CLASS;
use backshift_mail::{Class, Outcome, Stage as Smtp};

use crate::stage::{BODY, Stage, cut_after_the_dot, failure};

#[tokio::test]
async fn a_mail_that_was_sent_is_not_sent_again() {
    for mut stage in Stage::everywhere().await {
        let id = stage.enqueue(BODY, &[]).await;
        stage.die_after_done().await;
        stage.run().await.unwrap();
        assert!(stage.mailer.messages().is_empty(), "the earlier attempt is known to have sent it");
        let row = stage.row(id).await;
        assert_eq!((row.state, row.effect, row.attempt), (State::Completed, EffectState::Done, 1));
        assert!(row.note.unwrap().contains("250 queued"));
    }
}

#[tokio::test]
async fn a_worker_that_died_while_sending_leaves_an_ambiguous_mail() {
    for (class, resent) in [("transactional-critical", true), ("transactional", false)] {
        for mut stage in Stage::everywhere().await {
            let id = stage.enqueue(BODY, &[(MAIL_CLASS, class)]).await;
            stage.die_while_sending().await;
            let result = stage.run().await;
            assert_eq!(stage.mailer.messages().len(), usize::from(resent));
            match resent {
                true => result.unwrap(),
                false => assert_eq!(*result.unwrap_err().verdict(), Verdict::DeadLetter(Reason::Ambiguous)),
            }
            assert_eq!(stage.effect(id).await, EffectState::Ambiguous, "a duplicate is flagged");
        }
    }
}

#[tokio::test]
async fn a_second_unknown_end_is_held_and_never_a_third_sending() {
    for mut stage in Stage::everywhere().await {
        let id = stage.enqueue(BODY, &[]).await;
        let later = failure(Smtp::Rcpt, Class::Transient, 450, "later");
        stage.mailer.tell(cut_after_the_dot());
        stage.mailer.tell(Outcome::Retry { after: None, throttled: false, failure: later });
        stage.mailer.tell(cut_after_the_dot());
        stage.run().await.unwrap_err();
        stage.run().await.unwrap_err();
        assert_eq!(stage.effect(id).await, EffectState::Ambiguous, "the first sending is still in doubt");
        let error = stage.run().await.unwrap_err();
        assert_eq!(*error.verdict(), Verdict::DeadLetter(Reason::Ambiguous));
        assert_eq!(stage.row(id).await.state, State::Dead);
        assert_eq!(stage.mailer.messages().len(), 3);
    }
}

#[tokio::test]
async fn a_held_mail_goes_on_when_a_person_retries_it() {
    for class in ["transactional", "transactional-critical"] {
        for mut stage in Stage::everywhere().await {
            let id = stage.enqueue(BODY, &[(MAIL_CLASS, class)]).await;
            while stage.row(id).await.state != State::Dead {
                stage.mailer.tell(cut_after_the_dot());
                stage.run().await.unwrap_err();
            }
            let before = stage.mailer.messages().len();
            stage.store.retry(id).await.unwrap();
            stage.run().await.unwrap();
            assert_eq!(stage.mailer.messages().len(), before + 1);
            assert_eq!(stage.row(id).await.state, State::Completed);
        }
    }
}

#[tokio::test]
async fn a_hold_that_its_worker_did_not_live_to_settle_is_nobody_s_decision() {
    for class in ["transactional", "transactional-critical"] {
        for mut stage in Stage::everywhere().await {
            let id = stage.enqueue(BODY, &[(MAIL_CLASS, class)]).await;
            stage.die_while_sending().await;
            if class == "transactional-critical" {
                stage.mailer.tell(cut_after_the_dot());
                stage.run_and_die().await.unwrap_err();
            }
            let before = stage.mailer.messages().len();
            for _ in 0..3 {
                let error = stage.run_and_die().await.unwrap_err();
                assert_eq!(*error.verdict(), Verdict::DeadLetter(Reason::Ambiguous));
            }
            stage.run().await.unwrap_err();
            assert_eq!(stage.mailer.messages().len(), before, "nobody has let it go");
            assert_eq!(stage.row(id).await.state, State::Dead);
            stage.store.retry(id).await.unwrap();
            stage.run().await.unwrap();
            assert_eq!(stage.mailer.messages().len(), before + 1, "a person has");
        }
    }
}
