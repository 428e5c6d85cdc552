//! The ready-made domains, one folder each: jobs, use cases, routes, pages and templates.
//!
//! Payloads carry ids and never secrets. Every handler may run twice for one job; what happens then is written at
//! its top and tested.
//!
//! One feature each, of the folder's name; whoever takes one domain compiles nothing of another's.

#[cfg(feature = "demo")]
pub mod demo;
#[cfg(feature = "identity")]
pub mod identity;
#[cfg(feature = "mail")]
pub mod mail;
#[cfg(feature = "probe")]
pub mod probe;
