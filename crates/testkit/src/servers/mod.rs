//! Real servers for tests: the shared ones that `cargo xtask services` started, with a private corner of each, and private
//! ones that a test may kill.
//!
//! How a server is made stands in [`backshift_servers`], once for both: a new one is a file there.

mod database;
mod family;
mod private;
mod shared;

pub use backshift_servers::{Nats, Postgres, RabbitMq, Redis, Service, Tuning, Wishes};
pub use database::TestDatabase;
pub use private::PrivateServer;
pub use shared::{require, unique_name, unique_queue};
