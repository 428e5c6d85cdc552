//! The connection to the server: opened when it is used, replaced when it is lost, and its errors without passwords.

mod connection;
mod scrub;
mod stream;

pub(super) use connection::{Link, Wire};
#[cfg(feature = "fuzzing")]
pub(super) use scrub::content_header;
