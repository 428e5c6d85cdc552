//! System C's accounts: their API and pages, the mails with codes, and the command that makes the first administrator.

mod keys;

use std::{sync::Arc, time::Duration};

use backshift_core::{Broker, Job as _, Kind, QueueName, Registry, WorkerName, store::KEPT_AT_LEAST};
use backshift_domains::{
    identity::{
        CodeRoute, CodeSender, IdentityConfig, IdentityError, IdentityRetention, IdentityService,
        OutboxCodeMail, SendCode,
        api::{self, Api},
        pages::Accounts,
    },
    mail::{MailOptions, Mailbox, QUEUE_OF_SYSTEM_C},
};
use backshift_mail::Templates;
use backshift_runtime::Shutdown;
use backshift_store::{
    Database,
    migrate::{IDENTITY, Line},
};
use futures::FutureExt as _;

use super::{Beside, Domain, Equipment, Faces, Role, mail};
use crate::{
    config::{Config, Form, Setting, set},
    exit::Failure,
    wiring::{Backend, Foreign, Plan, worker_builder, worker_name},
};
use keys::{Keys, generated_keys};

const SETTINGS: &[Setting] = &[
    set("otp.ttl", &[], "10m", Form::Time, "Life of a one-time code."),
    set(
        "otp.resend_cooldown",
        &[],
        "60s",
        Form::Duration,
        "Shortest time between two codes for one address.",
    ),
    set("otp.max_per_hour", &[], "5", Form::Number(1, 10000), "Codes an hour for one address."),
    set(
        "otp.max_per_hour_ip",
        &[],
        "20",
        Form::Number(1, 100000),
        "Codes an hour for one client address; loopback is exempt in dev.",
    ),
    set(
        "otp.max_tries",
        &[],
        "5",
        Form::Number(1, 100),
        "Wrong tries before a code is dead for the network that asked for it; others have as many each.",
    ),
    set(
        "otp.max_tries_abroad",
        &[],
        "20",
        Form::Number(1, 1000),
        "Wrong tries of all networks that did not ask for a code, together, before it is dead for them.",
    ),
    set(
        "otp.max_checks_ip",
        &[],
        "60",
        Form::Number(1, 1000000),
        "Codes that one network of clients (/24, /64) may try an hour; loopback is exempt in dev.",
    ),
    set(
        "otp.key",
        &[],
        "",
        Form::Secret,
        "Key that codes are derived from; made from JWT_SECRET when not set.",
    ),
    set(
        "auth.jwt_secret",
        &["JWT_SECRET"],
        "",
        Form::Secret,
        "Signs bearer tokens; needed by `api`, made by `dev`. At least 16 bytes, better 32; blank = not set.",
    ),
    set(
        "auth.max_registrations_ip",
        &[],
        "30",
        Form::Number(1, 1000000),
        "Registrations an hour of one network of clients (/24, /64); loopback is exempt in dev.",
    ),
    set(
        "auth.max_failures_pair",
        &[],
        "10",
        Form::Number(1, 100000),
        "Wrong passwords an hour for one account from one network; then 429, for an unknown account too.",
    ),
    set(
        "auth.max_failures",
        &[],
        "1000",
        Form::Number(1, 100000),
        "Wrong passwords an hour for one account; beyond it only networks without a failure are heard.",
    ),
    set(
        "auth.max_failures_ip",
        &[],
        "1000",
        Form::Number(1, 1000000),
        "Wrong passwords an hour of one network of clients (/24, /64); loopback is exempt in dev.",
    ),
    set(
        "auth.hash_queue",
        &[],
        "32",
        Form::Number(1, 10000),
        "Password checks that may wait for each core, then 503; a quarter of the places is for logins.",
    ),
    set(
        "auth.uniform_errors",
        &[],
        "false",
        Form::Switch,
        "login, send-otp and verify-otp hide which addresses have an account; register tells it still (110004).",
    ),
    set(
        "identity.open_subscriptions",
        &[],
        "false",
        Form::Switch,
        "Lets users give themselves any plan, status and dates, as system C did.",
    ),
    set(
        "retention.otp",
        &[],
        "7d",
        Form::Duration,
        "How long challenges of one-time codes and the log of sent codes are kept; at least a day.",
    ),
    set(
        "app.name",
        &[],
        "Backshift",
        Form::Text,
        "Name of your product in the mails with codes; where system C's exchange is used, C's own mail is sent.",
    ),
];

