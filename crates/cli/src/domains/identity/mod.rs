//! System C's accounts: their API and pages, the mails with codes, and the command that makes the first administrator.

mod keys;
mod settings;

use std::{sync::Arc, time::Duration};

use backshift_core::{Broker, Job as _, Kind, QueueName, Registry, WorkerName, store::KEPT_AT_LEAST};
use backshift_domains::{
    identity::{
        CodeRoute, CodeSender, IdentityConfig, IdentityError, IdentityRetention, IdentityService,
        NO_SUCH_USER, OutboxCodeMail, SendCode,
        api::{self, Api},
        pages::Accounts,
    },
    mail::{MailOptions, Mailbox, QUEUE_OF_SYSTEM_C},
};
use backshift_mail::Templates;
use backshift_runtime::Shutdown;
use backshift_store::{Database, migrate::Line};
use futures::FutureExt as _;

use super::{Beside, Domain, Equipment, Faces, Role, WorkedBy, is_site, mail};
use crate::{
    config::Config,
    exit::Failure,
    wiring::{Backend, Foreign, Plan, worker_builder, worker_name},
};
use keys::{Keys, generated_keys};

/// Accounts and the challenges behind codes.
pub(crate) const TABLES: &Line = &backshift_domains::identity::TABLES;

pub(super) const DOMAIN: Domain = Domain {
    settings: settings::SETTINGS,
    contradictions,
    remarks,
    configured,
    queues: &[SendCode::QUEUE],
    queue_of: |kind, own| (is_code(kind) && own.is_none()).then_some(SendCode::QUEUE),
    kinds: |config| vec![(SendCode::KIND, worked_by(config))],
    attempts_of: |kind| is_code(kind).then_some(mail::ATTEMPTS),
    handlers,
    tables: Some(TABLES),
    is_on: |config, role| role == Role::Dev || Keys::is_set(config),
    retention: |config, database| {
        let keep = config.get(&settings::RETENTION_OTP);
        Some(Arc::new(IdentityRetention::new(database.clone(), keep)))
    },
    faces,
    beside_api,
    ..Domain::EMPTY
};

/// A mail with a code wants the key that it is derived from and a mail server; `dev` makes the key and has a mailbox.
fn worked_by(config: &Config) -> WorkedBy {
    match is_site(config) || (mail::sends(config) && Keys::is_set(config)) {
        true => WorkedBy::Worker,
        false => WorkedBy::Dev,
    }
}

fn is_code(kind: &Kind) -> bool {
    kind.as_str() == SendCode::KIND
}

fn contradictions(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    let keep = config.get(&settings::RETENTION_OTP);
    if keep < KEPT_AT_LEAST {
        let told = config.told(&settings::RETENTION_OTP);
        found.push(format!("{told} is less than a day, and a day is kept: write 1d or more"));
    }
    config.not_above(
        &settings::OTP_RESEND_COOLDOWN,
        &settings::OTP_TTL,
        "a code ends before the next one may be asked for",
        &mut found,
    );
    for (part, whole) in [
        (&settings::OTP_MAX_PER_HOUR, &settings::OTP_MAX_PER_HOUR_IP),
        (&settings::OTP_MAX_TRIES, &settings::OTP_MAX_TRIES_ABROAD),
        (&settings::AUTH_MAX_FAILURES_PAIR, &settings::AUTH_MAX_FAILURES_IP),
    ] {
        config.never_reached(part, whole, &mut found);
    }
    found
}

fn remarks(config: &Config) -> Vec<String> {
    let open = config.get(&settings::IDENTITY_OPEN_SUBSCRIPTIONS).then(|| {
        "identity.open_subscriptions is set: users give themselves any plan, status and dates, free of charge".to_owned()
    });
    open.into_iter().chain(Keys::weakness(config)).collect()
}

fn configured(config: &Config) -> Result<Option<String>, Failure> {
    Ok(Some(match (Keys::configured(config)?, Keys::weakness(config)) {
        (Some(_), None) => "JWT_SECRET is set".to_owned(),
        (Some(_), Some(weakness)) => weakness,
        (None, _) => "JWT_SECRET is not set, so `api` will not start".to_owned(),
    }))
}

/// Both keys: made in `dev`, needed by an API, and without them a worker derives no codes.
fn keys(config: &Config, role: Role) -> Result<Option<Keys>, Failure> {
    match role {
        Role::Dev => generated_keys(config).map(Some),
        Role::Site => Keys::configured(config),
    }
}

fn handlers(equipment: &Equipment<'_>, registry: Registry) -> Result<Registry, Failure> {
    let Equipment { config, backend, role, post } = equipment;
    let (Some(keys), Some(store)) = (keys(config, *role)?, &backend.store) else { return Ok(registry) };
    // Codes go to the exchange when a broker is configured that carries it, as the seed draws it, else straight to the mail
    // server.
    let (route, options) = match (mail::carrier(backend), post) {
        (Some(carrier), _) => exchange(carrier),
        (None, Some(post)) => {
            (CodeRoute::Direct(Arc::clone(&post.worker)), post.worker.options.job_options())
        }
        (None, None) => return Ok(registry),
    };
    let templates = Arc::new(Templates::shipped());
    let sender = CodeSender::new(store.database().clone(), keys.code, templates, route, options);
    Ok(sender.with_app_name(app_name(config)?).register(registry))
}

fn exchange(carrier: &Foreign) -> (CodeRoute, backshift_core::JobOptions) {
    (CodeRoute::SystemC(Arc::clone(&carrier.broker)), MailOptions::default().job_options())
}

