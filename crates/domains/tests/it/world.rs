//! Accounts on one database, with a clock that the test moves and a mailbox that it reads.

use std::{sync::Arc, time::Duration};

use backshift_core::{
    JobContext, JobResult, ManualClock, QueueName, Registry, Timestamp, WorkerName, store::Holder,
};
use backshift_domains::identity::{Caller, IdentityError, ListQuery, Origin, Role, Subscription};
use backshift_domains::{
    identity::{CodeKey, CodeRoute, CodeSender, IdentityConfig, IdentityService, OutboxCodeMail},
    mail::{MailOptions, MailWorker},
};
use backshift_mail::{Composer, MemoryMailer, MemorySendLog, MemorySuppressions, Templates};
use backshift_store::{Database, ledger};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::databases::{self, Fresh};

pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) struct World {
    pub(crate) service: Arc<IdentityService>,
    pub(crate) clock: ManualClock,
    pub(crate) mailer: Arc<MemoryMailer>,
    registry: Registry,
    fresh: Fresh,
}

/// One world a database.
pub(crate) async fn worlds(change: impl Fn(&mut IdentityConfig)) -> Vec<World> {
    databases::migrated().await.into_iter().map(|fresh| World::new(fresh, &change)).collect()
}

impl World {
    pub(crate) fn new(fresh: Fresh, change: impl Fn(&mut IdentityConfig)) -> Self {
        let db = fresh.db.clone();
        // Databases keep microseconds.
        let now = Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap();
        let clock = ManualClock::at(now);
        let key = CodeKey::from_secret(&"a key".into());
        let mut config = IdentityConfig::new("a secret of thirty-two bytes, yes".into(), key.clone());
        config.refusal_floor = Duration::from_millis(1);
        change(&mut config);
        let outbox = OutboxCodeMail::new(&db, QueueName::new("identity").unwrap());
        let service = IdentityService::new(db.clone(), config, Arc::new(outbox)).unwrap();
        let service = Arc::new(service.with_clock(Arc::new(clock.clone())));
        let mailer = Arc::new(MemoryMailer::default());
        let worker = MailWorker::new(
            mailer.clone(),
            Composer::new("noreply@example.org".parse::<backshift_mail::EmailAddress>().unwrap().into()),
            Arc::new(MemorySuppressions::default()),
            Arc::new(MemorySendLog::default()),
            MailOptions::default(),
        );
        let worker = Arc::new(worker.with_clock(Arc::new(clock.clone())));
        let options = worker.options.job_options();
        let route = CodeRoute::Direct(worker);
        let sender = CodeSender::new(db, key, Arc::new(Templates::shipped()), route, options);
        let registry = sender.with_clock(Arc::new(clock.clone())).register(Registry::default());
        Self { service, clock, mailer, registry, fresh }
    }

    pub(crate) fn db(&self) -> &Database {
        &self.fresh.db
    }

    pub(crate) fn later(&self, seconds: u64) {
        use backshift_core::Clock;
        self.clock.set(self.clock.now() + Duration::from_secs(seconds));
    }

    /// Claims every queued mail with a code and runs it once; the contexts and what the handlers said.
    pub(crate) async fn run_queue(&self) -> Vec<(JobContext, JobResult)> {
        let holder = Holder { worker: WorkerName::new("test").unwrap(), lease: Duration::from_secs(30) };
        let queue = QueueName::new("identity").unwrap();
        let claimed = ledger::claim_available(self.db(), &queue, 100, &holder).await.unwrap();
        let mut results = Vec::new();
        for (envelope, _) in claimed {
            let context = JobContext::new(envelope, holder.worker.clone(), CancellationToken::new());
            let result = self.run(&context).await;
            results.push((context, result));
        }
        results
    }

    pub(crate) async fn run(&self, context: &JobContext) -> JobResult {
        self.registry.handle(context.clone()).expect("the kind has a handler").await
    }

