//! A database that system C has been using: nothing of it is lost or changed, and its users sign in.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::scene::{JWT_SECRET, SystemC};

/// Migrations 01 and 02 of the original.
const ORIGINAL: &str = "
    CREATE TABLE users (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), username varchar(255) UNIQUE NOT NULL, full_name varchar(100),
        password_hash varchar(255), avatar_url varchar(255), is_active boolean DEFAULT true, otp varchar(6),
        otp_expired_at timestamptz, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
        deleted_at timestamptz, role_hash text);
    CREATE INDEX idx_users_role_hash ON users (role_hash);
    CREATE TABLE plans (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name varchar(50) UNIQUE NOT NULL, code varchar(50) UNIQUE NOT NULL,
        description text, max_usage int NOT NULL DEFAULT 3, created_at timestamptz DEFAULT now(),
        updated_at timestamptz DEFAULT now(), deleted_at timestamptz);
    CREATE TYPE subscription_status AS ENUM ('active', 'trialing', 'past_due', 'cancelled', 'expired');
    CREATE TABLE subscriptions (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES users (id),
        plan_id uuid NOT NULL REFERENCES plans (id), status subscription_status NOT NULL DEFAULT 'active',
        trial_ends_at timestamptz, starts_at timestamptz NOT NULL DEFAULT now(), ends_at timestamptz,
        cancelled_at timestamptz, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
        deleted_at timestamptz);";

/// All columns that the original knows, as text.
const SNAPSHOT: &str = "
    SELECT 'u' || u::text FROM (SELECT id, username, full_name, password_hash, avatar_url, is_active, otp, otp_expired_at,
        created_at, updated_at, deleted_at, role_hash FROM users ORDER BY id) u
    UNION ALL SELECT 'p' || p::text FROM (SELECT id, name, code, description, max_usage, created_at, updated_at, deleted_at
        FROM plans ORDER BY id) p
    UNION ALL SELECT 's' || s::text FROM (SELECT id, user_id, plan_id, status, trial_ends_at, starts_at, ends_at,
        cancelled_at, created_at, updated_at, deleted_at FROM subscriptions ORDER BY id) s
    ORDER BY 1";

fn role_hash(role: &str) -> String {
    STANDARD.encode(Sha256::digest(format!("{role}:smap:role")))
}

async fn fill(system: &SystemC) {
    let (admin, user) =
        (bcrypt::hash("admin password", 10).unwrap(), bcrypt::hash("old password", 10).unwrap());
    let (admin_role, user_role) = (role_hash("ADMIN"), role_hash("USER"));
    system.execute(ORIGINAL).await;
    let rows = format!(
        "INSERT INTO users (id, username, full_name, password_hash, is_active, otp, otp_expired_at, deleted_at, role_hash) VALUES
            ('00000000-0000-4000-8000-000000000001', 'Chief@Example.com', 'The Chief', '{admin}', true, '123456', now(), NULL, '{admin_role}'),
            ('00000000-0000-4000-8000-000000000002', 'old@example.com', 'Old Hand', '{user}', true, NULL, NULL, NULL, '{user_role}'),
            ('00000000-0000-4000-8000-000000000003', 'asleep@example.com', NULL, '{user}', false, '654321', now() + interval '1 day', NULL, NULL),
            ('00000000-0000-4000-8000-000000000004', 'gone@example.com', NULL, '{user}', true, NULL, NULL, now(), NULL);
        INSERT INTO plans (id, name, code, description, max_usage) VALUES
            ('00000000-0000-4000-8000-0000000000a1', 'Gold', 'gold', 'as ever', 42);
        INSERT INTO subscriptions (user_id, plan_id, status, ends_at) VALUES
            ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-0000000000a1', 'active', now() + interval '30 days'),
            ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-0000000000a1', 'expired', now());"
    );
    system.execute(&rows).await;
}

async fn snapshot(system: &SystemC) -> Vec<String> {
    system.rows(SNAPSHOT, &[]).await.iter().map(|row| row.get(0)).collect()
}

async fn hash_of(system: &SystemC, username: &str) -> String {
    system.rows("SELECT password_hash FROM users WHERE username = $1", &[&username]).await[0].get(0)
}

