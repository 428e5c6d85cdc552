//! The numbers and secrets of system C's accounts, as plain fields; the defaults are docs/contracts/system-c.md's.

use std::time::Duration;

use secrecy::SecretString;

use super::CodeKey;

/// How accounts work.
#[derive(Debug, Clone)]
pub struct IdentityConfig {
    /// Signs session tokens (`JWT_SECRET`); system C's own tokens verify with the same one.
    pub jwt_secret: SecretString,
    /// Derives one-time codes. API and workers need the same one.
    pub code_key: CodeKey,
    /// How long a code is good for (`BACKSHIFT_OTP_TTL`).
    pub otp_ttl: Duration,
    /// How long after one code the next may be asked for (`BACKSHIFT_OTP_RESEND_COOLDOWN`).
    pub resend_cooldown: Duration,
    /// Codes an hour for one address (`BACKSHIFT_OTP_MAX_PER_HOUR`).
    pub max_per_hour: u32,
    /// Codes an hour for one client address, or one IPv6 /64 (`BACKSHIFT_OTP_MAX_PER_HOUR_IP`).
    pub max_per_hour_ip: u32,
    /// Wrong tries before a code is dead for the network that asked for it (`BACKSHIFT_OTP_MAX_TRIES`); every other
    /// network has as many of its own.
    pub max_tries: u32,
    /// Wrong tries of all other networks together before the code is dead for them (`BACKSHIFT_OTP_MAX_TRIES_ABROAD`).
    pub max_tries_abroad: u32,
    /// Codes that one network may try an hour, whoever's they are (`BACKSHIFT_OTP_MAX_CHECKS_IP`).
    pub max_checks_ip: u32,
    /// Registrations an hour of one network (`BACKSHIFT_AUTH_MAX_REGISTRATIONS_IP`).
    pub max_registrations_ip: u32,
    /// Wrong passwords an hour for one account from one network (`BACKSHIFT_AUTH_MAX_FAILURES_PAIR`).
    pub max_failures_pair: u32,
    /// Wrong passwords an hour for one account; beyond it only networks without a failure are heard
    /// (`BACKSHIFT_AUTH_MAX_FAILURES`).
    pub max_failures: u32,
    /// Wrong passwords an hour for one network, whoever's account it is (`BACKSHIFT_AUTH_MAX_FAILURES_IP`).
    pub max_failures_ip: u32,
    /// Clients on loopback have no hourly limit (`dev`).
    pub exempt_loopback: bool,
    /// Login, send-otp and verify-otp answer alike whether an account exists or not
    /// (`BACKSHIFT_AUTH_UNIFORM_ERRORS`). Registering tells it still.
    pub uniform_errors: bool,
    /// A user may give himself any plan, status and dates, as system C lets him
    /// (`BACKSHIFT_IDENTITY_OPEN_SUBSCRIPTIONS`).
    pub open_subscriptions: bool,
    /// The free trial that begins with the activation.
    pub trial: Duration,
    /// How long a session lasts.
    pub session: Duration,
    /// How long a session lasts that shall be remembered.
    pub session_remembered: Duration,
    /// Password checks at once: the number of cores, because each takes 19 MiB and one core.
    pub hash_slots: usize,
    /// Password checks that may wait for one slot (`BACKSHIFT_AUTH_HASH_QUEUE`); a quarter of the places is for logins.
    pub hash_queue: usize,
    /// A refusal that must tell nothing answers no sooner than this, so that nothing can be measured either.
    pub refusal_floor: Duration,
}

impl IdentityConfig {
    /// The defaults with these secrets.
    pub fn new(jwt_secret: SecretString, code_key: CodeKey) -> Self {
        const DAY: u64 = 24 * 3600;
        Self {
            jwt_secret,
            code_key,
            otp_ttl: Duration::from_secs(600),
            resend_cooldown: Duration::from_secs(60),
            max_per_hour: 5,
            max_per_hour_ip: 20,
            max_tries: 5,
            max_tries_abroad: 20,
            max_checks_ip: 60,
            max_registrations_ip: 30,
            max_failures_pair: 10,
            max_failures: 1000,
            max_failures_ip: 1000,
            exempt_loopback: false,
            uniform_errors: false,
            open_subscriptions: false,
            trial: Duration::from_secs(14 * DAY),
            session: Duration::from_secs(7 * DAY),
            session_remembered: Duration::from_secs(30 * DAY),
            hash_slots: std::thread::available_parallelism().map_or(1, usize::from),
            hash_queue: 32,
            refusal_floor: Duration::from_millis(200),
        }
    }
}