    /// Works the queue and reads the code of the last mail.
    pub(crate) async fn mailed_code(&self) -> String {
        for (_, result) in self.run_queue().await {
            result.unwrap();
        }
        let messages = self.mailer.messages();
        code_in(messages.last().expect("a mail was sent").bytes())
    }

    pub(crate) async fn register(&self, email: &str) -> Result<(), IdentityError> {
        self.service.register(email, PASSWORD.into(), origin("en")).await
    }

    pub(crate) async fn send_otp(&self, email: &str) -> Result<(), IdentityError> {
        self.service.send_otp(email, PASSWORD.into(), origin("en")).await
    }

    pub(crate) async fn verify(&self, email: &str, code: &str) -> Result<(), IdentityError> {
        self.service.verify_otp(email, code.into(), origin("en")).await
    }

    /// Registers, verifies and signs in.
    pub(crate) async fn member(&self, email: &str) -> Caller {
        self.register(email).await.unwrap();
        self.send_otp(email).await.unwrap();
        let code = self.mailed_code().await;
        self.verify(email, &code).await.unwrap();
        self.sign_in(email).await
    }

    pub(crate) async fn admin(&self, email: &str) -> Caller {
        let caller = self.member(email).await;
        self.service.grant_admin(email).await.unwrap();
        Caller { role: Role::Admin, ..caller }
    }

    pub(crate) async fn sign_in(&self, email: &str) -> Caller {
        self.caller(&self.token(email).await).await.unwrap()
    }

    /// Signs in.
    pub(crate) async fn token(&self, email: &str) -> String {
        use secrecy::ExposeSecret;
        let session = self.service.login(email, PASSWORD.into(), false, origin("en")).await.unwrap();
        session.token.expose_secret().to_owned()
    }

    /// What a token is worth now.
    pub(crate) async fn caller(&self, token: &str) -> Result<Caller, IdentityError> {
        self.service.authenticate(token).await
    }

    pub(crate) async fn subscriptions_of(&self, caller: Caller) -> Vec<Subscription> {
        let query = ListQuery { user_id: Some(caller.user_id), ..ListQuery::default() };
        self.service.subscriptions(caller, &query).await.unwrap().rows
    }

    pub(crate) async fn count(&self, text: &'static str) -> i64 {
        self.db().sql(text).one::<i64>().await.unwrap()
    }

    pub(crate) async fn user_id(&self, email: &str) -> Uuid {
        let query = self.db().sql("SELECT id FROM users WHERE username = $1").bind(email);
        query.one::<Uuid>().await.unwrap()
    }
}

pub(crate) fn origin(locale: &str) -> Origin {
    Origin { locale: locale.into(), ..from("192.0.2.7") }
}

/// A client with this address.
pub(crate) fn from(ip: &str) -> Origin {
    Origin { ip: Some(ip.parse().unwrap()), locale: "en".into(), traceparent: None }
}

/// The text of a mail.
pub(crate) fn text_of(bytes: &[u8]) -> String {
    let mail = mail_parser::MessageParser::default().parse(bytes).expect("the mail can be read");
    mail.body_text(0).expect("the mail has a text").into_owned()
}

pub(crate) fn code_in(bytes: &[u8]) -> String {
    let text = text_of(bytes);
    let six = |word: &&str| word.len() == 6 && word.bytes().all(|b| b.is_ascii_digit());
    text.split_whitespace().find(six).expect("the mail has a code").to_owned()
}

/// The code of a refusal; panics when it was none.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, IdentityError>) -> u32 {
    match result {
        Err(IdentityError::Business { code, .. }) => code,
        Err(IdentityError::TooMany { .. }) => 429,
        Err(IdentityError::Busy { .. }) => 503,
        Err(IdentityError::Unauthorized) => 401,
        Err(IdentityError::Forbidden) => 403,
        other => panic!("a refusal was expected, found {other:?}"),
    }
}

/// A code that is not the given one.
pub(crate) fn other_than(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000)
}
