//! What each route hands to the service and what it writes of the answer.

use std::net::SocketAddr;

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Request, StatusCode},
};
use backshift_core::{QueueName, WorkerName, store::Holder, wire::TRACEPARENT};
use backshift_http::client::Client;
use backshift_store::ledger;
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use super::{PASSWORD, app_with, ask, credentials, get, is_c_s_time, one, post, request};
use crate::world::World;

/// The fields of an object, in the order of the alphabet.
fn fields(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn the_session_has_c_s_fields() {
    let (world, app) = one().await;
    world.admin("Lan@x.io").await;
    let body = json!({"email": "lan@X.io", "password": PASSWORD, "remember": true, "user_agent": "x", "device_name": null});
    let (status, answer) = post(&app, "/authentication/login", "", &body).await;
    assert_eq!(
        (status, &answer["error_code"], &answer["message"]),
        (StatusCode::OK, &json!(0), &json!("Success"))
    );
    let data = &answer["data"];
    assert_eq!(fields(data), ["expires_at", "session_id", "token", "token_type", "user"]);
    let user = json!({"id": world.user_id("Lan@x.io").await, "email": "Lan@x.io", "role": {"id": "ADMIN", "name": "ADMIN"}});
    assert_eq!((&data["user"], &data["token_type"]), (&user, &json!("Bearer")));
    let ends = |answer: &Value| {
        let text = answer["data"]["expires_at"].as_str().unwrap().to_owned();
        assert!(text.len() == 20 && text.ends_with('Z'), "{text}");
        text
    };
    let (_, short) = post(&app, "/authentication/login", "", &credentials("lan@x.io")).await;
    assert!(ends(&short) < ends(&answer), "a remembered session is longer");
}

#[tokio::test]
async fn send_otp_hands_on_language_trace_and_the_socket_s_address() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    // A header that nobody configured counts for nothing; whom the server found counts.
    for (found, counted) in [(None, "10.0.0.1"), (Some("7.7.7.7"), "7.7.7.7")] {
        let (world, app) = one().await;
        world.register("lan@x.io").await.unwrap();
        let mut sent = request("POST", "/authentication/send-otp", "", &credentials("lan@x.io").to_string());
        sent.headers_mut().insert("lang", "vi".parse().unwrap());
        sent.headers_mut().insert("x-forwarded-for", "6.6.6.6, 7.7.7.7".parse().unwrap());
        sent.headers_mut().insert("traceparent", trace.parse().unwrap());
        sent.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 999))));
        if let Some(client) = found {
            sent.extensions_mut().insert(Client(client.parse().unwrap()));
        }
        assert_eq!(ask(&app, sent).await.0, StatusCode::OK);
        let ip = world.db().sql("SELECT ip FROM otp_sends").one::<String>().await.unwrap();
        assert_eq!(ip, counted);
        let holder =
            Holder { worker: WorkerName::new("w").unwrap(), lease: std::time::Duration::from_secs(30) };
        let queue = QueueName::new("identity").unwrap();
        let (envelope, _) =
            ledger::claim_available(world.db(), &queue, 1, &holder).await.unwrap().pop().unwrap();
        let payload: Value = serde_json::from_slice(&envelope.payload).unwrap();
        assert_eq!(payload["locale"], "vi", "{payload}");
        assert_eq!(envelope.headers.get(TRACEPARENT).map(String::as_str), Some(trace));
    }
}

#[tokio::test]
async fn plans_are_flat_and_lists_are_named() {
    let (world, app) = one().await;
    let boss = world.admin("boss@x.io").await;
    for (name, code) in [("Pro", "pro"), ("Team", "team")] {
        let draft = backshift_domains::identity::PlanDraft {
            name: Some(name.into()),
            code: Some(code.into()),
            max_usage: Some(3),
            ..Default::default()
        };
        world.service.create_plan(boss, draft).await.unwrap();
    }
    let (_, list) = get(&app, "/plans?codes=pro,nothing", "").await;
    assert_eq!(fields(&list["data"]), ["plans"], "only a paged list has a paginator");
    let plans = list["data"]["plans"].as_array().unwrap();
    let [plan] = plans.as_slice() else { panic!("{list}") };
    assert_eq!(fields(plan), ["code", "created_at", "id", "max_usage", "name", "updated_at"]);
    assert_eq!((&plan["name"], &plan["code"], &plan["max_usage"]), (&json!("Pro"), &json!("pro"), &json!(3)));
    assert!(is_c_s_time(&plan["created_at"]) && is_c_s_time(&plan["updated_at"]), "{plan}");
    let (_, one) = get(&app, &format!("/plans/{}", plan["id"].as_str().unwrap()), "").await;
    assert_eq!(&one["data"], plan);
    let (_, page) = get(&app, "/plans/page?page=2&limit=2", "").await;
    let paginator = json!({"total": 3, "count": 1, "per_page": 2, "current_page": 2});
    assert_eq!(page["data"]["paginator"], paginator, "with the free plan");
    for (path, code) in [("/plans/x".to_owned(), 120_007), (format!("/plans/{}", Uuid::now_v7()), 120_002)] {
        let (status, body) = get(&app, &path, "").await;
        assert_eq!((status, &body["error_code"]), (StatusCode::BAD_REQUEST, &json!(code)));
    }
}

