//! A mail worker on the memory model of the store, and an engine of a few lines that settles as the real one does.

use std::{sync::Arc, time::Duration};

use backshift_core::{
    Ack, Broker, ConsumeOptions, Consumer, DeadLetter, EffectState, Envelope, ErrorClass, ErrorReport,
    Headers, JobContext, JobId, JobRecord, JobResult, Kind, QueueName, Registry, Retry, Settlement, Store,
    Timestamp, Verdict, WorkerName,
    settle::Completion,
    store::{Effects, Jobs},
};
use backshift_mail::{
    Class, Composer, EmailAddress, Failure, MemoryMailer, MemorySendLog, MemorySuppressions, Outcome,
    Stage as Smtp,
};
use backshift_testkit::memory::{MemoryLedgerBroker, MemoryStore};
use backshift_workers::mail::{self, MailOptions, MailWorker};
use tokio_util::sync::CancellationToken;

pub(crate) const BODY: &str = r#"{"Subject":"Hi","Recipient":"lan@x.io","Body":"<p>hi</p>","ReplyTo":"","CcAddresses":null,"Attachments":[]}"#;

pub(crate) struct Stage {
    pub(crate) store: MemoryStore,
    pub(crate) mailer: Arc<MemoryMailer>,
    pub(crate) suppressions: Arc<MemorySuppressions>,
    pub(crate) log: Arc<MemorySendLog>,
    pub(crate) worker: Arc<MailWorker>,
    registry: Registry,
    broker: MemoryLedgerBroker,
    consumer: Box<dyn Consumer>,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(MailOptions { pause: Duration::from_millis(50), ..MailOptions::default() }).await
    }

    pub(crate) async fn with(options: MailOptions) -> Self {
        let (mailer, log) = (Arc::new(MemoryMailer::default()), Arc::new(MemorySendLog::default()));
        let suppressions = Arc::new(MemorySuppressions::default());
        let composer = Composer::new("noreply@example.org".parse::<EmailAddress>().unwrap().into());
        let worker = MailWorker::new(mailer.clone(), composer, suppressions.clone(), log.clone(), options);
        let worker = Arc::new(worker);
        let store = MemoryStore::new();
        let broker = store.broker();
        let options = ConsumeOptions {
            slots: 1,
            lease: Duration::from_secs(60),
            worker: WorkerName::new("test").unwrap(),
        };
        let consumer = broker.consume(&queue(), options).await.unwrap();
        let registry = mail::register(Registry::default(), worker.clone());
        Self { store, mailer, suppressions, log, worker, registry, broker, consumer }
    }

    pub(crate) async fn enqueue(&self, body: &str, headers: &[(&str, &str)]) -> JobId {
        let kind = Kind::new(mail::KIND).unwrap();
        let mut envelope = Envelope::new(kind, queue(), body.as_bytes().to_vec(), Timestamp::now());
        envelope.headers =
            headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Headers>();
        self.broker.publish(vec![envelope]).await.pop().unwrap().unwrap().id()
    }

    /// Runs the next delivery and settles it; retries come back at once.
    pub(crate) async fn run(&mut self) -> JobResult {
        let mut deliveries = self.consumer.next(1).await.unwrap();
        let delivery = deliveries.pop().unwrap();
        let (envelope, start) = (delivery.job.unwrap(), delivery.start.unwrap());
        let context =
            JobContext::new(envelope.clone(), WorkerName::new("test").unwrap(), CancellationToken::new());
        let store: Arc<dyn Store> = Arc::new(self.store.clone());
        let context = context.with_ledger(start.lease, start.starts, store);
        let result = self.registry.handle(context.clone()).unwrap().await;
        let settlement = settlement(&context, envelope, &result);
        backshift_core::broker::settle(delivery.receipt, settlement).await.unwrap();
        result
    }

    /// Takes the next delivery, notes that its mail is about to be sent, and lets the worker die there.
    pub(crate) async fn die_while_sending(&mut self) {
        self.die(None).await;
    }

    /// The same, after the server has taken the mail and before the ledger knows that the job is done.
    pub(crate) async fn die_after_done(&mut self) {
        self.die(Some("250 queued")).await;
    }

    async fn die(&mut self, receipt: Option<&str>) {
        let mut deliveries = self.consumer.next(1).await.unwrap();
        let delivery = deliveries.pop().unwrap();
        let lease = delivery.start.as_ref().unwrap().lease;
        self.store.intend(&lease, "smtp").await.unwrap();
        if receipt.is_some() {
            self.store.conclude(&lease, "smtp", EffectState::Done, receipt).await.unwrap();
        }
        self.store.expire_lease(lease.job);
        backshift_core::store::Maintenance::rescue(&self.store).await.unwrap();
    }

    pub(crate) async fn row(&self, id: JobId) -> JobRecord {
        self.store.find(id).await.unwrap().unwrap()
    }

    pub(crate) async fn effect(&self, id: JobId) -> EffectState {
        self.row(id).await.effect
    }
}

fn settlement(context: &JobContext, envelope: Envelope, result: &JobResult) -> Settlement {
    let Err(error) = result else {
        let note = context.said().note;
        return Settlement::Ack(Ack::Completed(Completion { note, ..Completion::default() }));
    };
    let report = ErrorReport::new(ErrorClass::Error, error);
    let (mut next, attempt) = (envelope.clone(), envelope.attempt);
    let counted = matches!(error.verdict(), Verdict::Retry | Verdict::Throttled { .. });
    next.attempt += u32::from(counted);
    match error.verdict() {
        Verdict::DeadLetter(reason) => {
            Settlement::DeadLetter(DeadLetter { reason: *reason, error: report, attempt })
        }
        _ => Settlement::Retry(Retry { next, delay: Duration::ZERO, counted, error: Some(report) }),
    }
}

pub(crate) fn queue() -> QueueName {
    QueueName::new("smtp_send_email").unwrap()
}

pub(crate) fn failure(stage: Smtp, class: Class, code: u16, text: &str) -> Failure {
    Failure { code: Some(code), ..Failure::new(stage, class, text) }
}

pub(crate) fn cut_after_the_dot() -> Outcome {
    Outcome::Ambiguous { failure: Failure::new(Smtp::Final, Class::Network, "connection lost") }
}
