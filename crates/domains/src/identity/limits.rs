//! How often a code may be sent: the cool-down, and the hourly limits of an address and of a client.
//!
//! Counting and adding happen in one transaction that holds the user's row and the client's lock, so that parallel
//! requests cannot pass together.

use std::{net::IpAddr, time::Duration};

use backshift_core::Timestamp;
use backshift_store::{Executor, Sql, Tx};
use uuid::Uuid;

use super::{
    IdentityService,
    refusals::internal,
    service::{after, before},
};
use crate::identity::{IdentityError, Origin};

pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// Under which name a client's sends are counted: its address, of IPv6 the /64 that one customer gets.
pub(super) fn client_key(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// Under which name a network of clients is counted: an IPv4 /24, an IPv6 /64, as one attacker has many addresses of one.
pub(super) fn network_key(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        v6 @ IpAddr::V6(_) => client_key(v6),
    }
}

impl IdentityService {
    /// The client to count, if any.
    pub(super) fn counted_client(&self, origin: &Origin) -> Option<IpAddr> {
        origin.ip.map(|ip| ip.to_canonical()).filter(|_| !self.is_exempt(origin))
    }

    /// The client's network, if it is counted.
    pub(super) fn counted_network(&self, origin: &Origin) -> Option<String> {
        self.counted_client(origin).map(network_key)
    }

    /// Whether nothing is counted for this client.
    pub(super) fn is_exempt(&self, origin: &Origin) -> bool {
        self.config.exempt_loopback && origin.ip.is_some_and(|ip| ip.to_canonical().is_loopback())
    }

    /// Refuses a send that comes too early or too often, else writes it down.
    pub(super) async fn count_send(
        &self,
        tx: &Tx,
        email_key: &str,
        client: Option<&str>,
        now: Timestamp,
    ) -> Result<(), IdentityError> {
        if let Some(client) = client {
            lock_client(tx, client).await?;
        }
        let sent = sends(tx, "email_key", email_key, now, self.config.max_per_hour).await?;
        if let Some(last) = sent.first() {
            too_early(after(*last, self.config.resend_cooldown), now)?;
        }
        self.within(&sent, self.config.max_per_hour, now)?;
        if let Some(client) = client {
            let sent = sends(tx, "ip", client, now, self.config.max_per_hour_ip).await?;
            self.within(&sent, self.config.max_per_hour_ip, now)?;
        }
        let insert = "INSERT INTO otp_sends (id, email_key, ip, at) VALUES ($1, $2, $3, $4)";
        let insert = Executor::sql(tx, insert).bind(Uuid::now_v7()).bind(email_key).bind(client).bind(now);
        insert.run().await.map_err(internal)?;
        Ok(())
    }

    /// `sent` holds the newest sends of the last hour, at most `limit` of them, newest first.
    fn within(&self, sent: &[Timestamp], limit: u32, now: Timestamp) -> Result<(), IdentityError> {
        match sent.last() {
            Some(oldest) if sent.len() >= limit as usize => too_early(after(*oldest, HOUR), now),
            _ => Ok(()),
        }
    }
}

/// Refuses what comes before this time.
pub(super) fn too_early(free_at: Timestamp, now: Timestamp) -> Result<(), IdentityError> {
    match Duration::try_from(free_at.duration_since(now)) {
        Ok(wait) if !wait.is_zero() => Err(IdentityError::TooMany { retry_after: wait }),
        _ => Ok(()),
    }
}

async fn sends(
    tx: &Tx,
    column: &str,
    value: &str,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Timestamp>, IdentityError> {
    let text = format!("SELECT at FROM otp_sends WHERE {column} = $1 AND at > $2 ORDER BY at DESC LIMIT $3");
    let query = tx.text(text).bind(value).bind(before(now, HOUR)).bind(limit.max(1));
    query.all::<Timestamp>().await.map_err(internal)
}

/// Holds what is counted under this name until the transaction ends. SQLite has one writer anyway.
pub(super) async fn lock_client(tx: &Tx, client: &str) -> Result<(), IdentityError> {
    const LOCK: Sql = Sql {
        pg: "SELECT pg_advisory_xact_lock(hashtextextended('backshift otp ' || $1, 0))",
        sqlite: "SELECT $1",
    };
    Executor::sql(tx, LOCK).bind(client).all::<()>().await.map(drop).map_err(internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_clients_are_counted_by_their_network() {
        let key = |text: &str| client_key(text.parse().unwrap());
        assert_eq!(key("2001:db8:1:2:3:4:5:6"), key("2001:db8:1:2:ffff::1"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:10.0.0.1"), "10.0.0.1");
    }

    #[test]
    fn networks_are_wider_than_clients() {
        let key = |text: &str| network_key(text.parse().unwrap());
        assert_eq!(key("192.0.2.7"), key("::ffff:192.0.2.250"));
        assert_ne!(key("192.0.2.7"), key("192.0.3.7"));
        assert_eq!(key("2001:db8:1:2:3::6"), key("2001:db8:1:2:ffff::1"));
    }

    #[test]
    fn too_early_says_how_long() {
        let now = Timestamp::UNIX_EPOCH;
        let wait = |seconds| too_early(after(now, Duration::from_secs(seconds)), now);
        assert!(
            matches!(wait(60), Err(IdentityError::TooMany { retry_after }) if retry_after.as_secs() == 60)
        );
        assert!(wait(0).is_ok());
        assert!(too_early(before(now, Duration::from_secs(1)), now).is_ok());
    }
}