#[tokio::test]
async fn plans_are_written_by_admins() {
    let (world, app) = one().await;
    world.admin("boss@x.io").await;
    world.member("lan@x.io").await;
    let (boss, user) = (world.token("boss@x.io").await, world.token("lan@x.io").await);
    let body = json!({"name": "Pro", "code": "pro", "description": null, "max_usage": 3});
    let (status, made) = post(&app, "/plans", &boss, &body).await;
    assert_eq!((status, &made["data"]["code"]), (StatusCode::OK, &json!("pro")));
    let path = format!("/plans/{}", made["data"]["id"].as_str().unwrap());
    let change = json!({"max_usage": 9, "description": "for people"}).to_string();
    let (status, changed) = ask(&app, request("PUT", &path, &boss, &change)).await;
    assert_eq!((status, &changed["data"]["id"]), (StatusCode::OK, &made["data"]["id"]));
    let now = (&changed["data"]["max_usage"], &changed["data"]["description"], &changed["data"]["name"]);
    assert_eq!(now, (&json!(9), &json!("for people"), &json!("Pro")), "what was not said stays");
    for method in ["PUT", "DELETE"] {
        let body = if method == "PUT" { "{}" } else { "" };
        assert_eq!(ask(&app, request(method, &path, &user, body)).await.0, StatusCode::FORBIDDEN);
        let (_, refused) = ask(&app, request(method, "/plans/5", &boss, body)).await;
        assert_eq!(refused["error_code"], 120_007);
    }
    let (status, gone) = ask(&app, request("DELETE", &path, &boss, "")).await;
    assert_eq!((status, gone), (StatusCode::OK, json!({"error_code": 0, "message": "Success"})));
    assert_eq!(get(&app, &path, "").await.1["error_code"], 120_002);
}

