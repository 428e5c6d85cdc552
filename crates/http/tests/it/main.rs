//! Integration tests of the HTTP faces: the server on a real socket, the pages over a real store.

#![allow(clippy::unwrap_used)]

mod ahead;
mod ask;
mod connections;
mod h2;
mod heads;
mod health;
mod pages;
mod port;
mod server;
mod untaken;
