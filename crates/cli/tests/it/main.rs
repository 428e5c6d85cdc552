//! Scenarios: real `backshift` processes against real PostgreSQL, RabbitMQ and a scripted SMTP server.
//!
//! Every test has a database, a virtual host, a mail server and ports of its own, so that all run side by side.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod adoption;
mod ambiguous;
mod attention;
mod backup;
mod bodies;
mod broker_away;
mod clients;
mod commands;
mod configuration;
mod dev;
mod enqueue;
mod entitlement;
mod explaining;
mod faults;
mod flow;
mod forsaken;
mod frozen;
mod kinds;
mod looking;
mod mails;
mod malformed;
mod many;
mod memory;
mod metrics;
mod outcomes;
mod pause;
mod permanent;
mod pooler;
mod ports;
mod private;
mod probe;
mod producers;
mod product;
mod queue_types;
mod readme;
mod replicas;
mod roles;
mod scene;
mod secrets;
mod signals;
mod steering;
mod store_away;
mod survival;
mod terminal;
mod try_it;
mod typos;
mod ui;
mod ways;
mod wishes;
mod words;
mod wrong_settings;