/// The product's name, as people read it in mails.
fn app_name(config: &Config) -> Result<String, Failure> {
    let name = config.get(&settings::APP_NAME).trim();
    match name.is_empty() || name.chars().count() > 60 || name.chars().any(char::is_control) {
        true => Err(Failure::configuration(format!(
            "{}: it stands in the subject of mails: write 1 to 60 characters on one line",
            config.told(&settings::APP_NAME)
        ))),
        false => Ok(name.to_owned()),
    }
}

fn faces(equipment: &Equipment<'_>) -> Result<Faces, Failure> {
    let Equipment { config, backend, role, post } = equipment;
    let keys = keys(config, *role)?.ok_or_else(|| {
        Failure::configuration("auth.jwt_secret is not set: JWT_SECRET signs the tokens of the API")
    })?;
    let identity = Arc::new(identity_service(config, backend.database()?, &keys, *role == Role::Dev)?);
    let mut accounts = Accounts::new(Arc::clone(&identity));
    if post.as_ref().is_some_and(|post| post.mailbox.is_some()) {
        accounts = accounts.with_mailbox(Mailbox::HREF);
    }
    Ok(Faces { routes: api::router(Api { identity }), sections: vec![Arc::new(accounts)] })
}

/// An API beside system C's broker works the queue of codes itself, so that it needs no worker of ours: consumers that are
/// not ours take the mails from the exchange.
fn beside_api(config: &Config, backend: &Backend, shutdown: &Shutdown) -> Option<Beside> {
    let carrier = mail::carrier(backend)?;
    let (broker, until) = (Arc::clone(&carrier.broker), shutdown.clone());
    let worker = codes_worker(config, backend);
    let shutdown = shutdown.clone();
    let working = async move {
        tokio::spawn(async move { declare(&*broker, &until).await });
        worker?.run(shutdown).await.map(drop).map_err(Failure::failed)
    };
    Some(working.boxed())
}

/// Works the queue of codes and nothing else.
fn codes_worker(config: &Config, backend: &Backend) -> Result<backshift_runtime::Worker, Failure> {
    let ledger = backend.on_ledger()?;
    let equipment = Equipment { config, backend: &ledger, role: Role::Site, post: None };
    let registry = handlers(&equipment, Registry::default())?;
    let queue = QueueName::new(SendCode::QUEUE).map_err(Failure::configuration)?;
    let plan = Plan { own: vec![(queue, 4)], beside: Vec::new() };
    let name = WorkerName::new(format!("{}.api", worker_name(config)?)).map_err(Failure::configuration)?;
    worker_builder(config, &ledger, &plan, registry, name)?.build().map_err(Failure::configuration)
}

/// Makes sure that a mail published before the first worker is kept; tries for ever while the broker is away.
async fn declare(broker: &dyn Broker, shutdown: &Shutdown) {
    let Ok(queue) = QueueName::new(QUEUE_OF_SYSTEM_C) else { return };
    while !shutdown.is_quiet() {
        match broker.declare(&queue).await {
            Ok(()) => return,
            Err(error) => tracing::error!(%error, %queue, "the queue of mails cannot be declared yet"),
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// Makes the account of this address an administrator.
pub(crate) async fn grant_admin(config: &Config, database: &Database, email: &str) -> Result<(), Failure> {
    let accounts = identity_service(config, database, &Keys::passing(config), false)?;
    accounts.grant_admin(email).await.map_err(|error| match error {
        IdentityError::Internal(text) => Failure::unreachable(text),
        IdentityError::Business { code: NO_SUCH_USER, .. } => {
            Failure::usage(format!("{email} has no account: register it first"))
        }
        other => Failure::failed(other),
    })
}

/// The accounts over this database.
fn identity_service(
    config: &Config,
    database: &Database,
    keys: &Keys,
    exempt_loopback: bool,
) -> Result<IdentityService, Failure> {
    let settings = IdentityConfig {
        otp_ttl: config.get(&settings::OTP_TTL),
        resend_cooldown: config.get(&settings::OTP_RESEND_COOLDOWN),
        max_per_hour: config.get(&settings::OTP_MAX_PER_HOUR),
        max_per_hour_ip: config.get(&settings::OTP_MAX_PER_HOUR_IP),
        max_tries: config.get(&settings::OTP_MAX_TRIES),
        max_tries_abroad: config.get(&settings::OTP_MAX_TRIES_ABROAD),
        max_checks_ip: config.get(&settings::OTP_MAX_CHECKS_IP),
        max_registrations_ip: config.get(&settings::AUTH_MAX_REGISTRATIONS_IP),
        max_failures_pair: config.get(&settings::AUTH_MAX_FAILURES_PAIR),
        max_failures: config.get(&settings::AUTH_MAX_FAILURES),
        max_failures_ip: config.get(&settings::AUTH_MAX_FAILURES_IP),
        hash_queue: config.get(&settings::AUTH_HASH_QUEUE),
        uniform_errors: config.get(&settings::AUTH_UNIFORM_ERRORS),
        open_subscriptions: config.get(&settings::IDENTITY_OPEN_SUBSCRIPTIONS),
        exempt_loopback,
        ..IdentityConfig::new(keys.jwt.clone(), keys.code.clone())
    };
    let queue = QueueName::new(SendCode::QUEUE).map_err(Failure::configuration)?;
    let mail = Arc::new(OutboxCodeMail::new(database, queue));
    IdentityService::new(database.clone(), settings, mail).map_err(Failure::configuration)
}
