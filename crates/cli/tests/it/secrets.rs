//! A code is nowhere but in its mail: not in tables, not in what commands show, and its dead letter ends with it.

use serde_json::json;

use crate::scene::{Mood, PATIENCE, SystemC, stretched};

const PASSWORD: &str = "pa55word-of-the-test";

/// Every row of every table, as text.
async fn whole_database(system: &SystemC) -> Vec<String> {
    let tables =
        "SELECT quote_ident(table_name) FROM information_schema.tables WHERE table_schema = 'public'";
    let mut all = Vec::new();
    for table in system.rows(tables, &[]).await {
        let table: String = table.get(0);
        let rows = system.rows(&format!("SELECT t::text FROM {table} t"), &[]).await;
        all.extend(rows.iter().map(|row| format!("{table} {}", row.get::<_, String>(0))));
    }
    all
}

/// Whether the six digits stand alone there: digits inside a time or an id are no code.
pub(crate) fn holds_code(text: &str, code: &str) -> bool {
    let hex: String = code.bytes().map(|byte| format!("{byte:02x}")).collect();
    let alone = |at: usize| {
        let edge = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric() && !"-.".contains(c));
        edge(text[..at].chars().next_back()) && edge(text[at + code.len()..].chars().next())
    };
    text.contains(&hex) || text.match_indices(code).any(|(at, _)| alone(at))
}

async fn nothing_holds(system: &SystemC, code: &str) {
    for row in whole_database(system).await {
        assert!(!holds_code(&row, code), "the code {code} in {row}");
        assert!(!row.contains(PASSWORD), "the password in {row}");
    }
    for job in system.jobs(&[]).await {
        let shown = system.run(&["jobs", "show", "--json", job["id"].as_str().unwrap()]).await.done();
        assert!(!holds_code(&shown.out, code), "the code {code} in {}", shown.out);
    }
}

#[tokio::test]
async fn a_code_is_in_its_mail_and_nowhere_else() {
    let Some(system) = SystemC::new().await else { return };
    let (_worker, api) = (system.worker().await, system.api().await);
    api.register("quiet@example.com", PASSWORD).await;
    assert_eq!(api.send_otp("quiet@example.com", PASSWORD).await.code(), 0);
    let code = system.smtp.wait_for("quiet@example.com", 1).await[0].code();
    assert!(holds_code(&format!("<p>{code}</p>"), &code), "the check finds what it looks for");
    system.vhost.wait_settled("smtp_send_email").await;
    nothing_holds(&system, &code).await;
}

#[tokio::test]
async fn the_dead_letter_of_a_code_ends_with_the_code() {
    let Some(mut system) = SystemC::new().await else { return };
    system.set(&[("BACKSHIFT_OTP_TTL", &stretched(5_000))]);
    let (worker, api) = (system.worker().await, system.api().await);
    system.vhost.neighbour("copy").await;
    system.smtp.mood("gone@example.com", &[Mood::Rcpt("550 5.1.1 no such user")]);
    api.register("gone@example.com", PASSWORD).await;
    assert_eq!(api.send_otp("gone@example.com", PASSWORD).await.code(), 0);
    let body = system.vhost.take("copy").await.body;
    let dead = backshift_testkit::wait::until(PATIENCE, || async {
        system.vhost.depth("smtp_send_email.dlq").await == Some(1)
    });
    assert!(dead.await, "{}", worker.output());
    let text: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let text = text["Body"].as_str().unwrap();
    let code = text.split(|c: char| !c.is_ascii_digit()).find(|word| word.len() == 6).unwrap().to_owned();
    nothing_holds(&system, &code).await;
    let gone = backshift_testkit::wait::until(PATIENCE, || async {
        system.vhost.depth("smtp_send_email.dlq").await == Some(0)
    });
    assert!(gone.await, "the broker drops it when the code has ended");
    assert_eq!(api.verify("gone@example.com", &code).await.json()["error_code"], json!(110_008));
}

#[tokio::test]
async fn a_code_that_comes_too_late_is_not_sent() {
    let Some(mut system) = SystemC::new().await else { return };
    system.set(&[("BACKSHIFT_OTP_TTL", &stretched(2_000))]);
    let api = system.api().await;
    api.register("late@example.com", PASSWORD).await;
    assert_eq!(api.send_otp("late@example.com", PASSWORD).await.code(), 0);
    let published = backshift_testkit::wait::until(PATIENCE, || async {
        system.vhost.depth("smtp_send_email").await.is_some_and(|ready| ready > 0)
    });
    assert!(published.await, "{}", api.process.output());
    let expired = backshift_testkit::wait::until(PATIENCE, || async {
        system.vhost.depth("smtp_send_email").await == Some(0)
    });
    assert!(expired.await, "it leaves the queue with the code");
    let _worker = system.worker().await;
    system.vhost.publish_mail("after@example.com", "the queue is open").await;
    system.smtp.wait_for("after@example.com", 1).await;
    assert!(system.smtp.mails_to("late@example.com").is_empty());
}
