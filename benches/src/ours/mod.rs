//! Backshift's own arms.

pub(crate) mod binary;
pub(crate) mod engine;
pub(crate) mod mail;
pub(crate) mod postgres;
pub(crate) mod postgres_depth;
pub(crate) mod postgres_enqueue;
pub(crate) mod rabbitmq;
pub(crate) mod sqlite;
pub(crate) mod sqlite_depth;
pub(crate) mod sqlite_idle;
pub(crate) mod worker;
