//! The forms that change jobs and queues, and that a page never shows what was before.

use std::time::Duration;

use axum::http::StatusCode;
use backshift_core::{
    Deed, Envelope, ErrorClass, ErrorReport, Hand, JobId, Kind, QueueName, State, Sweeps as _, Timestamp,
    settle::{Retry, Settlement},
    store::{Jobs, Queues},
};
use backshift_http::{Shape, server};
use backshift_store::Executor as _;

use super::house::House;

#[tokio::test]
async fn a_queue_is_paused_and_resumed_from_its_row() {
    let house = House::open().await;
    house.enqueue("k", "mail", "{}").await;
    assert!(house.get("/queues").await.text.contains("action=\"/queues/mail/pause\""));
    let answer = house.post("/queues/mail/pause", "").await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/queues"));
    assert_eq!(house.store.paused().await.unwrap(), [QueueName::new("mail").unwrap()]);
    assert!(house.get("/overview").await.text.contains("mail is paused"), "no page is older than the change");
    assert!(house.get("/queues").await.text.contains("1 queue is paused."));
    house.post("/queues/mail/resume", "").await;
    assert!(house.store.paused().await.unwrap().is_empty());
    assert!(house.get("/queues").await.text.contains("Nobody works 1 queue."));
    assert_eq!(house.post("/queues/no%20queue/pause", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_job_is_cancelled_and_run_again_from_its_page() {
    let house = House::open().await;
    let id = house.enqueue("k", "q", "{}").await;
    let page = house.get(&format!("/jobs/{id}")).await.text;
    assert!(page.contains(&format!("action=\"/jobs/{id}/cancel\"")) && !page.contains("/retry\""), "{page}");
    let answer = house.post(&format!("/jobs/{id}/cancel"), "").await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, &*format!("/jobs/{id}")));
    assert_eq!(state(&house, id).await, State::Cancelled);
    let page = house.get(&format!("/jobs/{id}")).await.text;
    assert!(
        page.contains("was cancelled") && page.contains(&format!("action=\"/jobs/{id}/retry\"")),
        "{page}"
    );
    house.post(&format!("/jobs/{id}/retry"), "").await;
    assert_eq!(state(&house, id).await, State::Available);
    house.complete("q", None).await;
    for late in ["cancel", "retry"] {
        let answer = house.post(&format!("/jobs/{id}/{late}"), "").await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{late}");
        assert!(answer.text.contains("Nothing was changed: this job is done"), "{}", answer.text);
    }
    assert_eq!(state(&house, id).await, State::Completed, "what is done stays done");
    for unknown in [JobId::generate().to_string(), "nonsense".into()] {
        assert_eq!(house.post(&format!("/jobs/{unknown}/retry"), "").await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_job_is_deleted_from_its_page_after_a_question_and_its_address_says_by_whom() {
    let house = House::open().await;
    let id = house.enqueue("k", "q", "{}").await;
    let (page, ask) = (format!("/jobs/{id}"), format!("/jobs/{id}/delete"));
    assert!(!house.get(&page).await.text.contains("/delete\""), "what is not over is not deleted");
    for early in [house.get(&ask).await, house.post(&ask, "why=early").await] {
        assert_eq!(early.status, StatusCode::CONFLICT);
        assert!(early.text.contains("Only what is over is deleted"), "{}", early.text);
    }
    house.kill("q", "550 no").await;
    assert!(house.get(&page).await.text.contains(&format!("href=\"{ask}\"")));
    let question = house.get(&ask).await.text;
    assert!(
        question.contains("Delete this k, which is dead?")
            && question.contains("cannot be brought back")
            && question.contains(&format!("backshift jobs delete {id}")),
        "{question}"
    );
    let shut =
        House { app: server::finish(house.pages().read_only(true).router(), Shape::default()), ..house };
    assert!(!shut.get(&ask).await.text.contains("method=\"post\" action=\"/jobs"));
    assert_eq!(shut.post(&ask, "").await.status, StatusCode::FORBIDDEN);
    let house = House { app: server::finish(shut.pages().router(), Shape::default()), ..shut };
    let done = house.post(&ask, "why=it+was+%3Cb%3Ewrong").await;
    assert_eq!((done.status, done.header("location")), (StatusCode::SEE_OTHER, "/jobs?state=dead"));
    assert!(house.store.find(id).await.unwrap().is_none());
    for path in [&page, &ask] {
        let gone = house.get(path).await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND);
        let told = "any more. somebody on this machine, on the pages deleted it at 20";
        assert!(gone.text.contains(told) && gone.text.contains(": it was &lt;b&gt;wrong"), "{}", gone.text);
    }
    assert!(house.post(&format!("{page}/retry"), "").await.text.contains("deleted it at"));
}

#[tokio::test]
async fn a_cancelled_job_names_the_hand_on_its_page_and_in_the_list_and_so_does_one_that_runs_still() {
    let house = House::open().await;
    let hand = Hand { who: "ann@host".into(), why: Some("mistyped <b>".into()) };
    let waiting = house.enqueue("k", "waits", "{}").await;
    let runs = house.enqueue("k", "runs", "{}").await;
    let (_, start) = house.claim("runs").await;
    for id in [waiting, runs] {
        house.store.act(Deed::Cancel, id, &hand).await.unwrap();
    }
    let page = house.get(&format!("/jobs/{waiting}")).await.text;
    assert!(
        page.contains("Why was it cancelled?") && page.contains("cancelled by hand, by ann@host"),
        "{page}"
    );
    let page = house.get(&format!("/jobs/{runs}")).await.text;
    assert!(
        page.contains("ann@host asked it to stop.") && page.contains("Asked to stop by ann@host"),
        "{page}"
    );
    // It goes back because its worker ends, in the moment in which it was cancelled.
    let next = Retry {
        next: Envelope::new(Kind::new("k").unwrap(), QueueName::new("runs").unwrap(), "{}", Timestamp::now()),
        delay: Duration::ZERO,
        counted: false,
        error: Some(ErrorReport::new(ErrorClass::Released, "the worker stopped")),
    };
    house.finish(start, Settlement::Retry(Box::new(next))).await;
    assert_eq!(state(&house, runs).await, State::Cancelled);
    let list = house.get("/jobs").await.text;
    assert_eq!(list.matches("cancelled by ann@host: mistyped &lt;b&gt;").count(), 2, "{list}");
    assert!(!list.contains("the worker stopped"), "{list}");
}

#[tokio::test]
async fn what_is_parked_has_its_tab_and_a_misspelt_word_its_nearest() {
    let house = House::open().await;
    let id = house.enqueue("report.biuld", "q", "{}").await;
    let waits = house.enqueue("k", "other", "{}").await;
    let aside = "UPDATE background_jobs SET aside = job_type WHERE queue = 'q'";
    house.db.text(aside.to_owned()).run().await.unwrap();
    for path in ["/jobs?state=parked", "/jobs?find=parked", "/jobs?state=available&find=parked"] {
        let page = house.get(path).await.text;
        assert!(
            page.contains(&format!("data-key=\"{id}\"")) && !page.contains(&waits.to_string()),
            "{path}: {page}"
        );
        assert!(
            page.contains("Parked jobs.") && page.contains("backshift jobs list --state parked"),
            "{page}"
        );
        assert!(page.contains("deed=cancel") && !page.contains("deed=retry"), "{page}");
    }
    assert!(house.get("/jobs?state=held").await.text.contains("No held jobs."));
    assert!(house.get("/jobs?state=praked").await.text.contains("did you mean parked?"));
    let question = house.get("/many?deed=cancel&state=parked").await.text;
    assert!(
        question.contains("Cancel 1 job?") && question.contains("jobs cancel --state parked"),
        "{question}"
    );
    // Nobody works either: not even the empty one is open for anybody.
    assert!(house.get("/queues").await.text.contains("Nobody works 2 queues."));
}

async fn state(house: &House, id: JobId) -> State {
    house.store.find(id).await.unwrap().unwrap().state
}
