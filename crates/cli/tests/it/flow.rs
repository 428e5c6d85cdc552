//! System C over HTTP, broker and mail: what a client of the original API does and is told.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use url::Url;

use crate::scene::{Answer, Api, Mail, Settings, Smtp, SystemC, Worker, request};

const PASSWORD: &str = "correct horse battery";

/// Registers, reads the mail and enters the code.
async fn signed_up(system: &SystemC, api: &Api, email: &str) -> Mail {
    assert_eq!(api.register(email, PASSWORD).await.code(), 0);
    let sent = api.send_otp(email, PASSWORD).await;
    assert_eq!((sent.status, sent.code()), (200, 0), "{sent:?}");
    let mail = system.smtp.wait_for(email, 1).await.remove(0);
    let verified = api.verify(email, &mail.code()).await;
    assert_eq!((verified.status, verified.code()), (200, 0), "{verified:?}");
    mail
}

async fn token(api: &Api, email: &str) -> String {
    let session = api.login(email, PASSWORD).await;
    assert_eq!(session.code(), 0, "{session:?}");
    session.json()["data"]["token"].as_str().unwrap().to_owned()
}

fn refused(answer: &Answer) -> (u16, u64) {
    (answer.status, answer.code())
}

#[tokio::test]
async fn a_person_signs_up_reads_the_code_and_signs_in() {
    let Some(system) = SystemC::new().await else { return };
    system.vhost.neighbour("email_backup").await;
    let (_worker, api) = (system.worker().await, system.api().await);
    let email = "Lan.Nguyen@example.com";
    assert_eq!(api.register(email, PASSWORD).await.body, r#"{"error_code":0,"message":"Success"}"#);
    assert_eq!(refused(&api.login(email, PASSWORD).await), (400, 110_010), "not verified yet");
    assert_eq!(api.send_otp(email, PASSWORD).await.code(), 0);
    let mail = system.smtp.wait_for(email, 1).await.remove(0);
    assert_eq!(mail.subject(), "SMAP - OTP VERIFICATION");
    the_exchange_carried_it(&system, &mail).await;

    let again = api.send_otp(email, PASSWORD).await;
    assert_eq!(refused(&again), (429, 110_009));
    let wait: u32 = again.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");

    let code = mail.code();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    assert_eq!(refused(&api.verify(email, wrong).await), (400, 110_006));
    assert_eq!(api.verify(&email.to_uppercase(), &code).await.code(), 0, "case does not matter");
    assert_eq!(refused(&api.verify(email, &code).await), (400, 110_007));
    assert_eq!(refused(&api.send_otp(email, PASSWORD).await), (400, 110_007));
    the_session_is_c_s(&api.login(email, PASSWORD).await.json()["data"], email);
    let sent = system.jobs(&["--kind", "email.send"]).await;
    assert_eq!(sent.len(), 1);
    assert!(
        mail.message_id().contains(sent[0]["id"].as_str().unwrap()),
        "a stable Message-ID: {}",
        mail.message_id()
    );
    assert_eq!(system.smtp.mails().len(), 1);
}

/// One copy for the neighbour, in the form that docs/contracts/system-c.md promises.
async fn the_exchange_carried_it(system: &SystemC, mail: &Mail) {
    let copy = system.vhost.take("email_backup").await;
    let body: Value = serde_json::from_slice(&copy.body).unwrap();
    assert_eq!(body["Recipient"], "Lan.Nguyen@example.com");
    assert!(body["Body"].as_str().unwrap().contains(&mail.code()));
    for name in ["Subject", "ReplyTo", "CcAddresses", "Attachments"] {
        assert!(body.get(name).is_some(), "{name} in {body}");
    }
    let properties = &copy.properties;
    assert_eq!(*properties.delivery_mode(), Some(2));
    assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/json");
    let id = properties.message_id().as_ref().unwrap().to_string();
    assert_eq!(
        system.run(&["jobs", "show", "--json", &id]).await.done().json()["id"],
        id,
        "the message id is the job's"
    );
    let life: u64 = properties.expiration().as_ref().unwrap().as_str().parse().unwrap();
    assert!((1..=600_000).contains(&life), "the message ends with the code: {life} ms");
    assert!(copy.properties.headers().as_ref().unwrap().contains_key("backshift-sensitive"));
}

fn the_session_is_c_s(data: &Value, email: &str) {
    assert_eq!(data["user"]["email"], email);
    assert_eq!(data["user"]["role"], json!({"id": "USER", "name": "USER"}));
    assert_eq!(data["token_type"], "Bearer");
    uuid::Uuid::parse_str(data["session_id"].as_str().unwrap()).unwrap();
    let expires: jiff::Timestamp = data["expires_at"].as_str().unwrap().parse().unwrap();
    let claims = data["token"].as_str().unwrap().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!((&claims["sub"], &claims["username"]), (&data["user"]["id"], &json!(email)));
    assert_eq!((&claims["type"], &claims["refresh"]), (&json!("access"), &json!(false)));
    assert_eq!(claims["exp"].as_i64().unwrap(), expires.as_second());
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 7 * 24 * 3600);
    assert!(claims["nbf"].is_i64() && claims["jti"].is_string(), "{claims}");
}

