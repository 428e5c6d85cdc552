//! What a scenario stands on: servers' private corners, processes, and a small HTTP client.
//!
//! [`SystemC`] holds all of it; what a test starts is killed when it is dropped.

mod api;
mod command;
mod embedded;
mod http;
mod place;
mod producer;
mod proxy;
mod smtp;
mod sql;
mod system_c;
mod tls;
mod vhost;
mod worker;

pub(crate) use api::Api;
pub(crate) use command::{Ended, backshift, backshift_fed, fed};
pub(crate) use embedded::Embedded;
pub(crate) use http::{Answer, request};
pub(crate) use place::{Place, probe, probe_settings};
pub(crate) use producer::publish_py;
pub(crate) use proxy::Proxy;
pub(crate) use smtp::{Mail, Mood, Smtp};
pub(crate) use sql::Session;
pub(crate) use system_c::{JWT_SECRET, Settings, SystemC};
pub(crate) use tls::{Authority, encrypted};
pub(crate) use vhost::{EXCHANGE, Vhost};
pub(crate) use worker::Worker;

use std::time::Duration;

use backshift_testkit::pace;

/// A setting's value: this time on an idle machine, longer on a busy one. For leases and lives that the test waits out and
/// that may not end before it or a worker had its turn.
pub(crate) fn stretched(ms: u64) -> String {
    format!("{}ms", stretched_ms(ms))
}

/// The same as a number of milliseconds.
pub(crate) fn stretched_ms(ms: u64) -> u64 {
    pace::stretched(Duration::from_millis(ms)).as_millis() as u64
}

/// How long a scenario waits for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
