//! A mail worker on a real store, and an engine of a few lines that settles as the real one does.

use std::{sync::Arc, time::Duration};

use backshift_core::{
    Ack, DeadLetter, EffectState, Envelope, ErrorClass, ErrorReport, Headers, JobContext, JobId, JobRecord,
    JobResult, Kind, QueueName, Registry, Retry, Settled, Settlement, Timestamp, Verdict, WorkerName,
    settle::Completion,
    store::{Effects, Finish, Holder, Jobs, Ledger, Maintenance, Start},
};
use backshift_domains::mail::{self, MailOptions, MailWorker};
use backshift_mail::{
    Class, Composer, EmailAddress, Failure, MemoryMailer, MemorySendLog, MemorySuppressions, Outcome,
    Stage as Smtp,
};
use backshift_store::{Database, SqlStore, ledger};
use tokio_util::sync::CancellationToken;

use crate::databases::{self, Fresh};

pub(crate) const BODY: &str = r#"{"Subject":"Hi","Recipient":"lan@x.io","Body":"<p>hi</p>","ReplyTo":"","CcAddresses":null,"Attachments":[]}"#;

pub(crate) struct Stage {
    pub(crate) store: SqlStore,
    pub(crate) mailer: Arc<MemoryMailer>,
    pub(crate) suppressions: Arc<MemorySuppressions>,
    pub(crate) log: Arc<MemorySendLog>,
    pub(crate) worker: Arc<MailWorker>,
    registry: Registry,
    fresh: Fresh,
}

impl Stage {
    /// On SQLite.
    pub(crate) async fn new() -> Self {
        Self::on(databases::sqlite().migrated().await)
    }

    /// On every database that is there.
    pub(crate) async fn everywhere() -> Vec<Self> {
        databases::migrated().await.into_iter().map(Self::on).collect()
    }

    fn on(fresh: Fresh) -> Self {
        let options = MailOptions { pause: Duration::from_millis(50), ..MailOptions::default() };
        let (mailer, log) = (Arc::new(MemoryMailer::default()), Arc::new(MemorySendLog::default()));
        let suppressions = Arc::new(MemorySuppressions::default());
        let composer = Composer::new("noreply@example.org".parse::<EmailAddress>().unwrap().into());
        let worker = MailWorker::new(mailer.clone(), composer, suppressions.clone(), log.clone(), options);
        let worker = Arc::new(worker);
        let registry = mail::register(Registry::default(), worker.clone());
        Self { store: SqlStore::new(fresh.db.clone()), mailer, suppressions, log, worker, registry, fresh }
    }

    pub(crate) async fn enqueue(&self, body: &str, headers: &[(&str, &str)]) -> JobId {
        let kind = Kind::new(mail::KIND).unwrap();
        let mut envelope = Envelope::new(kind, queue(), body.as_bytes().to_vec(), Timestamp::now());
        envelope.headers =
            headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Headers>();
        let broker = if self.fresh.db.as_pg().is_some() { "postgres" } else { "embedded" };
        ledger::enqueue(&self.fresh.db, broker, vec![envelope]).await.pop().unwrap().unwrap().id()
    }

    /// Runs the next job and settles it; retries come back at once.
    pub(crate) async fn run(&mut self) -> JobResult {
        let (envelope, start) = self.claim().await;
        let (context, result) = self.handle(&envelope, &start).await;
        let settlement = settlement(&context, envelope, &result);
        let finish = Finish { lease: start.lease, settlement, durable: true };
        assert_eq!(self.store.finish(vec![finish]).await.unwrap(), [Settled::Applied]);
        result
    }

    /// Runs the next job and lets the worker die before it is settled.
    pub(crate) async fn run_and_die(&mut self) -> JobResult {
        let (envelope, start) = self.claim().await;
        let (_, result) = self.handle(&envelope, &start).await;
        self.rescue().await;
        result
    }

    async fn handle(&self, envelope: &Envelope, start: &Start) -> (JobContext, JobResult) {
        let context = JobContext::new(envelope.clone(), worker(), CancellationToken::new());
        let context = context.with_ledger(start.lease, start.starts, Arc::new(self.store.clone()));
        let result = self.registry.handle(context.clone()).unwrap().await;
        (context, result)
    }

    async fn claim(&self) -> (Envelope, Start) {
        let holder = Holder { worker: worker(), lease: Duration::from_secs(60) };
        self.store.promote(100).await.unwrap();
        let claimed = ledger::claim_available(&self.fresh.db, &queue(), 1, &holder).await.unwrap().pop();
        match claimed {
            Some(claimed) => claimed,
            // One that ended its worker three times runs alone.
            None => ledger::claim_alone(&self.fresh.db, &queue(), &holder, None)
                .await
                .unwrap()
                .expect("a job waits"),
        }
    }

    /// Claims the next job, notes that its mail is about to be sent, and lets the worker die there.
    pub(crate) async fn die_while_sending(&mut self) {
        self.die(None).await;
    }

    /// The same, after the server has taken the mail and before the ledger knows that the job is done.
    pub(crate) async fn die_after_done(&mut self) {
        self.die(Some("250 queued")).await;
    }

    async fn die(&mut self, receipt: Option<&str>) {
        let lease = self.claim().await.1.lease;
        self.store.intend(&lease, "smtp").await.unwrap();
        if receipt.is_some() {
            self.store.conclude(&lease, "smtp", EffectState::Done, receipt).await.unwrap();
        }
        self.rescue().await;
    }

    /// The lease of what runs is over, and somebody notices.
    async fn rescue(&self) {
        // PostgreSQL's row says nothing of a start before its first heartbeat; its claim does.
        if let Database::Pg(_) = self.fresh.db {
            let claims = "UPDATE job_claims SET lease_until = started_at";
            self.fresh.db.sql(claims).run().await.unwrap();
        }
        let over = "UPDATE background_jobs SET lease_until = created_at WHERE status = 'running'";
        self.fresh.db.sql(over).run().await.unwrap();
        assert_eq!(self.store.rescue().await.unwrap().returned, 1);
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
        _ => Settlement::Retry(Box::new(Retry { next, delay: Duration::ZERO, counted, error: Some(report) })),
    }
}

fn worker() -> WorkerName {
    WorkerName::new("test").unwrap()
}

fn queue() -> QueueName {
    QueueName::new("smtp_send_email").unwrap()
}

pub(crate) fn failure(stage: Smtp, class: Class, code: u16, text: &str) -> Failure {
    Failure { code: Some(code), ..Failure::new(stage, class, text) }
}

pub(crate) fn cut_after_the_dot() -> Outcome {
    Outcome::Ambiguous { failure: Failure::new(Smtp::Final, Class::Network, "connection lost") }
}