#[tokio::test]
async fn refusals_have_c_s_codes() {
    let Some(system) = SystemC::new().await else { return };
    let api = system.api().await;
    for email in ["a@example.com", "taken@example.com"] {
        assert_eq!(api.register(email, PASSWORD).await.code(), 0);
    }
    system.execute("UPDATE users SET is_active = true WHERE username = 'taken@example.com'").await;
    for (path, body, code) in [
        ("register", json!({"email": "TAKEN@EXAMPLE.com", "password": PASSWORD}), 110_004),
        ("register", json!({"email": "nobody", "password": PASSWORD}), 110_012),
        ("register", json!({"email": "b@example.com", "password": "short"}), 110_002),
        ("register", json!({"email": "b@example.com", "password": "x".repeat(129)}), 110_002),
        ("register", json!({"email": "b@example.com"}), 110_002),
        ("register", json!({"email": 5, "password": PASSWORD}), 110_002),
        ("register", json!([1]), 110_002),
        ("send-otp", json!({"email": "nobody@example.com", "password": PASSWORD}), 110_003),
        ("send-otp", json!({"email": "a@example.com", "password": "wrong password"}), 110_005),
        ("verify-otp", json!({"email": "a@example.com", "otp": "123456"}), 110_006),
        ("verify-otp", json!({"email": "a@example.com", "otp": "12345"}), 110_002),
        ("login", json!({"email": "nobody@example.com", "password": PASSWORD}), 110_003),
        ("login", json!({"email": "a@example.com", "password": "wrong password"}), 110_005),
    ] {
        let answer = api.post(&format!("/authentication/{path}"), body.clone()).await;
        assert_eq!(refused(&answer), (400, code), "{path} {body}");
    }
    let json = [("Content-Type", "application/json")];
    let login = "/api/v1/authentication/login";
    let mut bad = Vec::new();
    for body in [
        &b""[..],
        b"{",
        b"\xef\xbb\xbf{}",
        b"{\"email\":\"\xff\"}",
        br#"{"email":"a@x.io","email":"b@x.io"}"#,
    ] {
        bad.push(request(api.port, "POST", login, &json, body).await.unwrap());
    }
    assert!(bad.iter().all(|answer| refused(answer) == (400, 110_002)), "{bad:?}");
    let large = vec![b' '; 1 << 20];
    assert_eq!(refused(&request(api.port, "POST", login, &json, &large).await.unwrap()), (413, 413));
    assert_eq!(refused(&request(api.port, "POST", login, &[], b"{}").await.unwrap()), (415, 415));
    assert_eq!(refused(&api.get("/authentication/login", None).await), (405, 405));
    assert_eq!(refused(&api.page("/nothing/here").await), (404, 404));
    assert_eq!(refused(&api.get("/subscriptions/me", None).await), (401, 401));
    assert_eq!(refused(&api.get("/subscriptions/me", Some("a.b.c")).await), (401, 401));
    assert_eq!(system.smtp.mails().len(), 0);
}

#[tokio::test]
async fn uniform_errors_hide_who_has_an_account() {
    let Some(mut system) = SystemC::new().await else { return };
    system.set(&[("BACKSHIFT_AUTH_UNIFORM_ERRORS", "true")]);
    let api = system.api().await;
    for answer in
        [api.login("nobody@example.com", PASSWORD).await, api.send_otp("nobody@example.com", PASSWORD).await]
    {
        assert_eq!(refused(&answer), (400, 110_005));
    }
}

