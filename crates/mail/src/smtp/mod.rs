//! SMTP over tokio and rustls, written for one thing: many small mails over few connections, with outcomes that
//! can be trusted.
//!
//! Order of one mail: `transport` takes a connection from `pool` (or opens one: `handshake`), `transaction`
//! speaks MAIL to final dot, `error` and `crate::classify` turn what happened into an `Outcome`.

mod auth;
mod connection;
mod dots;
mod error;
mod handshake;
mod options;
mod pool;
mod reply;
mod stream;
mod tls;
mod transaction;
mod transport;

pub use options::{Credentials, OptionsError, SmtpOptions, TlsMode};
pub use reply::Reply;
pub use transport::SmtpTransport;
