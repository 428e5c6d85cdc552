//! How the pages lie on screens of four widths, without scripts too, and what the keys do: measured by a page that frames ours.
//!
//! The framing page comes from the same origin, which is the only one that ours may be framed by.

use axum::{Router, response::Html, routing::get};
use backshift_testkit::{browser, programs};
use serde_json::Value;

use super::{chromium::Port, house::House};

/// A house with long names and errors, and its pages.
async fn furnished() -> (House, Vec<String>) {
    let house = House::open().await;
    let long = "customer.subscription.renewal.reminder.of.the.second.kind.with.a.long.name";
    let dead = house
        .enqueue(long, "a-queue-with-quite-a-long-name-for-a-queue", r#"{"to":"anna@example.com"}"#)
        .await;
    house
        .kill("a-queue-with-quite-a-long-name-for-a-queue", &"550 5.1.1 no such mailbox here ".repeat(20))
        .await;
    house.enqueue("k", "later", "{}").await;
    house.fail("later", "450 4.2.1 mailbox busy", std::time::Duration::from_secs(3600)).await;
    house.enqueue("k", "waits", "{}").await;
    house.post("/queues/waits/pause", "").await;
    house.post("/queues/waits/resume", "").await;
    let paths = ["/overview", "/jobs", "/queues", "/workers"].map(str::to_owned);
    let pages = paths.into_iter().chain([
        format!("/jobs/{dead}"),
        "/jobs?find=nowhere".into(),
        "/jobs?state=dead".into(),
        "/causes".into(),
        "/hands".into(),
        "/many?deed=retry&state=dead".into(),
    ]);
    (house, pages.collect())
}

async fn measured(house: &House, pages: &[String]) -> Vec<Value> {
    let harness = browser::measuring(pages);
    let measure = Router::new().route("/measure", get(move || async move { Html(harness) }));
    let port = Port::open(house.app.clone().merge(measure)).await;
    let seen = browser::measured(&format!("{}/measure", port.base)).await.unwrap();
    port.close().await;
    seen
}

#[tokio::test]
async fn nothing_overflows_and_tables_stay_tables_while_they_fit() {
    if programs::require("chromium").is_none() {
        return;
    }
    let (house, pages) = furnished().await;
    let seen = measured(&house, &pages).await;
    assert_eq!(seen.len(), pages.len() * 4, "{seen:#?}");
    for page in &seen {
        assert_eq!(page["error"], Value::Null, "{page:#}");
        let width = page["width"].as_u64().unwrap();
        assert_eq!(
            (&page["wide"], page["beyond"].as_array().unwrap().len()),
            (&Value::Bool(false), 0),
            "{page:#}"
        );
        let table = page["table"].as_str().unwrap();
        let wanted = if width < 900 { "block" } else { "table" };
        assert!(table.is_empty() || table == wanted, "a table of {width} px is shown as {table}: {page:#}");
        assert!(
            page["parts"].as_array().unwrap().iter().all(|parts| *parts == 1),
            "a time falls apart: {page:#}"
        );
        assert_eq!(page["bare"], 0, "a link in a sentence that colour alone tells: {page:#}");
        assert_eq!(page["traps"], 0, "something that scrolls inside the page: {page:#}");
        let rail = page["rail"].as_str().unwrap();
        assert!(rail.is_empty() || (rail == "sticky") == (width > 960), "{page:#}");
        let framed = !rail.is_empty();
        assert!(
            !framed || page["used"].as_f64().unwrap() > width as f64 * 0.85,
            "a part of the screen is left empty: {page:#}"
        );
    }
    let keys =
        seen.iter().find(|page| page["page"] == "/jobs" && page["width"] == 1280).unwrap()["keys"].clone();
    let keys = keys.as_array().unwrap();
    assert!(keys[0].as_str().unwrap().starts_with("/jobs/") && keys[0] != keys[1], "{keys:?}");
    assert_eq!(keys[2], keys[0], "k goes back");
    assert_eq!(
        keys[3..],
        [Value::Bool(true), Value::Bool(false), "find".into(), "find".into()],
        "letters that are typed are no keys"
    );
}