#[tokio::test]
async fn codes_expire_lock_after_five_tries_and_a_new_one_unlocks() {
    let Some(system) = SystemC::new().await else { return };
    let (_worker, api) = (system.worker().await, system.api().await);
    let email = "tries@example.com";
    api.register(email, PASSWORD).await;
    assert_eq!(api.send_otp(email, PASSWORD).await.code(), 0);
    let first = system.smtp.wait_for(email, 1).await[0].code();
    let wrong = if first == "999999" { "999998" } else { "999999" };
    for _ in 0..5 {
        assert_eq!(refused(&api.verify(email, wrong).await), (400, 110_006));
    }
    assert_eq!(refused(&api.verify(email, &first).await), (400, 110_009), "locked, even for the right code");

    system.execute("UPDATE otp_sends SET at = at - interval '61 seconds'").await;
    assert_eq!(api.send_otp(email, PASSWORD).await.code(), 0);
    let second = system.smtp.wait_for(email, 2).await[1].code();
    if first != second {
        assert_eq!(refused(&api.verify(email, &first).await), (400, 110_006), "the older code is dead");
    }
    system.execute("UPDATE otp_challenges SET expires_at = now() - interval '1 second'").await;
    assert_eq!(refused(&api.verify(email, &second).await), (400, 110_008));

    system.execute("UPDATE otp_sends SET at = at - interval '61 seconds'").await;
    assert_eq!(api.send_otp(email, PASSWORD).await.code(), 0);
    let third = system.smtp.wait_for(email, 3).await[2].code();
    assert_eq!(api.verify(email, &third).await.code(), 0);
}

#[tokio::test]
async fn plans_and_subscriptions_as_in_the_original() {
    let Some(system) = SystemC::new().await else { return };
    let (_worker, api) = (system.worker().await, system.api().await);
    signed_up(&system, &api, "user@example.com").await;
    let user = token(&api, "user@example.com").await;
    let mine = api.get("/subscriptions/me", Some(&user)).await.json()["data"].clone();
    assert_eq!(mine["status"], "trialing");
    let date = |name: &str| {
        jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", mine[name].as_str().unwrap()).unwrap()
    };
    assert_eq!(date("trial_ends_at").duration_since(date("starts_at")).as_hours(), 14 * 24);
    assert_eq!(mine["ends_at"], mine["trial_ends_at"]);
    let free =
        api.get(&format!("/plans/{}", mine["plan_id"].as_str().unwrap()), None).await.json()["data"].clone();
    assert_eq!(
        (&free["code"], &free["name"], &free["max_usage"]),
        (&json!("free"), &json!("Free Plan"), &json!(100))
    );

    let pro = json!({"name": "Pro", "code": "pro", "max_usage": 7});
    assert_eq!(refused(&api.send("POST", "/plans", None, &pro).await), (401, 401));
    assert_eq!(refused(&api.send("POST", "/plans", Some(&user), &pro).await), (403, 403));
    system.run(&["users", "grant-admin", "USER@example.com"]).await.done();
    let admin = token(&api, "user@example.com").await;
    plans_are_written(&api, &admin, &pro).await;
    subscriptions_are_ended(&api, &admin, &mine).await;
    assert_ne!(system.run(&["users", "grant-admin", "nobody@example.com"]).await.code, 0);
}

