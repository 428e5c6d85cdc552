//! The adapters against real servers. Every test has queues of its own; a server that is missing skips its tests
//! unless `BACKSHIFT_REQUIRE=all` is set.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod rabbitmq;
