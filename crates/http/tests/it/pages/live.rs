//! The stream that tells open pages of changes.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    http::Request,
};
use backshift_testkit::wait;
use futures::StreamExt;
use tower::ServiceExt;

use super::house::House;

const PATIENCE: Duration = Duration::from_secs(20);

async fn open(house: &House, seen: &str, last: Option<&str>) -> BodyDataStream {
    let mut request = Request::get(format!("/events?seen={seen}"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let response = house.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response.into_body().into_data_stream()
}

/// The id of the next event.
async fn next(stream: &mut BodyDataStream) -> String {
    loop {
        let chunk = wait::within(PATIENCE, stream.next()).await.expect("an event in time");
        let text = String::from_utf8(chunk.unwrap().unwrap().to_vec()).unwrap();
        if text.contains("event: changed") {
            return text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
        }
    }
}

async fn seen(house: &House) -> String {
    let page = house.get("/overview").await.text;
    let (_, rest) = page.split_once("data-seen=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn all_open_pages_hear_of_a_change() {
    let house = House::open().await;
    let seen = seen(&house).await;
    let (mut one, mut two) = (open(&house, &seen, None).await, open(&house, &seen, None).await);
    house.enqueue("k", "q", "{}").await;
    let id = next(&mut one).await;
    assert_ne!(id, seen);
    assert_ne!(next(&mut two).await, seen);
    house.complete("q", None).await;
    assert_ne!(next(&mut one).await, id);
}

#[tokio::test]
async fn nothing_is_missed_between_a_page_and_its_stream() {
    let house = House::open().await;
    let before = seen(&house).await;
    house.enqueue("k", "q", "{}").await;
    let id = next(&mut open(&house, &before, None).await).await;
    assert_ne!(id, before);
    // After a cut connection the browser names the last event; what it shows is older.
    house.complete("q", None).await;
    assert_ne!(next(&mut open(&house, &before, Some(&id)).await).await, id);
}

#[tokio::test]
async fn open_pages_are_counted_and_other_sites_cannot_take_their_places() {
    let house = House::open().await;
    let ask = async |name: &'static str, value: &'static str| {
        let request = Request::get("/events").header(name, value).body(Body::empty()).unwrap();
        house.app.clone().oneshot(request).await.unwrap()
    };
    assert_eq!(ask("sec-fetch-site", "cross-site").await.status(), 403);
    let mut streams = Vec::new();
    for _ in 0..64 {
        streams.push(ask("sec-fetch-site", "same-origin").await);
    }
    assert!(streams.iter().all(|stream| stream.status() == 200));
    let full = ask("sec-fetch-site", "same-origin").await;
    assert_eq!(full.status(), 503);
    assert!(full.headers().contains_key("retry-after"));
    assert_eq!(house.get("/overview").await.status, 200, "pages are shown all the same");
    streams.pop();
    assert_eq!(ask("sec-fetch-site", "same-origin").await.status(), 200);
}
