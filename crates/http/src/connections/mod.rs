//! The life of a connection: how long it may take for what, how many a network may have, who goes when all are taken.
//!
//! One question decides everything: *whose turn is it?* While we work on a request nothing ends a connection. While we
//! wait for the client, each phase has its deadline, and of those who are waited for the longest the first is sent
//! away when somebody else needs the place: nobody stays unaccepted because others sit and say nothing.

mod answer;
mod body;
mod life;
mod limits;
mod places;
mod requests;
mod service;
mod watched;

pub use limits::{Limits, Times};
pub(crate) use {
    life::{Life, Tick},
    places::{Admission, Places},
    requests::Requests,
    service::{Answering, House},
    watched::Watched,
};
