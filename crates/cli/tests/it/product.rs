//! Whose product this is: mails with codes and logs speak of the user's, and of system C only where its exchange is used.

use serde_json::json;

use crate::scene::{Api, Embedded, JWT_SECRET, Smtp, Worker, request};

/// A name that HTML and headers have to encode.
const NAME: &str = "Bäckerei <Nacht> & Söhne";
const PASSWORD: &str = "Tr0ub4dor&3-horse";

#[tokio::test]
async fn mail_and_log_speak_of_the_users_product() {
    let smtp = Smtp::start().await;
    let port = smtp.port.to_string();
    let here = Embedded::with(&[
        ("BACKSHIFT_APP_NAME", NAME),
        ("SMTP_HOST", "127.0.0.1"),
        ("SMTP_PORT", &port),
        ("SMTP_FROM", "hallo@baeckerei.example"),
        ("JWT_SECRET", JWT_SECRET),
    ]);
    let (worker, api) = (Worker::ready(&["worker"], &here.settings).await, Api::ready(&here.settings).await);
    for language in ["en", "vi", "ja"] {
        let email = format!("{language}@example.com");
        assert_eq!(api.register(&email, PASSWORD).await.code(), 0);
        let headers = [("Content-Type", "application/json"), ("lang", language)];
        let body = json!({"email": email, "password": PASSWORD}).to_string();
        let path = "/api/v1/authentication/send-otp";
        assert_eq!(request(api.port, "POST", path, &headers, body.as_bytes()).await.unwrap().code(), 0);
        let mail = smtp.wait_for(&email, 1).await.remove(0);
        assert!(mail.subject().contains(NAME), "{language}: {}", mail.subject());
        let parsed = mail.parsed();
        let (text, html) = (parsed.body_text(0).unwrap(), parsed.body_html(0).unwrap());
        assert!(text.contains(NAME), "{language}: {text}");
        assert!(html.contains("Bäckerei &lt;Nacht&gt; &amp; Söhne"), "{language}: {html}");
        for foreign in ["SMAP", "Backshift", "backshift"] {
            let all = [mail.subject(), text.to_string(), html.to_string()].concat();
            assert!(!all.contains(foreign), "{language}: {foreign} in {all}");
        }
        let code = mail.code();
        assert_eq!(api.verify(&email, &code).await.code(), 0);
    }
    assert!(worker.logged("info", "the worker starts"), "{}", worker.output());
    for log in [worker.output(), api.process.output()] {
        assert!(!log.contains("SMAP") && !log.contains("SMTP Email Consumer"), "{log}");
    }
    assert_eq!(worker.drained().await, Some(0));
}