#[tokio::test]
async fn tables_of_the_original_are_adopted_with_all_their_rows() {
    let Some(mut system) = SystemC::unmigrated().await else { return };
    fill(&system).await;
    let before = snapshot(&system).await;
    assert_eq!(before.len(), 7);
    let refused = system.run(&["api"]).await;
    assert_eq!(refused.code, 78, "{refused:?}");
    assert!(format!("{}{}", refused.out, refused.err).contains("migrate up"), "{refused:?}");
    nothing_is_taken_over_before_somebody_says_so(&mut system).await;
    system.run(&["migrate", "up"]).await.done();
    assert_eq!(snapshot(&system).await, before, "nothing is lost or changed");
    assert!(system.run(&["migrate", "up"]).await.done().out.contains("up to date"));
    let steps = system.run(&["migrate", "status", "--json"]).await.done().list();
    let applied = |step: &serde_json::Value| step["applied_at"].is_string() || step["line"] == "probe";
    assert!(steps.len() == 4 && steps.iter().all(applied), "{steps:?}");

    let (_worker, api) = (system.worker().await, system.api().await);
    assert!(hash_of(&system, "old@example.com").await.starts_with("$2"));
    assert_eq!(api.login("old@example.com", "not this one").await.code(), 110_005);
    assert!(hash_of(&system, "old@example.com").await.starts_with("$2"), "a failed login upgrades nothing");
    let session = api.login("old@example.com", "old password").await.json()["data"].clone();
    assert_eq!(
        (&session["user"]["name"], &session["user"]["role"]["id"]),
        (&json!("Old Hand"), &json!("USER"))
    );
    assert!(hash_of(&system, "old@example.com").await.starts_with("$argon2id$"), "upgraded at login");
    assert_eq!(api.login("old@example.com", "old password").await.code(), 0);
    let mine = api.get("/subscriptions/me", session["token"].as_str()).await.json()["data"].clone();
    assert_eq!(
        (&mine["status"], &mine["plan_id"]),
        (&json!("active"), &json!("00000000-0000-4000-8000-0000000000a1"))
    );

    let chief = api.login("chief@example.com", "admin password").await.json()["data"].clone();
    assert_eq!(
        (&chief["user"]["role"]["id"], &chief["user"]["email"]),
        (&json!("ADMIN"), &json!("Chief@Example.com"))
    );
    let plan = json!({"name": "Silver", "code": "silver", "max_usage": 2});
    assert_eq!(
        api.send("POST", "/plans", chief["token"].as_str(), &plan).await.code(),
        0,
        "role_hash is read"
    );
    assert_eq!(api.login("gone@example.com", "old password").await.code(), 110_003, "deleted stays deleted");
    the_sleeper_wakes(&system, &api).await;
    let theirs = token_of_the_go_api("00000000-0000-4000-8000-000000000002", "old@example.com");
    assert_eq!(api.get("/subscriptions/me", Some(&theirs)).await.code(), 0, "sessions go on");
    the_old_api_goes_on_writing(&system).await;
    assert_eq!(api.register("OLD@example.com", "another password").await.code(), 110_004);
}

/// Afterwards it is said.
async fn nothing_is_taken_over_before_somebody_says_so(system: &mut SystemC) {
    let untold = system.run(&["migrate", "up"]).await;
    assert_eq!(untold.code, 78, "{untold:?}");
    assert!(untold.err.contains("database.adopt = \"users,plans,subscriptions\""), "{untold:?}");
    let looked = system.run(&["migrate", "up", "--dry-run"]).await;
    assert_eq!(looked.code, 78, "it ends as the real run would: {looked:?}");
    for line in [
        "users: is there already; named in database.adopt it would gain",
        "    confirmed_at timestamptz",
        "otp_sends: would be made",
    ] {
        assert!(looked.out.lines().any(|told| told == line), "{line:?} in {}", looked.out);
    }
    system.set(&[("BACKSHIFT_DATABASE_ADOPT", "users, plans, subscriptions")]);
    let looked = system.run(&["migrate", "up", "--dry-run", "--json"]).await.done().list();
    let plans = looked.iter().find(|change| change["table"] == "plans").unwrap();
    assert_eq!((&plans["what"], &plans["columns"]), (&json!("adopted"), &json!([])), "{looked:?}");
    let there =
        system.rows("SELECT 1 FROM information_schema.columns WHERE column_name = 'confirmed_at'", &[]).await;
    assert!(there.is_empty(), "looking adds nothing");
}

/// HS256 over the claims that C's login makes.
fn token_of_the_go_api(user: &str, username: &str) -> String {
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({
        "sub": user, "username": username, "type": "access", "refresh": false,
        "iat": now - 60, "nbf": now - 60, "exp": now + 3600, "jti": "1735689600000000000",
    });
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(json!({"alg": "HS256", "typ": "JWT"})), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(JWT_SECRET.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// Statements of C that name their columns; the accounts that they make work here too.
async fn the_old_api_goes_on_writing(system: &SystemC) {
    let hash = bcrypt::hash("old password", 10).unwrap();
    let insert = format!(
        "INSERT INTO users (id, username, full_name, password_hash, avatar_url, is_active, otp, otp_expired_at, created_at, \
         updated_at, deleted_at) VALUES (gen_random_uuid(), 'late@example.com', NULL, '{hash}', NULL, true, NULL, NULL, \
         now(), now(), NULL); UPDATE users SET otp = '000000', otp_expired_at = now() WHERE username = 'late@example.com'"
    );
    system.execute(&insert).await;
    assert_eq!(system.api().await.login("late@example.com", "old password").await.code(), 0);
}

/// An account that C never activated; the code that C stored in clear is worth nothing any more.
async fn the_sleeper_wakes(system: &SystemC, api: &crate::scene::Api) {
    assert_eq!(api.login("asleep@example.com", "old password").await.code(), 110_010);
    assert_eq!(api.verify("asleep@example.com", "654321").await.code(), 110_006);
    assert_eq!(api.send_otp("asleep@example.com", "old password").await.code(), 0);
    let code = system.smtp.wait_for("asleep@example.com", 1).await[0].code();
    assert_eq!(api.verify("asleep@example.com", &code).await.code(), 0);
    assert_eq!(api.login("asleep@example.com", "old password").await.code(), 0);
}

#[tokio::test]
async fn migrate_auto_brings_two_processes_up_at_once() {
    let Some(mut system) = SystemC::unmigrated().await else { return };
    fill(&system).await;
    system.set(&[("BACKSHIFT_MIGRATE", "auto"), ("BACKSHIFT_DATABASE_ADOPT", "users,plans,subscriptions")]);
    let (worker, api) = tokio::join!(system.worker(), system.api());
    assert_eq!(api.login("old@example.com", "old password").await.code(), 0);
    assert_eq!(worker.drained().await, Some(0));
}
