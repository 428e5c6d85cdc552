//! Every answer carries the envelope, also those that no route made.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use serde_json::json;
use tower::ServiceExt;

use super::{ask, credentials, one, post, request};

#[tokio::test]
async fn what_http_refuses_has_its_status_as_code() {
    let (world, app) = one().await;
    world.member("lan@x.io").await;
    let user = world.token("lan@x.io").await;
    let plain = Request::post("/api/v1/authentication/login")
        .header(header::CONTENT_TYPE, "text/plain")
        .body(Body::from("{}"))
        .unwrap();
    let zipped = Request::post("/api/v1/authentication/login")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_ENCODING, "gzip")
        .body(Body::from("x"))
        .unwrap();
    let large =
        request("POST", "/authentication/login", "", &format!("{{\"email\":\"{}\"}}", "x".repeat(70_000)));
    for (sent, status) in [
        (request("GET", "/nothing", "", ""), StatusCode::NOT_FOUND),
        (Request::get("/nothing").body(Body::empty()).unwrap(), StatusCode::NOT_FOUND),
        (request("GET", "/authentication/login", "", ""), StatusCode::METHOD_NOT_ALLOWED),
        (request("PATCH", "/plans", "", ""), StatusCode::METHOD_NOT_ALLOWED),
        (large, StatusCode::PAYLOAD_TOO_LARGE),
        (plain, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (zipped, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (request("GET", "/subscriptions", "", ""), StatusCode::UNAUTHORIZED),
        (request("GET", "/subscriptions", "stale", ""), StatusCode::UNAUTHORIZED),
        (request("POST", "/plans", &user, "{}"), StatusCode::FORBIDDEN),
        (request("GET", "/plans/%FF", "", ""), StatusCode::BAD_REQUEST),
    ] {
        let shown = format!("{} {}", sent.method(), sent.uri());
        let (found, body) = ask(&app, sent).await;
        assert_eq!(found, status, "{shown}");
        assert_eq!(body["error_code"], json!(status.as_u16()), "{shown}: {body}");
        assert!(body["message"].is_string() && body.get("data").is_none(), "{shown}: {body}");
    }
}

#[tokio::test]
async fn limits_say_when_to_come_back() {
    let (world, app) = one().await;
    world.register("lan@x.io").await.unwrap();
    world.send_otp("lan@x.io").await.unwrap();
    world.later(18);
    let again = request("POST", "/authentication/send-otp", "", &credentials("lan@x.io").to_string());
    let response = app.oneshot(again).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()[header::RETRY_AFTER], "42");
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 10).await.unwrap();
    assert_eq!(&bytes[..], br#"{"error_code":110009,"message":"Too many attempts"}"#);
}

#[tokio::test]
async fn our_own_failures_tell_nothing() {
    let (world, app) = one().await;
    world.db().sql("DROP TABLE users").run().await.unwrap();
    let (status, answer) = post(&app, "/authentication/register", "", &credentials("lan@x.io")).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer, json!({"error_code": 500, "message": "Something went wrong"}));
}

#[tokio::test]
async fn a_wrong_body_gets_the_code_of_its_part() {
    let (world, app) = one().await;
    world.admin("boss@x.io").await;
    let boss = world.token("boss@x.io").await;
    for bad in
        ["{", "[]", "null", r#"{"email":1}"#, r#"{"name":1,"status":1}"#, "{\"a\":1,\"a\":2}", "\u{feff}{}"]
    {
        for (method, path, code) in [
            ("POST", "/authentication/register", 110_002),
            ("POST", "/authentication/send-otp", 110_002),
            ("POST", "/authentication/verify-otp", 110_002),
            ("POST", "/authentication/login", 110_002),
            ("POST", "/plans", 120_001),
            ("POST", "/subscriptions", 130_001),
        ] {
            if bad == r#"{"email":1}"# && code != 110_002 {
                continue;
            }
            let (status, body) = ask(&app, request(method, path, &boss, bad)).await;
            assert_eq!(
                (status, &body["error_code"]),
                (StatusCode::BAD_REQUEST, &json!(code)),
                "{path} {bad}"
            );
        }
    }
}
