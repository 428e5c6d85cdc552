//! Tables and users that system C left behind (docs/contracts/system-c.md, "Tables"), on the database that it used.

use backshift_domains::identity::{PlanDraft, Role};
use backshift_store::Database;

use crate::{
    databases,
    world::{PASSWORD, World, code, origin},
};

const TABLES: [&str; 4] = [
    "CREATE TYPE subscription_status AS ENUM ('active', 'trialing', 'past_due', 'cancelled', 'expired')",
    "CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), username varchar(255) UNIQUE NOT NULL, \
     full_name varchar(100), password_hash varchar(255), avatar_url varchar(255), is_active boolean DEFAULT true, \
     otp varchar(6), otp_expired_at timestamptz, created_at timestamptz DEFAULT now(), \
     updated_at timestamptz DEFAULT now(), deleted_at timestamptz, role_hash text)",
    "CREATE TABLE plans (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name varchar(50) UNIQUE NOT NULL, \
     code varchar(50) UNIQUE NOT NULL, description text, max_usage int NOT NULL DEFAULT 3, \
     created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(), deleted_at timestamptz)",
    "CREATE TABLE subscriptions (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), \
     user_id uuid NOT NULL REFERENCES users(id), plan_id uuid NOT NULL REFERENCES plans(id), \
     status subscription_status NOT NULL DEFAULT 'active', trial_ends_at timestamptz, \
     starts_at timestamptz NOT NULL DEFAULT now(), ends_at timestamptz, cancelled_at timestamptz, \
     created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(), deleted_at timestamptz)",
];

async fn run(db: &Database, text: &'static str) {
    db.sql(text).run().await.unwrap_or_else(|error| panic!("{text}: {error}"));
}

async fn add_user(db: &Database, email: &str, active: bool, role_hash: Option<&str>) {
    let hash = bcrypt::hash(PASSWORD, 5).unwrap().replace("$2b$", "$2a$");
    let insert = "INSERT INTO users (username, password_hash, is_active, role_hash, otp) VALUES ($1, $2, $3, $4, '123456')";
    db.sql(insert).bind(email).bind(hash).bind(active).bind(role_hash).run().await.unwrap();
}

async fn world() -> Option<World> {
    let fresh = databases::postgres().await?;
    for table in TABLES {
        run(&fresh.db, table).await;
    }
    add_user(&fresh.db, "Old@x.io", true, None).await;
    add_user(&fresh.db, "new@x.io", false, None).await;
    add_user(&fresh.db, "boss@x.io", true, Some("0zSAZYTmciCygbBTf9Oy3uv4NOZ5ofqp1cIUNJ20uuc=")).await;
    run(&fresh.db, "INSERT INTO plans (name, code, max_usage) VALUES ('Gratis', 'free', 7)").await;
    run(
        &fresh.db,
        "INSERT INTO subscriptions (user_id, plan_id) SELECT u.id, p.id FROM users u, plans p WHERE username = 'Old@x.io'",
    )
    .await;
    Some(World::new(fresh.migrated().await, |_| {}))
}

#[tokio::test]
async fn bcrypt_users_sign_in_and_leave_with_argon2id() {
    let Some(world) = world().await else { return };
    let hash = || async {
        let query = world.db().sql("SELECT password_hash FROM users WHERE username = 'Old@x.io'");
        query.one::<String>().await.unwrap()
    };
    assert_eq!(
        code(world.service.login("old@x.io", "wrong password".into(), false, origin("en")).await),
        110_005
    );
    assert!(hash().await.starts_with("$2a$"));
    let caller = world.sign_in("old@x.io").await;
    let upgraded = hash().await;
    assert!(upgraded.starts_with("$argon2id$"));
    assert_eq!(world.sign_in("OLD@x.io").await, caller);
    assert_eq!(hash().await, upgraded, "an up-to-date hash is left alone");
    assert_eq!(world.subscriptions_of(caller).await[0].status, "active");
}

#[tokio::test]
async fn an_old_code_in_clear_opens_nothing_and_the_old_free_plan_is_used() {
    let Some(world) = world().await else { return };
    assert_eq!(code(world.verify("new@x.io", "123456").await), 110_006);
    world.send_otp("new@x.io").await.unwrap();
    let mailed = world.mailed_code().await;
    world.verify("new@x.io", &mailed).await.unwrap();
    let caller = world.sign_in("new@x.io").await;
    let trial = &world.subscriptions_of(caller).await[0];
    assert_eq!(world.service.plan(trial.plan_id).await.unwrap().max_usage, 7);
    let left =
        world.count("SELECT count(*) FROM users WHERE otp IS NOT NULL AND username = 'new@x.io'").await;
    assert_eq!(left, 0);
}

#[tokio::test]
async fn the_hash_of_a_role_is_read_and_written() {
    let Some(world) = world().await else { return };
    let boss = world.sign_in("boss@x.io").await;
    assert_eq!(boss.role, Role::Admin);
    let draft = PlanDraft { name: Some("Pro".into()), code: Some("pro".into()), ..PlanDraft::default() };
    world.service.create_plan(boss, draft.clone()).await.unwrap();
    let old = world.sign_in("old@x.io").await;
    assert_eq!(code(world.service.create_plan(old, draft).await), 403);
    world.service.grant_admin("OLD@x.io").await.unwrap();
    world.service.grant_admin("OLD@x.io").await.unwrap();
    assert_eq!(world.sign_in("old@x.io").await.role, Role::Admin);
    let alike = "SELECT count(*) FROM users WHERE role = 'ADMIN' AND role_hash = \
                 (SELECT role_hash FROM users WHERE username = 'boss@x.io')";
    assert_eq!(world.count(alike).await, 1);
    assert_eq!(code(world.service.grant_admin("nobody@x.io").await), 110_003);
}

#[tokio::test]
async fn an_account_that_somebody_closed_stays_closed_as_far_as_its_row_tells() {
    let Some(world) = world().await else { return };
    world.sign_in("boss@x.io").await;
    run(world.db(), "UPDATE users SET is_active = false").await;
    for email in ["old@x.io", "boss@x.io"] {
        assert_eq!(
            code(world.register(email).await),
            110_004,
            "{email} had a subscription, or signed in here"
        );
        assert_eq!(code(world.send_otp(email).await), 403);
    }
    world.register("new@x.io").await.unwrap();
}

#[tokio::test]
async fn rows_with_holes_are_read() {
    let Some(world) = world().await else { return };
    run(
        world.db(),
        "UPDATE users SET created_at = NULL, updated_at = NULL, is_active = NULL WHERE username = 'Old@x.io'",
    )
    .await;
    run(world.db(), "UPDATE plans SET created_at = NULL, updated_at = NULL").await;
    run(world.db(), "UPDATE users SET password_hash = NULL WHERE username = 'new@x.io'").await;
    assert_eq!(code(world.service.login("old@x.io", PASSWORD.into(), false, origin("en")).await), 110_010);
    assert_eq!(code(world.service.login("new@x.io", PASSWORD.into(), false, origin("en")).await), 110_005);
    assert_eq!(world.service.plans(&Default::default()).await.unwrap().total, 1);
}
