//! What each route hands to the port and what it writes of the answer.

use std::net::SocketAddr;

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Request, StatusCode},
};
use backshift_http::client::Client;
use serde_json::json;

use crate::stub::{ID, OTHER, Stub, ask, request};

const CREDENTIALS: &str = r#"{"email":"lan@x.io","password":"long enough"}"#;

#[tokio::test]
async fn the_session_has_c_s_fields() {
    let stub = Stub::default();
    let body = r#"{"email":"Lan@x.io","password":"long enough","remember":true,"user_agent":"x","device_name":null}"#;
    let (status, answer) = ask(&stub.app(), request("POST", "/authentication/login", "", body)).await;
    assert_eq!(status, StatusCode::OK);
    let wanted = json!({"error_code": 0, "message": "Success", "data": {
        "user": {"id": ID, "email": "Lan@x.io", "role": {"id": "ADMIN", "name": "ADMIN"}},
        "token": "the.token", "expires_at": "2025-01-02T03:04:05Z", "session_id": OTHER, "token_type": "Bearer",
    }});
    assert_eq!(answer, wanted);
    assert_eq!(stub.0.lock().unwrap().remember, Some(true));
}

#[tokio::test]
async fn send_otp_hands_on_language_trace_and_the_socket_s_address() {
    let stub = Stub::default();
    let send = |client: Option<Client>| {
        let mut sent = request("POST", "/authentication/send-otp", "", CREDENTIALS);
        sent.headers_mut().insert("lang", "vi".parse().unwrap());
        sent.headers_mut().insert("x-forwarded-for", "6.6.6.6, 7.7.7.7".parse().unwrap());
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        sent.headers_mut().insert("traceparent", trace.parse().unwrap());
        sent.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 999))));
        if let Some(client) = client {
            sent.extensions_mut().insert(client);
        }
        let app = stub.app();
        async move { ask(&app, sent).await.0 }
    };
    assert_eq!(send(None).await, StatusCode::OK);
    assert_eq!(
        stub.ip(),
        Some("10.0.0.1".parse().unwrap()),
        "a header that nobody configured counts for nothing"
    );
    let origin = stub.0.lock().unwrap().origin.clone().unwrap();
    assert_eq!(origin.locale, "vi");
    assert!(origin.traceparent.is_some_and(|trace| trace.ends_with("-01")));
    assert_eq!(send(Some(Client("7.7.7.7".parse().unwrap()))).await, StatusCode::OK);
    assert_eq!(stub.ip(), Some("7.7.7.7".parse().unwrap()), "whom the server found counts");
}

#[tokio::test]
async fn plans_are_flat_and_lists_are_named() {
    let stub = Stub::default();
    let app = stub.app();
    let plan = json!({"id": ID, "name": "Pro", "code": "pro", "max_usage": 3,
        "created_at": "2025-01-02 03:04:05", "updated_at": "2025-01-02 03:04:05"});
    let (_, one) = ask(&app, request("GET", &format!("/plans/{ID}"), "", "")).await;
    assert_eq!(one["data"], plan);
    let (_, list) = ask(&app, request("GET", "/plans?codes=a,b", "", "")).await;
    assert_eq!(list["data"], json!({"plans": [plan]}));
    assert_eq!(stub.0.lock().unwrap().query.take().unwrap().codes, ["a", "b"]);
    let (_, page) = ask(&app, request("GET", "/plans/page?page=3&limit=10", "", "")).await;
    assert_eq!(
        page["data"]["paginator"],
        json!({"total": 31, "count": 1, "per_page": 10, "current_page": 3})
    );
    for (path, code) in [("/plans/x", 120_007), (&*format!("/plans/{OTHER}"), 120_002)] {
        let (status, body) = ask(&app, request("GET", path, "", "")).await;
        assert_eq!((status, &body["error_code"]), (StatusCode::BAD_REQUEST, &json!(code)));
    }
}

#[tokio::test]
async fn plans_are_written_through_the_port() {
    let stub = Stub::default();
    let app = stub.app();
    let body = r#"{"name":"Pro","code":"pro","description":null,"max_usage":3}"#;
    let (status, made) = ask(&app, request("POST", "/plans", "admin", body)).await;
    assert_eq!((status, &made["data"]["code"]), (StatusCode::OK, &json!("pro")));
    let draft = stub.0.lock().unwrap().plan.take().unwrap();
    assert_eq!((draft.name.as_deref(), draft.max_usage, draft.description), (Some("Pro"), Some(3), None));
    let (status, changed) = ask(&app, request("PUT", &format!("/plans/{ID}"), "admin", "{}")).await;
    assert_eq!((status, &changed["data"]["id"]), (StatusCode::OK, &json!(ID)));
    let (status, gone) = ask(&app, request("DELETE", &format!("/plans/{ID}"), "admin", "")).await;
    assert_eq!((status, gone), (StatusCode::OK, json!({"error_code": 0, "message": "Success"})));
    for method in ["PUT", "DELETE"] {
        let body = if method == "PUT" { "{}" } else { "" };
        let (status, _) = ask(&app, request(method, &format!("/plans/{ID}"), "user", body)).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        let (_, refused) = ask(&app, request(method, "/plans/5", "admin", body)).await;
        assert_eq!(refused["error_code"], 120_007);
    }
}

