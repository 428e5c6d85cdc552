//! Mails and options for the tests.

use std::time::Duration;

use backshift_mail::{Composer, EmailAddress, EmailData, Message, NamedAddress, SmtpOptions, TlsMode};
use backshift_testkit::pace;

use crate::server::Server;

pub(crate) fn address(text: &str) -> EmailAddress {
    text.parse().unwrap()
}

pub(crate) fn email(to: &str) -> EmailData {
    EmailData::new(address(to), "Xin chào", "<p>Your code is <b>123456</b></p>")
}

pub(crate) fn compose(email: &EmailData) -> Message {
    let composer = Composer::new(NamedAddress::parse("SMAP <noreply@smap.example>").unwrap());
    composer.compose(email, "job-1", backshift_core::Timestamp::UNIX_EPOCH).unwrap()
}

pub(crate) fn message() -> Message {
    compose(&email("lan@x.io"))
}

pub(crate) fn with_copies(copies: &[&str]) -> Message {
    let mut email = email("lan@x.io");
    email.cc_addresses = copies.iter().map(|c| address(c).into()).collect();
    compose(&email)
}

/// Short time-outs, so that a silent server is noticed within the test.
pub(crate) fn options(server: &Server) -> SmtpOptions {
    let mut options = SmtpOptions::new("127.0.0.1", server.port);
    options.tls = TlsMode::None;
    options.command_timeout = pace::stretched(Duration::from_secs(5));
    options.final_timeout = options.command_timeout;
    options
}
