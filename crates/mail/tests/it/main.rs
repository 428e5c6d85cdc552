//! The SMTP transport against a server that can be told to misbehave, and against Postfix's smtp-sink.

#![allow(clippy::unwrap_used)]

mod auth;
mod mails;
mod outcomes;
mod pool;
mod server;
mod sink;
mod speed;
mod tls;
mod wire;
