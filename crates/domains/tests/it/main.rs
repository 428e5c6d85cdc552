//! Integration tests of the ready-made domains, on SQLite and on a real PostgreSQL.

#![allow(clippy::unwrap_used)]

mod adopted;
mod adopting;
mod api;
mod codes;
mod databases;
mod flow;
mod guesses;
mod limits;
mod mail_large;
mod mail_outcomes;
mod mail_questions;
mod mail_runs_twice;
mod mail_tables;
mod pages;
mod plans;
mod probe;
mod registration;
mod retention;
mod send_code;
mod sessions;
mod stage;
mod strangers;
mod subscriptions;
mod uniform;
mod world;
