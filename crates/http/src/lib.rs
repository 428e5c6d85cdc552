//! The HTTP faces: system C's API, health, metrics and the server that carries them.
//!
//! Routers are built apart and merged by the program: `api::router`, `health::router` and the pages each return a
//! plain [`axum::Router`]; [`server::finish`] puts fall-backs and limits around the whole, once.

pub mod api;
pub mod client;
mod connections;
pub mod envelope;
pub mod health;
mod host;
pub mod pages;
pub mod server;

pub use envelope::ApiError;
pub use host::loopback_only;
