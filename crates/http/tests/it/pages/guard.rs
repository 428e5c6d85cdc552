//! The headers of every page, and what other sites may not do.

use axum::{
    body::Body,
    http::{Request, StatusCode, Version, header},
};
use backshift_core::store::Queues;
use tower::ServiceExt;

use super::house::House;

#[tokio::test]
async fn every_page_has_a_strict_policy() {
    let house = House::open().await;
    for path in ["/", "/overview", "/jobs", "/hands", "/assets/look.css", "/assets/live.js", "/nothing"] {
        let page = house.get(path).await;
        let policy = page.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("script-src 'self'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(page.header("x-frame-options"), "DENY", "{path}");
        assert!(!page.text.contains(" style=") && !page.text.contains(" onclick="), "{path}: nothing inline");
    }
}

#[tokio::test]
async fn a_form_of_another_site_changes_nothing() {
    let house = House::open().await;
    house.enqueue("k", "mail", "{}").await;
    let of =
        |name: &'static str, value: &'static str| Request::post("/queues/mail/pause").header(name, value);
    for request in [
        of("sec-fetch-site", "cross-site"),
        of("sec-fetch-site", "same-site"),
        of("origin", "http://evil.example").header(header::HOST, "localhost:8080"),
        of("origin", "null").header(header::HOST, "localhost:8080"),
    ] {
        let answer = house.send(request, "").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text);
    }
    let rebound = Request::post("/queues/mail/pause").header(header::HOST, "evil.example:8080");
    assert_eq!(house.send(rebound, "").await.status, StatusCode::MISDIRECTED_REQUEST);
    let rebound = Request::get("/jobs").header(header::HOST, "evil.example");
    assert_eq!(house.send(rebound, "").await.status, StatusCode::MISDIRECTED_REQUEST);
    assert!(house.store.paused().await.unwrap().is_empty());
    let own = of("origin", "http://localhost:8080").header(header::HOST, "localhost:8080");
    assert_eq!(house.send(own, "").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_foreign_name_is_refused_wherever_it_stands() {
    let house = House::open().await;
    let app = backshift_http::loopback_only(house.app.clone());
    let of = |uri: &str, version| Request::get(uri).version(version);
    let status = async |request: axum::http::request::Builder| {
        app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
    };
    for path in ["/", "/jobs", "/events", "/api/v1/plans", "/nothing", "/assets/look.css"] {
        for foreign in ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "10.0.0.1"] {
            let misdirected = StatusCode::MISDIRECTED_REQUEST;
            let authority = of(&format!("http://{foreign}{path}"), Version::HTTP_2);
            assert_eq!(status(authority).await, misdirected, "h2 {foreign} {path}");
            let absolute =
                of(&format!("http://{foreign}{path}"), Version::HTTP_11).header(header::HOST, foreign);
            assert_eq!(status(absolute).await, misdirected, "absolute {foreign} {path}");
            let line = of(path, Version::HTTP_11).header(header::HOST, foreign);
            assert_eq!(status(line).await, misdirected, "{foreign} {path}");
        }
        let both =
            of(&format!("http://evil.example{path}"), Version::HTTP_2).header(header::HOST, "localhost");
        assert_eq!(status(both).await, StatusCode::BAD_REQUEST, "{path}");
        let twice =
            of(path, Version::HTTP_11).header(header::HOST, "localhost").header(header::HOST, "localhost");
        assert_eq!(status(twice).await, StatusCode::BAD_REQUEST, "{path}");
    }
    let own = of("http://localhost:8080/jobs", Version::HTTP_2);
    assert_eq!(status(own).await, StatusCode::OK);
}

#[tokio::test]
async fn a_form_has_at_most_64_kibibytes() {
    let house = House::open().await;
    let form = |length: usize| {
        let fields = "theme=dark&more=";
        format!("{fields}{}", "x".repeat(length - fields.len()))
    };
    for path in ["/theme", "/many"] {
        let answer = house.post(path, &form((64 << 10) + 1)).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}: {}", answer.text);
    }
    let whole = house.post("/theme", &form(64 << 10)).await;
    assert_eq!(whole.status, StatusCode::SEE_OTHER, "{}", whole.text);
}
