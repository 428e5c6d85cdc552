//! A large mail is read and laid out beside the threads that run everybody's jobs.
//!
//! One runtime of one thread, and one thread for blocking work, which a test holds: what needs it waits for it, and whoever
//! needs it not goes on. No clock is asked.

use std::sync::{Arc, mpsc};

use backshift_core::{Envelope, JobContext, Kind, QueueName, Registry, Timestamp, WorkerName};
use backshift_domains::mail::{self, AmbiguousPolicy, Letter, MailOptions, MailWorker};
use backshift_mail::{Composer, EmailAddress, MailClass, MemoryMailer, MemorySendLog, MemorySuppressions};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

const OTHERS: usize = 200;

struct Stage {
    runtime: Runtime,
    mailer: Arc<MemoryMailer>,
    worker: Arc<MailWorker>,
    registry: Registry,
}

impl Stage {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let mailer = Arc::new(MemoryMailer::default());
        let composer = Composer::new("noreply@example.org".parse::<EmailAddress>().unwrap().into());
        let (suppressions, log) = (MemorySuppressions::default(), MemorySendLog::default());
        let options = MailOptions::default();
        let worker =
            MailWorker::new(mailer.clone(), composer, Arc::new(suppressions), Arc::new(log), options);
        let worker = Arc::new(worker);
        let registry = mail::register(Registry::default(), worker.clone());
        Self { runtime, mailer, worker, registry }
    }

    fn sent_to(&self, recipient: &str) -> usize {
        self.mailer.messages().iter().filter(|m| m.envelope().to.to_string() == recipient).count()
    }
}

fn context(body: String) -> JobContext {
    let (kind, queue) = (Kind::new(mail::KIND).unwrap(), QueueName::new("mail").unwrap());
    let envelope = Envelope::new(kind, queue, body.into_bytes(), Timestamp::now());
    JobContext::new(envelope, WorkerName::new("w").unwrap(), CancellationToken::new())
}

fn body(recipient: &str, html: usize) -> String {
    let paragraph = "<p>words of <b>no</b> use &amp; <a href=\"https://example.org\">a link</a></p>";
    let html = paragraph.repeat(html / paragraph.len() + 1);
    serde_json::json!({"Recipient": recipient, "Subject": "s", "Body": html}).to_string()
}

/// While the one thread for large mails is held, `large` waits for it and `OTHERS` small mails are sent.
fn others_go_on(stage: &Stage, large: impl Future<Output = backshift_core::JobResult> + Send + 'static) {
    let ((began, held), (free, freed)) = (mpsc::channel(), mpsc::channel::<()>());
    stage.runtime.block_on(async {
        let holding = tokio::task::spawn_blocking(move || {
            began.send(()).unwrap();
            let _ = freed.recv();
        });
        held.recv().unwrap();
        let large = tokio::spawn(large);
        for _ in 0..OTHERS {
            stage.registry.handle(context(body("small@x.io", 100))).unwrap().await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!((stage.sent_to("small@x.io"), stage.sent_to("large@x.io")), (OTHERS, 0));
        assert!(!large.is_finished(), "it was laid out on the thread of the others");
        free.send(()).unwrap();
        holding.await.unwrap();
        large.await.unwrap().unwrap();
        assert_eq!(stage.sent_to("large@x.io"), 1);
    });
}

#[test]
fn a_large_mail_is_read_beside_the_others() {
    for bytes in [64 * 1024, 1 << 20] {
        let stage = Stage::new();
        let large = stage.registry.handle(context(body("large@x.io", bytes))).unwrap();
        others_go_on(&stage, large);
    }
}

/// The same for a mail that was read already: composing it alone.
#[test]
fn a_large_mail_is_laid_out_beside_the_others() {
    let stage = Stage::new();
    let text = body("large@x.io", 64 * 1024);
    let letter = Letter {
        email: backshift_mail::decode(text.as_bytes()).unwrap(),
        class: MailClass::Transactional,
        ambiguous: AmbiguousPolicy::Resend,
        expires_at: None,
    };
    let (worker, context) = (stage.worker.clone(), context(text));
    others_go_on(&stage, async move { worker.deliver(&context, letter).await });
}
