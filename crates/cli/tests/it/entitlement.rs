//! Accounts over the real API: what a user may not give himself, and what ends with an account or a sign-out.

use serde_json::{Value, json};

use crate::scene::{Api, PATIENCE, SystemC};

const PASSWORD: &str = "correct horse battery";

async fn member(system: &SystemC, api: &Api, email: &str) -> String {
    assert_eq!(api.register(email, PASSWORD).await.code(), 0);
    assert_eq!(api.send_otp(email, PASSWORD).await.code(), 0);
    let code = system.smtp.wait_for(email, 1).await[0].code();
    assert_eq!(api.verify(email, &code).await.code(), 0);
    token(api, email).await
}

async fn token(api: &Api, email: &str) -> String {
    api.login(email, PASSWORD).await.json()["data"]["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_user_buys_nothing_by_writing_it_down_and_closed_accounts_are_closed() {
    let Some(system) = SystemC::new().await else { return };
    let (_worker, api) = (system.worker().await, system.api().await);
    let lan = member(&system, &api, "lan@example.com").await;
    let mine = api.get("/subscriptions/me", Some(&lan)).await.json()["data"].clone();
    let path = format!("/subscriptions/{}", mine["id"].as_str().unwrap());
    for (method, path, body) in [
        ("PUT", path.as_str(), json!({"ends_at": "2099-01-01T00:00:00Z"})),
        ("PUT", &path, json!({})),
        ("POST", "/subscriptions", json!({"plan_id": mine["plan_id"], "status": "active"})),
    ] {
        let answer = api.send(method, path, Some(&lan), &body).await;
        assert_eq!((answer.status, answer.code()), (403, 403), "{method} {body}: {answer:?}");
    }
    assert_eq!(api.get("/subscriptions/me", Some(&lan)).await.json()["data"], mine);
    assert!(api.send("DELETE", &path, Some(&lan), &Value::Null).await.code() == 0);
    let again = api.send("POST", "/subscriptions", Some(&lan), &json!({"plan_id": mine["plan_id"]})).await;
    assert_eq!(again.json()["data"]["status"], "past_due", "a trial is had once");

    let out = api.send("POST", "/authentication/logout", Some(&lan), &json!({})).await;
    assert_eq!((out.status, out.code()), (200, 0), "{out:?}");
    let next = token(&api, "lan@example.com").await;
    for (token, status) in [(&lan, 401), (&next, 200)] {
        assert_eq!(api.get("/subscriptions", Some(token)).await.status, status);
    }
    system.execute("UPDATE users SET is_active = false").await;
    for (method, path) in [
        ("GET", "/subscriptions"),
        ("GET", "/subscriptions/me"),
        ("POST", "/plans"),
        ("DELETE", path.as_str()),
    ] {
        assert_eq!(api.send(method, path, Some(&next), &json!({})).await.status, 401, "{method} {path}");
    }
}

#[tokio::test]
async fn the_original_s_way_is_a_setting_that_is_warned_about() {
    let Some(mut system) = SystemC::new().await else { return };
    system.set(&[
        ("BACKSHIFT_IDENTITY_OPEN_SUBSCRIPTIONS", "true"),
        ("JWT_SECRET", "twenty-four bytes here.."),
    ]);
    let (_worker, api) = (system.worker().await, system.api().await);
    for warning in ["identity.open_subscriptions", "fewer than 32 bytes"] {
        assert!(api.process.wait_for_output(warning, PATIENCE).await, "{}", api.process.output());
    }
    let lan = member(&system, &api, "lan@example.com").await;
    let mine = api.get("/subscriptions/me", Some(&lan)).await.json()["data"].clone();
    let path = format!("/subscriptions/{}", mine["id"].as_str().unwrap());
    let changed = api.send("PUT", &path, Some(&lan), &json!({"status": "active"})).await;
    assert_eq!(changed.json()["data"]["status"], "active");
}
