//! Loops that an expert would write by hand against the client library, each the best version of itself.

pub(crate) mod mail;
pub(crate) mod mail_lettre;
pub(crate) mod mail_sink;
pub(crate) mod postgres;
pub(crate) mod postgres_enqueue;
pub(crate) mod rabbitmq;
pub(crate) mod sqlite;
