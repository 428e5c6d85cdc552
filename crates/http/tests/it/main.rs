//! Integration tests of the HTTP faces: routes on a stub of the port, the server on a real socket.

#![allow(clippy::unwrap_used)]

mod ahead;
mod connections;
mod envelope;
mod h2;
mod heads;
mod health;
mod pages;
mod port;
mod routes;
mod server;
mod stub;
mod untaken;
mod whole;
