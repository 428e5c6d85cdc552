//! The ready-made domains, one folder each: jobs, use cases, routes, pages and templates.
//!
//! Payloads carry ids and never secrets. Every handler may run twice for one job; what happens then is written at
//! its top and tested.

pub mod demo;
pub mod identity;
pub mod mail;
pub mod probe;
