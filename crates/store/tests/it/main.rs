//! The database layer and the store on real servers and files. Each test has a database or a file of its own.

mod accepting;
mod claiming;
mod connections;
mod control;
mod crashes;
mod deliveries;
mod durability;
mod finishing;
mod liveness;
mod migrations;
mod place;
mod prepared;
mod processes;
mod relay;
mod statements;
mod steering;
mod tls;
mod transactions;
mod wake_ups;
mod world;