#[tokio::test]
async fn subscriptions_are_flat_and_me_is_the_one_in_force() {
    let stub = Stub::default();
    let app = stub.app();
    let row = json!({"id": ID, "user_id": ID, "plan_id": OTHER, "status": "trialing",
        "trial_ends_at": "2025-01-02 03:04:05", "starts_at": "2025-01-02 03:04:05",
        "created_at": "2025-01-02 03:04:05", "updated_at": "2025-01-02 03:04:05"});
    let (_, mine) = ask(&app, request("GET", "/subscriptions/me", "user", "")).await;
    assert_eq!(mine["data"], row);
    assert_eq!(stub.0.lock().unwrap().query.take().unwrap().user_id, Some(ID));
    let (_, list) = ask(&app, request("GET", "/subscriptions", "user", "")).await;
    assert_eq!(list["data"]["subscriptions"].as_array().map(Vec::len), Some(2));
    let (_, page) = ask(&app, request("GET", "/subscriptions/page", "user", "")).await;
    assert_eq!(page["data"]["paginator"], json!({"total": 2, "count": 2, "per_page": 15, "current_page": 1}));
    let body = json!({"plan_id": OTHER, "status": "active", "starts_at": "2025-01-01T00:00:00Z"}).to_string();
    let (status, _) = ask(&app, request("POST", "/subscriptions", "user", &body)).await;
    assert_eq!(status, StatusCode::OK);
    let draft = stub.0.lock().unwrap().subscription.take().unwrap();
    assert_eq!((draft.plan_id, draft.user_id), (Some(OTHER), None));
    assert_eq!(draft.starts_at.map(|at| at.to_string()).as_deref(), Some("2025-01-01T00:00:00Z"));
    let (_, cancelled) = ask(&app, request("POST", &format!("/subscriptions/{ID}/cancel"), "user", "")).await;
    assert_eq!(cancelled["data"]["status"], "cancelled");
    for (method, path) in
        [("GET", "/subscriptions/x"), ("DELETE", "/subscriptions/x"), ("POST", "/subscriptions/x/cancel")]
    {
        let (status, body) = ask(&app, request(method, path, "user", "")).await;
        assert_eq!(
            (status, &body["error_code"]),
            (StatusCode::BAD_REQUEST, &json!(130_006)),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn every_subscription_route_needs_a_token() {
    let app = Stub::default().app();
    for (method, path) in [
        ("GET", "/subscriptions".to_owned()),
        ("GET", "/subscriptions/page".to_owned()),
        ("GET", "/subscriptions/me".to_owned()),
        ("GET", format!("/subscriptions/{ID}")),
        ("POST", "/subscriptions".to_owned()),
        ("PUT", format!("/subscriptions/{ID}")),
        ("DELETE", format!("/subscriptions/{ID}")),
        ("POST", format!("/subscriptions/{ID}/cancel")),
        ("POST", "/plans".to_owned()),
        ("PUT", format!("/plans/{ID}")),
        ("DELETE", format!("/plans/{ID}")),
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

#[tokio::test]
async fn every_way_in_says_where_it_comes_from() {
    let stub = Stub::default();
    let body = r#"{"email":"lan@x.io","password":"long enough","otp":"123456"}"#;
    for route in ["register", "send-otp", "verify-otp", "login"] {
        let mut sent = request("POST", &format!("/authentication/{route}"), "", body);
        sent.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 999))));
        assert_eq!(ask(&stub.app(), sent).await.0, StatusCode::OK, "{route}");
        let origin = stub.0.lock().unwrap().origin.take();
        assert_eq!(origin.and_then(|origin| origin.ip), Some("10.0.0.1".parse().unwrap()), "{route}");
    }
}

#[tokio::test]
async fn who_is_sent_away_is_told_when_to_come_back() {
    let app = Stub::default().app();
    let body = r#"{"email":"503@code.test","password":"long enough","otp":"123456"}"#;
    for route in ["register", "send-otp", "login"] {
        let sent = request("POST", &format!("/authentication/{route}"), "", body);
        let response = tower::ServiceExt::oneshot(app.clone(), sent).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{route}");
        assert_eq!(response.headers()["retry-after"], "2", "{route}");
    }
}