#[tokio::test]
async fn subscriptions_are_flat_and_me_is_the_one_in_force() {
    let (world, app) = one().await;
    let caller = world.member("lan@x.io").await;
    let token = world.token("lan@x.io").await;
    let (_, mine) = get(&app, "/subscriptions/me", &token).await;
    let trial = &mine["data"];
    assert_eq!(
        fields(trial),
        [
            "created_at",
            "ends_at",
            "id",
            "plan_id",
            "starts_at",
            "status",
            "trial_ends_at",
            "updated_at",
            "user_id"
        ]
    );
    assert_eq!((&trial["status"], &trial["user_id"]), (&json!("trialing"), &json!(caller.user_id)));
    for time in ["trial_ends_at", "starts_at", "ends_at", "created_at", "updated_at"] {
        assert!(is_c_s_time(&trial[time]), "{time}: {trial}");
    }
    let path = format!("/subscriptions/{}", trial["id"].as_str().unwrap());
    let (_, cancelled) = ask(&app, request("POST", &format!("{path}/cancel"), &token, "")).await;
    assert_eq!(cancelled["data"]["status"], "cancelled");
    assert!(is_c_s_time(&cancelled["data"]["cancelled_at"]));
    assert_eq!(get(&app, "/subscriptions/me", &token).await.1["error_code"], 130_002, "none is in force");
    let again = json!({"plan_id": trial["plan_id"], "status": "active", "starts_at": "2025-01-01T00:00:00Z"});
    assert_eq!(post(&app, "/subscriptions", &token, &again).await.0, StatusCode::FORBIDDEN);
    world.admin("boss@x.io").await;
    let boss = world.token("boss@x.io").await;
    let mut for_lan = again.clone();
    for_lan["user_id"] = json!(caller.user_id);
    let (status, made) = post(&app, "/subscriptions", &boss, &for_lan).await;
    assert_eq!((status, &made["data"]["starts_at"]), (StatusCode::OK, &json!("2025-01-01 00:00:00")));
    let (_, list) = get(&app, "/subscriptions", &token).await;
    assert_eq!(list["data"]["subscriptions"].as_array().map(Vec::len), Some(2), "one's own");
    let (_, page) = get(&app, "/subscriptions/page", &token).await;
    assert_eq!(page["data"]["paginator"], json!({"total": 2, "count": 2, "per_page": 15, "current_page": 1}));
    for (method, path) in
        [("GET", "/subscriptions/x"), ("DELETE", "/subscriptions/x"), ("POST", "/subscriptions/x/cancel")]
    {
        let (status, body) = ask(&app, request(method, path, &token, "")).await;
        assert_eq!(
            (status, &body["error_code"]),
            (StatusCode::BAD_REQUEST, &json!(130_006)),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn every_subscription_route_needs_a_token() {
    let (_world, app) = one().await;
    let id = Uuid::now_v7();
    for (method, path) in [
        ("GET", "/subscriptions".to_owned()),
        ("GET", "/subscriptions/page".to_owned()),
        ("GET", "/subscriptions/me".to_owned()),
        ("GET", format!("/subscriptions/{id}")),
        ("POST", "/subscriptions".to_owned()),
        ("PUT", format!("/subscriptions/{id}")),
        ("DELETE", format!("/subscriptions/{id}")),
        ("POST", format!("/subscriptions/{id}/cancel")),
        ("POST", "/plans".to_owned()),
        ("PUT", format!("/plans/{id}")),
        ("DELETE", format!("/plans/{id}")),
        ("POST", "/authentication/logout".to_owned()),
    ] {
        for credentials in [None, Some("Basic admin"), Some("admin"), Some("Bearer "), Some("Bearer stale")] {
            let mut sent = Request::builder().method(method).uri(format!("/api/v1{path}"));
            if let Some(text) = credentials {
                sent = sent.header("authorization", text);
            }
            let (status, body) = ask(&app, sent.body(Body::empty()).unwrap()).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path} {credentials:?}");
            assert_eq!(body["error_code"], 401);
        }
    }
}

/// Who is counted, by what.
async fn counted(world: &World) -> Vec<(String, String)> {
    world.db().sql("SELECT what, who FROM auth_counts ORDER BY what").all().await.unwrap()
}

#[tokio::test]
async fn every_way_in_says_where_it_comes_from() {
    let (world, app) = one().await;
    let body = json!({"email": "lan@x.io", "password": "a wrong one", "otp": "123456"}).to_string();
    for (route, what) in [("register", "registrations"), ("verify-otp", "checks"), ("login", "pair")] {
        let mut sent = request("POST", &format!("/authentication/{route}"), "", &body);
        sent.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 999))));
        let _ = ask(&app, sent).await;
        let counts = counted(&world).await;
        let who = &counts
            .iter()
            .find(|(counted, _)| counted == what)
            .unwrap_or_else(|| panic!("{route}: {counts:?}"))
            .1;
        assert!(who.contains("10.0.0."), "{route}: {who}");
    }
}

#[tokio::test]
async fn who_is_sent_away_is_told_when_to_come_back() {
    let (world, _) = one().await;
    let app = app_with(&world, |config| config.hash_queue = 0);
    for route in ["register", "send-otp", "login"] {
        let body = credentials("lan@x.io").to_string();
        let sent = request("POST", &format!("/authentication/{route}"), "", &body);
        // As many as there are slots are at work; with no queue behind them the next one is sent away.
        let many = (0..64).map(|_| app.clone().oneshot(copy(&sent, &body)));
        let answers = futures::future::join_all(many).await;
        let away =
            answers.into_iter().map(Result::unwrap).find(|r| r.status() == StatusCode::SERVICE_UNAVAILABLE);
        let away = away.unwrap_or_else(|| panic!("{route}: everybody got in"));
        assert!(away.headers().contains_key("retry-after"), "{route}");
    }
}

fn copy(request: &Request<Body>, body: &str) -> Request<Body> {
    let mut copy = Request::builder().method(request.method()).uri(request.uri());
    *copy.headers_mut().unwrap() = request.headers().clone();
    copy.body(Body::from(body.to_owned())).unwrap()
}