async fn plans_are_written(api: &Api, admin: &str, pro: &Value) {
    let made = api.send("POST", "/plans", Some(admin), pro).await.json()["data"].clone();
    assert_eq!((&made["code"], &made["max_usage"]), (&json!("pro"), &json!(7)));
    assert_eq!(refused(&api.send("POST", "/plans", Some(admin), pro).await).0, 400);
    let path = format!("/plans/{}", made["id"].as_str().unwrap());
    let changed = api.send("PUT", &path, Some(admin), &json!({"max_usage": 9})).await.json()["data"].clone();
    assert_eq!((&changed["code"], &changed["max_usage"]), (&json!("pro"), &json!(9)));
    let page = api.get("/plans/page?page=1&limit=1", None).await.json()["data"].clone();
    assert_eq!(page["plans"].as_array().unwrap().len(), 1);
    assert_eq!(page["paginator"], json!({"total": 2, "count": 1, "per_page": 1, "current_page": 1}));
    let gone = api.send("DELETE", &path, Some(admin), &Value::Null).await;
    assert_eq!(gone.body, r#"{"error_code":0,"message":"Success"}"#);
    assert_eq!(refused(&api.get(&path, None).await), (400, 120_002));
    assert_eq!(api.get("/plans", None).await.json()["data"]["plans"].as_array().unwrap().len(), 1);
}

async fn subscriptions_are_ended(api: &Api, token: &str, mine: &Value) {
    let cancel = format!("/subscriptions/{}/cancel", mine["id"].as_str().unwrap());
    let cancelled = api.send("POST", &cancel, Some(token), &json!({})).await.json()["data"].clone();
    assert_eq!((&cancelled["status"], cancelled["cancelled_at"].is_string()), (&json!("cancelled"), true));
    assert_eq!(refused(&api.send("POST", &cancel, Some(token), &json!({})).await), (400, 130_009));
    assert_eq!(refused(&api.get("/subscriptions/me", Some(token)).await), (400, 130_002));
}

#[tokio::test]
async fn nobody_sees_or_makes_the_subscriptions_of_others() {
    let Some(system) = SystemC::new().await else { return };
    let (_worker, api) = (system.worker().await, system.api().await);
    signed_up(&system, &api, "one@example.com").await;
    signed_up(&system, &api, "two@example.com").await;
    let (one, two) = (token(&api, "one@example.com").await, token(&api, "two@example.com").await);
    let theirs = api.get("/subscriptions/me", Some(&two)).await.json()["data"].clone();
    let path = format!("/subscriptions/{}", theirs["id"].as_str().unwrap());
    assert_eq!(refused(&api.get(&path, Some(&one)).await), (403, 403));
    assert_eq!(
        refused(&api.send("POST", &format!("{path}/cancel"), Some(&one), &json!({})).await),
        (403, 403)
    );
    let foreign = json!({"user_id": theirs["user_id"], "plan_id": theirs["plan_id"]});
    assert_eq!(refused(&api.send("POST", "/subscriptions", Some(&one), &foreign).await), (403, 403));
    let second = json!({"plan_id": theirs["plan_id"]});
    assert_eq!(refused(&api.send("POST", "/subscriptions", Some(&two), &second).await), (400, 130_007));
    let listed = api.get("/subscriptions", Some(&one)).await.json()["data"]["subscriptions"].clone();
    assert!(listed.as_array().unwrap().iter().all(|row| row["user_id"] != theirs["user_id"]), "{listed}");
}

#[tokio::test]
async fn the_mail_speaks_the_language_of_the_request() {
    let Some(system) = SystemC::new().await else { return };
    let (_worker, api) = (system.worker().await, system.api().await);
    for (email, header, value, subject) in [
        ("vi@example.com", "lang", "vi", "SMAP - XÁC THỰC OTP"),
        ("en@example.com", "lang", "english", "SMAP - OTP VERIFICATION"),
        ("xx@example.com", "Accept-Language", "xx-YY", "SMAP - OTP VERIFICATION"),
        ("accept@example.com", "Accept-Language", "vi-VN,vi;q=0.9,en;q=0.5", "SMAP - XÁC THỰC OTP"),
    ] {
        api.register(email, PASSWORD).await;
        let headers = [("Content-Type", "application/json"), (header, value)];
        let body = json!({"email": email, "password": PASSWORD}).to_string();
        let path = "/api/v1/authentication/send-otp";
        assert_eq!(request(api.port, "POST", path, &headers, body.as_bytes()).await.unwrap().code(), 0);
        assert_eq!(system.smtp.wait_for(email, 1).await[0].subject(), subject, "{header}: {value}");
    }
}

/// Only what these settings name; everything else of system C stays unused.
async fn signs_up_without_rabbitmq(settings: Settings, smtp: &Smtp) {
    let (worker, api) = (Worker::ready(&["worker"], &settings).await, Api::ready(&settings).await);
    assert_eq!(api.register("solo@example.com", PASSWORD).await.code(), 0);
    assert_eq!(api.send_otp("solo@example.com", PASSWORD).await.code(), 0);
    let code = smtp.wait_for("solo@example.com", 1).await[0].code();
    assert_eq!(api.verify("solo@example.com", &code).await.code(), 0);
    assert_eq!(api.login("solo@example.com", PASSWORD).await.code(), 0);
    assert_eq!(worker.drained().await, Some(0));
}

#[tokio::test]
async fn without_rabbitmq_codes_go_through_the_database() {
    let Some(system) = SystemC::new().await else { return };
    let (url, smtp) = (Url::parse(&system.database.url()).unwrap(), &system.smtp);
    let port = url.port().unwrap().to_string();
    let parts = system.settings.with(&[
        ("DATABASE_URL", ""),
        ("RABBITMQ_URL", ""),
        ("POSTGRES_HOST", url.host_str().unwrap()),
        ("POSTGRES_PORT", &port),
        ("POSTGRES_USER", url.username()),
        ("POSTGRES_DB", system.database.name()),
        ("POSTGRES_SSLMODE", "disable"),
    ]);
    signs_up_without_rabbitmq(parts, smtp).await;
}

#[tokio::test]
async fn without_any_server_an_api_and_a_worker_share_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let smtp = Smtp::start().await;
    let settings = Settings::of(&[
        ("BACKSHIFT_DATA_DIR", directory.path().to_str().unwrap()),
        ("SMTP_HOST", "127.0.0.1"),
        ("SMTP_PORT", &smtp.port.to_string()),
        ("SMTP_FROM", "noreply@smap.example"),
        ("JWT_SECRET", crate::scene::JWT_SECRET),
    ]);
    signs_up_without_rabbitmq(settings, &smtp).await;
}
