//! The mailbox of `dev`: what it shows of a mail, and that a mail is foreign.

use axum::http::StatusCode;
use backshift_core::{JobId, Timestamp};
use backshift_mail::{Composer, EmailAddress, EmailData, Mailer};

use super::{dev::Dev, house::HOSTILE};

#[tokio::test]
async fn hostile_mails_and_addresses_stay_text() {
    let house = Dev::open().await;
    assert!(house.get("/mailbox").await.text.contains("The mailbox is empty."));
    mail(&house, HOSTILE, &format!("<p>Hi</p>{HOSTILE}")).await;
    let id = house.newest().await;
    for path in [
        format!("/mailbox/{id}"),
        "/mailbox".into(),
        "/code?email=%22%3E%3Cscript%3Ealert(1)%3C/script%3E".into(),
        "/".into(),
    ] {
        let page = house.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        for harm in ["<script>alert", "<img", "<b>{{", "<b>49", "\u{202e}", " style=", " onclick="] {
            assert!(!page.text.contains(harm), "{path} has {harm}: {}", page.text);
        }
    }
}

#[tokio::test]
async fn a_job_s_page_leads_to_its_mail() {
    let house = Dev::open().await;
    house.post("/signup", "email=anna%40example.com&password=correct+horse").await;
    house.work("identity").await;
    let mail = house.newest().await;
    let page = house.get(&format!("/mailbox/{mail}")).await.text;
    let (_, rest) = page.split_once("<a href=\"/jobs/").expect("the mail names its job");
    let job = rest.split('"').next().unwrap();
    let page = house.get(&format!("/jobs/{job}")).await.text;
    assert!(page.contains(&format!("<dt>Mail</dt><dd><a href=\"/mailbox/{mail}\">")), "{page}");
    let rail = "Mailbox<span class=\"count\">1</span>";
    assert!(page.contains(rail), "{page}");
}

#[tokio::test]
async fn a_mail_is_shown_in_a_frame_that_runs_nothing() {
    let house = Dev::open().await;
    mail(&house, "Hello", "<p>Hi <b>there</b></p>").await;
    let id = house.newest().await;
    let page = house.get(&format!("/mailbox/{id}")).await.text;
    assert!(
        page.contains(&format!("sandbox=\"\" title=\"The mail as HTML\" src=\"/mailbox/{id}/html\"")),
        "{page}"
    );
    let framed = house.get(&format!("/mailbox/{id}/html")).await;
    assert!(framed.text.contains("<b>there</b>"));
    assert_eq!(framed.header("x-frame-options"), "SAMEORIGIN", "our own page may frame it");
    let policy = framed.header("content-security-policy");
    assert!(
        policy.contains("default-src 'none'")
            && policy.contains("sandbox")
            && policy.contains("frame-ancestors 'self'")
    );
    assert_eq!(house.get("/mailbox/..%2Ftest.db").await.status, StatusCode::NOT_FOUND);
}

async fn mail(house: &Dev, subject: &str, body: &str) {
    let from: EmailAddress = "noreply@example.org".parse().unwrap();
    let data = EmailData::new("you@example.com".parse().unwrap(), subject, body);
    let id = JobId::generate().to_string();
    let message = Composer::new(from.into()).compose(&data, &id, Timestamp::now()).unwrap();
    house.mailbox.send(&message).await;
    assert_eq!(house.mailbox.list(0, 1).await.unwrap().1, 1, "the mail is kept");
}
