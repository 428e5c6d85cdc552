//! System C's accounts, as configured.

use std::sync::Arc;

use backshift_core::{Job, QueueName};
use backshift_store::Database;
use backshift_workers::identity::{IdentityConfig, IdentityService, OutboxCodeMail, SendCode};

use super::Keys;
use crate::{config::Config, exit::Failure};

/// Says at start what was chosen and is weaker than the default.
pub(crate) fn warn_of_choices(config: &Config) {
    if config.switch("identity.open_subscriptions") {
        tracing::warn!(
            "identity.open_subscriptions is set: users give themselves any plan, status and dates, free of charge"
        );
    }
    if let Some(weakness) = Keys::weakness(config) {
        tracing::warn!("{weakness}");
    }
}

/// The accounts over this database.
pub(crate) fn identity_service(
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
