//! How often a password may be guessed: the failures of an hour, of one account and of one network of clients.
//!
//! An attempt is written down as a failure *before* the password is looked at and struck out when it was right, so that
//! guesses in parallel cannot pass together. Addresses without an account are counted alike: a limit tells nobody
//! whether one exists.

use std::net::IpAddr;

use backshift_core::{
    Timestamp,
    identity::{IdentityError, Origin},
};
use backshift_store::{Durability, Executor, Tx};
use uuid::Uuid;

use super::{
    IdentityService,
    limits::{HOUR, lock_client, too_early},
    refusals::internal,
    service::{after, before},
};

/// Under which name a client's guesses are counted: its network, as one attacker has many addresses of one.
pub(super) fn network_key(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        v6 @ IpAddr::V6(_) => super::limits::client_key(v6),
    }
}

impl IdentityService {
    /// Writes an attempt down as a failure; refuses it when the account or the network has had its share.
    pub(super) async fn count_guess(&self, email_key: &str, origin: &Origin) -> Result<(), IdentityError> {
        let network = self.counted_client(origin).map(network_key);
        let now = self.now();
        // A crash may forget the last guesses.
        let tx = self.db.begin_with(Durability::Relaxed).await.map_err(internal)?;
        // Always in this order: two guesses never wait for each other in a circle.
        lock_client(&tx, email_key).await?;
        if let Some(network) = &network {
            lock_client(&tx, network).await?;
        }
        self.within_share(&tx, "email_key", email_key, self.config.max_failures, now).await?;
        if let Some(network) = &network {
            self.within_share(&tx, "network", network, self.config.max_failures_ip, now).await?;
        }
        let forget = "DELETE FROM login_failures WHERE at < $1";
        Executor::sql(&tx, forget).bind(before(now, HOUR)).run().await.map_err(internal)?;
        let insert = "INSERT INTO login_failures (id, email_key, network, at) VALUES ($1, $2, $3, $4)";
        let insert = Executor::sql(&tx, insert).bind(Uuid::now_v7()).bind(email_key).bind(network);
        insert.bind(now).run().await.map_err(internal)?;
        tx.commit().await.map_err(internal)
    }

    /// The password was right: the account's failures are forgotten, this attempt among them.
    pub(super) async fn forget_guesses(&self, email_key: &str) -> Result<(), IdentityError> {
        let forget = "DELETE FROM login_failures WHERE email_key = $1";
        self.db.sql(forget).bind(email_key).relaxed().run().await.map_err(internal)?;
        Ok(())
    }

    async fn within_share(
        &self,
        tx: &Tx,
        column: &str,
        value: &str,
        share: u32,
        now: Timestamp,
    ) -> Result<(), IdentityError> {
        // The oldest of the newest `share` failures: when the hour is full, it frees the next place.
        let text = format!(
            "SELECT at FROM login_failures WHERE {column} = $1 AND at > $2 ORDER BY at DESC LIMIT 1 OFFSET $3"
        );
        let query = tx.text(text).bind(value).bind(before(now, HOUR)).bind(share.saturating_sub(1));
        match query.optional::<Timestamp>().await.map_err(internal)? {
            Some(oldest) => too_early(after(oldest, HOUR), now),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_counted_by_their_network() {
        let key = |text: &str| network_key(text.parse().unwrap());
        assert_eq!(key("192.0.2.7"), key("::ffff:192.0.2.250"));
        assert_ne!(key("192.0.2.7"), key("192.0.3.7"));
        assert_eq!(key("2001:db8:1:2:3::6"), key("2001:db8:1:2:ffff::1"));
    }
}
