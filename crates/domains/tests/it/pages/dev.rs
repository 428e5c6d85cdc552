//! Pages with a mailbox and accounts, and the handler of their mails.

use std::{ops::Deref, sync::Arc};

use backshift_core::{
    JobContext, QueueName, Registry, Settlement, WorkerName, settle::Ack, settle::Completion,
};
use backshift_domains::{
    identity::{
        CodeKey, CodeRoute, CodeSender, IdentityConfig, IdentityService, OutboxCodeMail, pages::Accounts,
    },
    mail::{MailOptions, MailWorker, Mailbox},
};
use backshift_http::pages::Section;
use backshift_mail::{Composer, DevMailbox, EmailAddress, MemorySendLog, MemorySuppressions, Templates};
use backshift_store::{Database, migrate};
use tokio_util::sync::CancellationToken;

use super::house::House;
use crate::databases::LINES;

/// A house with both sections.
pub(super) struct Dev {
    pub(super) house: House,
    pub(super) mailbox: Arc<DevMailbox>,
    registry: Registry,
}

impl Deref for Dev {
    type Target = House;

    fn deref(&self) -> &House {
        &self.house
    }
}

impl Dev {
    pub(super) async fn open() -> Self {
        let mut parts = None;
        let house = House::with(async |db, directory| {
            migrate::up(db, &LINES).await.unwrap();
            let mailbox = Arc::new(DevMailbox::open(directory.join("mail")).await.unwrap());
            let (identity, registry) = accounts(db, &mailbox);
            let sections = sections(&mailbox, identity);
            parts = Some((mailbox, registry));
            sections
        });
        let house = house.await;
        let (mailbox, registry) = parts.unwrap();
        Self { house, mailbox, registry }
    }

    /// Works one job of the queue with the handlers of the product.
    pub(super) async fn work(&self, queue: &str) {
        let (envelope, start) = self.claim(queue).await;
        let worker = WorkerName::new("worker-1").unwrap();
        let context = JobContext::new(envelope, worker, CancellationToken::new());
        self.registry.handle(context).unwrap().await.unwrap();
        self.finish(start, Settlement::Ack(Ack::Completed(Completion::default()))).await;
    }

    /// The id of the newest mail.
    pub(super) async fn newest(&self) -> String {
        self.mailbox.list(0, 1).await.unwrap().0.pop().expect("a mail was sent").id
    }
}

pub(super) fn sections(mailbox: &Arc<DevMailbox>, identity: Arc<IdentityService>) -> Vec<Arc<dyn Section>> {
    let accounts = Accounts::new(identity).with_mailbox(Mailbox::HREF);
    vec![Arc::new(Mailbox(Arc::clone(mailbox))), Arc::new(accounts)]
}

pub(super) fn accounts(db: &Database, mailbox: &Arc<DevMailbox>) -> (Arc<IdentityService>, Registry) {
    let key = CodeKey::from_secret(&"a key".into());
    let outbox = OutboxCodeMail::new(db, QueueName::new("identity").unwrap());
    let config = IdentityConfig::new("a secret of thirty-two bytes, yes".into(), key.clone());
    let identity = Arc::new(IdentityService::new(db.clone(), config, Arc::new(outbox)).unwrap());
    let from: EmailAddress = "noreply@example.org".parse().unwrap();
    let worker = MailWorker::new(
        Arc::clone(mailbox) as _,
        Composer::new(from.into()),
        Arc::new(MemorySuppressions::default()),
        Arc::new(MemorySendLog::default()),
        MailOptions::default(),
    );
    let options = worker.options.job_options();
    let route = CodeRoute::Direct(Arc::new(worker));
    let sender = CodeSender::new(db.clone(), key, Arc::new(Templates::shipped()), route, options);
    (identity, sender.register(Registry::default()))
}
