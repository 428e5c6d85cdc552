//! How often the suppression list is asked for one mail: once, however many copies it has.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use backshift_core::StoreError;
use backshift_core::{
    Envelope, JobContext, Kind, QueueName, Reason, Registry, Timestamp, Verdict, WorkerName,
};
use backshift_domains::mail::{self, MailOptions, MailWorker};
use backshift_mail::{
    Composer, EmailAddress, MemoryMailer, MemorySendLog, MemorySuppressions, Suppression, SuppressionReason,
    Suppressions,
};
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Counted {
    list: MemorySuppressions,
    questions: AtomicUsize,
}

#[async_trait]
impl Suppressions for Counted {
    async fn find_all(
        &self,
        addresses: &[EmailAddress],
        now: Timestamp,
    ) -> Result<Vec<Suppression>, StoreError> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        assert!(addresses.len() <= 51, "{} addresses in one question", addresses.len());
        self.list.find_all(addresses, now).await
    }

    async fn add(&self, suppression: Suppression) -> Result<(), StoreError> {
        self.list.add(suppression).await
    }

    async fn remove(&self, address: &EmailAddress) -> Result<bool, StoreError> {
        self.list.remove(address).await
    }

    async fn list(
        &self,
        after: Option<&EmailAddress>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Suppression>, StoreError> {
        self.list.list(after, limit, now).await
    }
}

#[tokio::test]
async fn a_mail_asks_once_and_one_with_too_many_copies_never() {
    let (mailer, asked) = (Arc::new(MemoryMailer::default()), Arc::new(Counted::default()));
    let gone = Suppression::new("c7@x.io".parse().unwrap(), SuppressionReason::Manual, "", Timestamp::now());
    asked.add(gone).await.unwrap();
    let composer = Composer::new("noreply@example.org".parse::<EmailAddress>().unwrap().into());
    let log = Arc::new(MemorySendLog::default());
    let worker = MailWorker::new(mailer.clone(), composer, asked.clone(), log, MailOptions::default());
    let registry = mail::register(Registry::default(), Arc::new(worker));
    let run = |copies: usize| {
        let list: Vec<String> = (0..copies).map(|n| format!("\"c{n}@x.io\"")).collect();
        let body = format!(r#"{{"Recipient":"lan@x.io","CcAddresses":[{}]}}"#, list.join(","));
        let (kind, queue) = (Kind::new(mail::KIND).unwrap(), QueueName::new("mail").unwrap());
        let envelope = Envelope::new(kind, queue, body.into_bytes(), Timestamp::now());
        let context = JobContext::new(envelope, WorkerName::new("w").unwrap(), CancellationToken::new());
        registry.handle(context).unwrap()
    };
    run(50).await.unwrap();
    assert_eq!(asked.questions.load(Ordering::Relaxed), 1);
    assert_eq!(mailer.messages()[0].recipients().count(), 50, "the suppressed copy is left out");
    let error = run(1_000_000).await.unwrap_err();
    assert_eq!(*error.verdict(), Verdict::DeadLetter(Reason::Malformed));
    assert_eq!(asked.questions.load(Ordering::Relaxed), 1, "nobody is asked for a mail that cannot be");
}
