//! The whole of system C's API on real accounts: from the sign-up to a cancelled trial, over HTTP.

use axum::{Router, http::StatusCode};
use serde_json::{Value, json};

use super::{app, ask, credentials, request};
use crate::world::{World, worlds};

/// A world and its API.
struct House {
    world: World,
    app: Router,
}

async fn houses() -> Vec<House> {
    let with = |world| House { app: app(&world), world };
    worlds(|_| {}).await.into_iter().map(with).collect()
}

impl House {
    async fn post(&self, path: &str, token: &str, body: Value) -> (StatusCode, Value) {
        super::post(&self.app, path, token, &body).await
    }

    async fn get(&self, path: &str, token: &str) -> (StatusCode, Value) {
        super::get(&self.app, path, token).await
    }

    async fn token(&self, email: &str) -> String {
        let (status, body) = self.post("/authentication/login", "", credentials(email)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["data"]["token"].as_str().unwrap().to_owned()
    }

    async fn member(&self, email: &str) -> String {
        assert_eq!(self.post("/authentication/register", "", credentials(email)).await, ok());
        assert_eq!(self.post("/authentication/send-otp", "", credentials(email)).await, ok());
        let code = self.world.mailed_code().await;
        let body = json!({"email": email, "otp": code});
        assert_eq!(self.post("/authentication/verify-otp", "", body).await, ok());
        self.token(email).await
    }
}

fn ok() -> (StatusCode, Value) {
    (StatusCode::OK, json!({"error_code": 0, "message": "Success"}))
}

fn refused(code: u32, message: &str) -> (StatusCode, Value) {
    (StatusCode::BAD_REQUEST, json!({"error_code": code, "message": message}))
}

#[tokio::test]
async fn from_the_sign_up_to_a_session() {
    for house in houses().await {
        let post =
            async |path: &str, body: Value| house.post(&format!("/authentication/{path}"), "", body).await;
        assert_eq!(post("register", credentials("Lan@x.io")).await, ok());
        assert_eq!(post("register", credentials("Lan@x.io")).await, ok(), "never confirmed: it begins anew");
        assert_eq!(post("login", credentials("lan@x.io")).await, refused(110_010, "User not verified"));
        assert_eq!(post("send-otp", credentials("lan@x.io")).await, ok());
        let (status, again) = post("send-otp", credentials("lan@x.io")).await;
        assert_eq!((status, &again["error_code"]), (StatusCode::TOO_MANY_REQUESTS, &json!(110_009)));
        let code = house.world.mailed_code().await;
        let wrong = format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000);
        let otp = |otp: &str| json!({"email": "LAN@x.io", "otp": otp});
        assert_eq!(post("verify-otp", otp(&wrong)).await, refused(110_006, "Wrong OTP"));
        assert_eq!(post("verify-otp", otp(&code)).await, ok());
        assert_eq!(post("verify-otp", otp(&code)).await, refused(110_007, "User verified"));
        assert_eq!(post("register", credentials("lan@x.io")).await, refused(110_004, "Username existed"));
        let (_, session) = post("login", credentials("lan@x.io")).await;
        assert_eq!(session["data"]["user"]["email"], "Lan@x.io");
        assert_eq!(session["data"]["user"]["role"]["id"], "USER");
        assert_eq!(session["data"]["token_type"], "Bearer");
        let token = session["data"]["token"].as_str().unwrap();
        assert_eq!(house.get("/subscriptions/me", token).await.0, StatusCode::OK);
        assert_eq!(house.post("/authentication/logout", token, json!({})).await, ok());
        for path in ["/subscriptions/me", "/subscriptions", "/subscriptions/page"] {
            assert_eq!(house.get(path, token).await.0, StatusCode::UNAUTHORIZED, "{path}");
        }
        assert_eq!(house.post("/authentication/logout", token, json!({})).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(house.get("/subscriptions/me", &house.token("lan@x.io").await).await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_nul_in_a_request_never_reaches_the_database() {
    for house in houses().await {
        let user = house.member("lan@x.io").await;
        for (path, code) in [
            ("/plans?codes=%00", 120_001),
            ("/plans?codes[]=pro%00", 120_001),
            ("/plans/page?codes=a,%00", 120_001),
            ("/plans?ids=%00", 120_007),
            ("/plans/%00", 120_007),
            ("/subscriptions?codes=%00", 130_001),
            ("/subscriptions?user_id=%00", 130_006),
            ("/subscriptions/page?page=%00", 130_001),
            ("/subscriptions/%00", 130_006),
        ] {
            let (status, body) = house.get(path, &user).await;
            assert_eq!((status, &body["error_code"]), (StatusCode::BAD_REQUEST, &json!(code)), "{path}");
        }
        for (route, field, code) in [
            ("register", "email", 110_012),
            ("send-otp", "email", 110_012),
            ("login", "email", 110_012),
            ("verify-otp", "email", 110_012),
            ("verify-otp", "otp", 110_002),
            ("login", "password", 110_003),
            ("send-otp", "password", 110_003),
        ] {
            let mut body = json!({"email": "nul@x.io", "password": "correct horse", "otp": "123456"});
            body[field] = json!("a\u{0}b@x.io");
            let (status, answer) = house.post(&format!("/authentication/{route}"), "", body).await;
            assert_eq!(
                (status, &answer["error_code"]),
                (StatusCode::BAD_REQUEST, &json!(code)),
                "{route} {field}"
            );
        }
        house.world.service.grant_admin("lan@x.io").await.unwrap();
        let boss = house.token("lan@x.io").await;
        for field in ["name", "code", "description"] {
            let mut body = json!({"name": "Pro", "code": "pro", "description": ""});
            body[field] = json!("a\u{0}");
            let (status, answer) = house.post("/plans", &boss, body).await;
            assert_eq!(
                (status, &answer["error_code"]),
                (StatusCode::BAD_REQUEST, &json!(120_004)),
                "{field}"
            );
        }
        let plan = house.get("/plans", "").await.1["data"]["plans"][0]["id"].clone();
        let body = json!({"plan_id": plan, "status": "\u{0}"});
        let (status, answer) = house.post("/subscriptions", &boss, body).await;
        assert_eq!((status, &answer["error_code"]), (StatusCode::BAD_REQUEST, &json!(130_008)));
    }
}

#[tokio::test]
async fn a_member_uses_the_trial_and_an_admin_writes_plans() {
    for house in houses().await {
        let user = house.member("lan@x.io").await;
        let (_, trial) = house.get("/subscriptions/me", &user).await;
        assert_eq!(trial["data"]["status"], "trialing");
        let plan = json!({"name": "Pro", "code": "pro", "max_usage": 10});
        assert_eq!(house.post("/plans", &user, plan.clone()).await.0, StatusCode::FORBIDDEN);

        house.member("boss@x.io").await;
        house.world.service.grant_admin("boss@x.io").await.unwrap();
        let boss = house.token("boss@x.io").await;
        let (status, made) = house.post("/plans", &boss, plan.clone()).await;
        assert_eq!((status, &made["data"]["max_usage"]), (StatusCode::OK, &json!(10)));
        assert_eq!(house.post("/plans", &boss, plan).await, refused(120_006, "Plan code exists"));
        let (_, public) = house.get("/plans/page?limit=1", "").await;
        assert_eq!(public["data"]["paginator"]["total"], 2);

        let body = json!({"plan_id": made["data"]["id"]});
        let exists = refused(130_007, "Active subscription exists");
        assert_eq!(house.post("/subscriptions", &user, body.clone()).await, exists);
        let cancel = format!("/subscriptions/{}/cancel", trial["data"]["id"].as_str().unwrap());
        let (status, cancelled) = ask(&house.app, request("POST", &cancel, &user, "")).await;
        assert_eq!((status, &cancelled["data"]["status"]), (StatusCode::OK, &json!("cancelled")));
        let (_, subscribed) = house.post("/subscriptions", &user, body).await;
        assert_eq!(subscribed["data"]["status"], "past_due", "the trial was the one there is");
        let other = format!("/subscriptions/{}", subscribed["data"]["id"].as_str().unwrap());
        let paid = json!({"status": "active"}).to_string();
        for claim in [paid.as_str(), "{}"] {
            let (status, refused) = ask(&house.app, request("PUT", &other, &user, claim)).await;
            assert_eq!((status, &refused["error_code"]), (StatusCode::FORBIDDEN, &json!(403)));
        }
        for field in ["status", "starts_at", "ends_at", "trial_ends_at", "cancelled_at"] {
            let mut claim = json!({"plan_id": made["data"]["id"]});
            claim[field] = json!(if field == "status" { "active" } else { "2030-01-01T00:00:00Z" });
            let (status, refused) = house.post("/subscriptions", &user, claim).await;
            assert_eq!((status, &refused["error_code"]), (StatusCode::FORBIDDEN, &json!(403)), "{field}");
        }
        let (status, active) = ask(&house.app, request("PUT", &other, &boss, &paid)).await;
        assert_eq!((status, &active["data"]["status"]), (StatusCode::OK, &json!("active")));
        assert_eq!(house.get("/subscriptions/me", &user).await.1["data"], active["data"]);
        let (_, all) = house.get("/subscriptions", &boss).await;
        assert_eq!(all["data"]["subscriptions"].as_array().unwrap().len(), 3);
        assert_eq!(house.get(&other, &house.member("minh@x.io").await).await.0, StatusCode::FORBIDDEN);
    }
}
