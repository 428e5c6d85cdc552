//! The forms that change jobs and queues, and that a page never shows what was before.

use axum::http::StatusCode;
use backshift_core::{
    JobId, QueueName, State,
    store::{Jobs, Queues},
};

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
    assert!(house.get("/queues").await.text.contains("The one queue is open."));
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

async fn state(house: &House, id: JobId) -> State {
    house.store.find(id).await.unwrap().unwrap().state
}
