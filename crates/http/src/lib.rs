//! The HTTP kit: the server, health and metrics, the shapes of answers, and the pages over the store.
//!
//! It knows no domain. Routers are built apart and merged by the program: a domain's routes, `health::router` and the pages
//! each are a plain [`axum::Router`]; [`server::finish`] puts fall-backs and limits around the whole, once.

pub mod client;
mod connections;
pub mod envelope;
pub mod health;
mod host;
pub mod json;
pub mod pages;
mod protection;
pub mod server;
mod shape;

pub use envelope::ApiError;
pub use host::loopback_only;
pub use shape::Shape;

/// Where the routes of APIs live.
pub const API: &str = "/api/v1";