/// Accounts and the challenges behind codes.
pub(crate) const TABLES: &Line = &IDENTITY;

pub(super) const DOMAIN: Domain = Domain {
    settings: SETTINGS,
    contradictions,
    remarks,
    configured,
    queues: &[SendCode::QUEUE],
    queue_of: |kind, own| is_code(kind).then(|| if own.is_some() { "default" } else { SendCode::QUEUE }),
    attempts_of: |kind| is_code(kind).then_some(mail::ATTEMPTS),
    handlers,
    tables: Some(TABLES),
    is_on: |config, role| role == Role::Dev || Keys::is_set(config),
    retention: |config, database| {
        let keep = config.duration("retention.otp");
        Some(Arc::new(IdentityRetention::new(database.clone(), keep)))
    },
    faces,
    beside_api,
    ..Domain::EMPTY
};

fn is_code(kind: &Kind) -> bool {
    kind.as_str() == SendCode::KIND
}

fn contradictions(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    let keep = config.duration("retention.otp");
    if keep < KEPT_AT_LEAST {
        let told = config.told("retention.otp");
        found.push(format!("{told} is less than a day, and a day is kept: write 1d or more"));
    }
    config.not_above(
        "otp.resend_cooldown",
        "otp.ttl",
        "a code ends before the next one may be asked for",
        &mut found,
    );
    for (part, whole) in [
        ("otp.max_per_hour", "otp.max_per_hour_ip"),
        ("otp.max_tries", "otp.max_tries_abroad"),
        ("auth.max_failures_pair", "auth.max_failures_ip"),
    ] {
        config.never_reached(part, whole, &mut found);
    }
    found
}

fn remarks(config: &Config) -> Vec<String> {
    let open = config.switch("identity.open_subscriptions").then(|| {
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
    let name = config.text("app.name").trim();
    match name.is_empty() || name.chars().count() > 60 || name.chars().any(char::is_control) {
        true => Err(Failure::configuration(format!(
            "{}: it stands in the subject of mails: write 1 to 60 characters on one line",
            config.told("app.name")
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
        IdentityError::Business { code: 110_003, .. } => {
            Failure::failed(format!("{email} has no account: register it first"))
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
        otp_ttl: config.duration("otp.ttl"),
        resend_cooldown: config.duration("otp.resend_cooldown"),
        max_per_hour: config.number("otp.max_per_hour") as u32,
        max_per_hour_ip: config.number("otp.max_per_hour_ip") as u32,
        max_tries: config.number("otp.max_tries") as u32,
        max_tries_abroad: config.number("otp.max_tries_abroad") as u32,
        max_checks_ip: config.number("otp.max_checks_ip") as u32,
        max_registrations_ip: config.number("auth.max_registrations_ip") as u32,
        max_failures_pair: config.number("auth.max_failures_pair") as u32,
        max_failures: config.number("auth.max_failures") as u32,
        max_failures_ip: config.number("auth.max_failures_ip") as u32,
        hash_queue: config.number("auth.hash_queue") as usize,
        uniform_errors: config.switch("auth.uniform_errors"),
        open_subscriptions: config.switch("identity.open_subscriptions"),
        exempt_loopback,
        ..IdentityConfig::new(keys.jwt.clone(), keys.code.clone())
    };
    let queue = QueueName::new(SendCode::QUEUE).map_err(Failure::configuration)?;
    let mail = Arc::new(OutboxCodeMail::new(database, queue));
    IdentityService::new(database.clone(), settings, mail).map_err(Failure::configuration)
}
