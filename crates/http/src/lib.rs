//! The HTTP faces: system C's API, health, metrics and the server that carries them.
//!
//! Routers are built apart and merged by the program: `api::router`, `health::router` and the pages each return a
//! plain [`axum::Router`]; [`server::finish`] puts fall-backs and limits around the whole, once.

pub mod api;
pub mod envelope;
pub mod health;
pub mod pages;
pub mod server;

pub use envelope::ApiError;
