//! The settings of accounts: one-time codes, sign-ins, secrets.

use std::time::Duration;

use crate::config::{Form, Key, Secret, Setting, Text, set, settings};

settings! {
    SETTINGS
    OTP_TTL: Duration = set("otp.ttl", &[], "10m", Form::Time, "Life of a one-time code.");
    OTP_RESEND_COOLDOWN: Duration = set("otp.resend_cooldown", &[], "60s", Form::Duration, "Shortest time between two codes for one address.");
    OTP_MAX_PER_HOUR: u32 = set("otp.max_per_hour", &[], "5", Form::Number(1, 10000), "Codes an hour for one address.");
    OTP_MAX_PER_HOUR_IP: u32 = set("otp.max_per_hour_ip", &[], "20", Form::Number(1, 100000), "Codes an hour for one client address; loopback is exempt in dev.");
    OTP_MAX_TRIES: u32 = set("otp.max_tries", &[], "5", Form::Number(1, 100), "Wrong tries before a code is dead for the network that asked for it; others have as many each.");
    OTP_MAX_TRIES_ABROAD: u32 = set("otp.max_tries_abroad", &[], "20", Form::Number(1, 1000), "Wrong tries of all networks that did not ask for a code, together, before it is dead for them.");
    OTP_MAX_CHECKS_IP: u32 = set("otp.max_checks_ip", &[], "60", Form::Number(1, 1000000), "Codes that one network of clients (/24, /64) may try an hour; loopback is exempt in dev.");
    OTP_KEY: Secret = set("otp.key", &[], "", Form::Secret, "Key that codes are derived from; made from JWT_SECRET when not set.");
    AUTH_JWT_SECRET: Secret = set("auth.jwt_secret", &["JWT_SECRET"], "", Form::Secret, "Signs bearer tokens; needed by `api`, made by `dev`. At least 16 bytes, better 32; blank = not set.");
    AUTH_MAX_REGISTRATIONS_IP: u32 = set("auth.max_registrations_ip", &[], "30", Form::Number(1, 1000000), "Registrations an hour of one network of clients (/24, /64); loopback is exempt in dev.");
    AUTH_MAX_FAILURES_PAIR: u32 = set("auth.max_failures_pair", &[], "10", Form::Number(1, 100000), "Wrong passwords an hour for one account from one network; then 429, for an unknown account too.");
    AUTH_MAX_FAILURES: u32 = set("auth.max_failures", &[], "1000", Form::Number(1, 100000), "Wrong passwords an hour for one account; beyond it only networks without a failure are heard.");
    AUTH_MAX_FAILURES_IP: u32 = set("auth.max_failures_ip", &[], "1000", Form::Number(1, 1000000), "Wrong passwords an hour of one network of clients (/24, /64); loopback is exempt in dev.");
    AUTH_HASH_QUEUE: usize = set("auth.hash_queue", &[], "32", Form::Number(1, 10000), "Password checks that may wait for each core, then 503; a quarter of the places is for logins.");
    AUTH_UNIFORM_ERRORS: bool = set("auth.uniform_errors", &[], "false", Form::Switch, "login, send-otp and verify-otp hide which addresses have an account; register tells it still (110004).");
    IDENTITY_OPEN_SUBSCRIPTIONS: bool = set("identity.open_subscriptions", &[], "false", Form::Switch, "Lets users give themselves any plan, status and dates, as system C did.");
    RETENTION_OTP: Duration = set("retention.otp", &[], "7d", Form::Duration, "How long challenges of one-time codes and the log of sent codes are kept; at least a day.");
    APP_NAME: Text = set("app.name", &[], "Backshift", Form::Text, "Name of your product in the mails with codes; where system C's exchange is used, C's own mail is sent.");
}
