//! Under whose name this machine acts on jobs and queues.
//!
//! The name is that of the machine's user. It is no proof: whoever can run this command can write into the database, too.

use backshift_core::{Hand, sweep::LONGEST};

use crate::exit::Failure;

/// Whoever runs this: `user@host`.
pub(super) fn hand(why: Option<&str>) -> Result<Hand, Failure> {
    let hand = Hand { who: who(), why: why.map(str::to_owned) };
    match hand.is_signed() {
        true => Ok(hand),
        false => Err(Failure::usage(format!("--why: more than {LONGEST} bytes are not kept"))),
    }
}

fn who() -> String {
    let named = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let user = named.filter(|user| !user.trim().is_empty());
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{user}@{host}").chars().take(200).collect()
}
