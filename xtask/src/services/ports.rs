//! Free ports between 20000 and 32000. The ephemeral range above 32768 (and so "bind 0") is avoided: any client's
//! source port may sit there by the time the server binds.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// Hands out each port once, to any thread.
#[derive(Default)]
pub(crate) struct Ports(Mutex<HashSet<u16>>);

impl Ports {
    /// Ports that are already promised to running servers.
    pub(crate) fn except(taken: impl IntoIterator<Item = u16>) -> Self {
        Self(Mutex::new(taken.into_iter().collect()))
    }

    /// A port that nobody listens on and that was not handed out before.
    pub(crate) fn draw(&self) -> Result<u16> {
        let mut taken = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for _ in 0..500 {
            let [low, high, ..] = random_bytes()?;
            let port = FIRST + u16::from_le_bytes([low, high]) % COUNT;
            if !taken.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
                taken.insert(port);
                return Ok(port);
            }
        }
        bail!("no free port found between {FIRST} and {}", FIRST + COUNT);
    }
}

/// A name nobody else uses: lower-case hex, 16 digits.
pub(crate) fn nonce() -> Result<String> {
    Ok(random_bytes()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn random_bytes() -> Result<[u8; 8]> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("/dev/urandom")?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{COUNT, FIRST, Ports};
    use std::net::TcpListener;

    #[test]
    fn draws_distinct_ports_below_the_ephemeral_range() {
        let ports = Ports::default();
        let drawn: std::collections::HashSet<u16> = (0..50).map(|_| ports.draw().unwrap()).collect();
        assert_eq!(drawn.len(), 50);
        assert!(drawn.iter().all(|port| (FIRST..FIRST + COUNT).contains(port)));
    }

    #[test]
    fn a_port_in_use_is_never_drawn() {
        let taken = Ports::default().draw().unwrap();
        let _listener = TcpListener::bind(("127.0.0.1", taken)).unwrap();
        let ports = Ports::except((FIRST..FIRST + COUNT).filter(|port| *port != taken));
        assert!(ports.draw().is_err());
    }
}
