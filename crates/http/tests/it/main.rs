//! Integration tests of the HTTP faces: routes on a stub of the port, the server on a real socket.

mod envelope;
mod health;
mod routes;
mod server;
mod stub;
