//! Stubs of this crate's ports for tests of the code above them: nothing leaves the process.
//!
//! `MemoryMailer` answers `Sent` until it is told otherwise; told outcomes are used up in order.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use backshift_core::{StoreError, Timestamp};

use crate::address::EmailAddress;
use crate::mailer::Mailer;
use crate::message::Message;
use crate::outcome::{Outcome, SendReport};
use crate::send_log::{SendLog, SendLogEntry};
use crate::suppression::{Suppression, Suppressions};

/// Keeps what it is given.
#[derive(Default)]
pub struct MemoryMailer {
    taken: Mutex<Vec<Message>>,
    told: Mutex<VecDeque<Outcome>>,
    probes: Mutex<VecDeque<Outcome>>,
}

impl MemoryMailer {
    /// The next send answers `outcome`.
    pub fn tell(&self, outcome: Outcome) {
        lock(&self.told).push_back(outcome);
    }

    /// The next probe fails with `outcome`.
    pub fn tell_probe(&self, outcome: Outcome) {
        lock(&self.probes).push_back(outcome);
    }

    /// Every message that `send` was called with, in order, sent or not.
    pub fn messages(&self) -> Vec<Message> {
        lock(&self.taken).clone()
    }
}

#[async_trait]
impl Mailer for MemoryMailer {
    async fn send(&self, message: &Message) -> SendReport {
        lock(&self.taken).push(message.clone());
        let told = lock(&self.told).pop_front();
        told.unwrap_or(Outcome::Sent { reply: "kept in memory".into(), refused_cc: Vec::new() }).into()
    }

    async fn probe(&self, _from: &EmailAddress) -> Result<(), Outcome> {
        lock(&self.probes).pop_front().map_or(Ok(()), Err)
    }

    async fn close(&self) {}
}

/// Suppressions in a list.
#[derive(Default)]
pub struct MemorySuppressions(Mutex<Vec<Suppression>>);

#[async_trait]
impl Suppressions for MemorySuppressions {
    async fn find_all(
        &self,
        addresses: &[EmailAddress],
        now: Timestamp,
    ) -> Result<Vec<Suppression>, StoreError> {
        let list = lock(&self.0);
        Ok(list.iter().filter(|s| addresses.contains(&s.address) && s.until > now).cloned().collect())
    }

    async fn add(&self, suppression: Suppression) -> Result<(), StoreError> {
        let mut list = lock(&self.0);
        list.retain(|s| s.address != suppression.address);
        list.push(suppression);
        Ok(())
    }

    async fn remove(&self, address: &EmailAddress) -> Result<bool, StoreError> {
        let mut list = lock(&self.0);
        let before = list.len();
        list.retain(|s| s.address != *address);
        Ok(list.len() < before)
    }

    async fn list(
        &self,
        after: Option<&EmailAddress>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Suppression>, StoreError> {
        let mut list: Vec<_> = lock(&self.0).iter().filter(|s| s.until > now).cloned().collect();
        list.sort_by_key(|s| s.address.canonical());
        let after = after.map(EmailAddress::canonical);
        let later = list.into_iter().filter(|s| after.as_ref().is_none_or(|a| s.address.canonical() > *a));
        Ok(later.take(limit).collect())
    }
}

/// A send log in a list.
#[derive(Default)]
pub struct MemorySendLog(Mutex<Vec<SendLogEntry>>);

impl MemorySendLog {
    /// Everything recorded, in order.
    pub fn entries(&self) -> Vec<SendLogEntry> {
        lock(&self.0).clone()
    }
}

#[async_trait]
impl SendLog for MemorySendLog {
    async fn record(&self, entry: SendLogEntry) -> Result<(), StoreError> {
        lock(&self.0).push(entry);
        Ok(())
    }

    async fn recent(&self, limit: usize) -> Result<Vec<SendLogEntry>, StoreError> {
        Ok(lock(&self.0).iter().rev().take(limit).cloned().collect())
    }

    async fn of_job(&self, job_id: &str) -> Result<Vec<SendLogEntry>, StoreError> {
        Ok(lock(&self.0).iter().filter(|e| e.job_id == job_id).cloned().collect())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{MemorySuppressions, Suppressions as _};
    use crate::suppression::{MailClass, Suppression, SuppressionReason};

    #[tokio::test]
    async fn suppressions_expire_and_ignore_case() {
        let now = backshift_core::Timestamp::UNIX_EPOCH;
        let list = MemorySuppressions::default();
        let suppression =
            Suppression::new("Lan@x.io".parse().unwrap(), SuppressionReason::HardBounce, "550 5.1.1", now);
        list.add(suppression.clone()).await.unwrap();
        list.add(suppression.clone()).await.unwrap();
        let address = "lan@X.io".parse().unwrap();
        let found = list.find(&address, now).await.unwrap().unwrap();
        assert!(found.applies_to(MailClass::Transactional) && found.applies_to(MailClass::Marketing));
        assert!(!found.applies_to(MailClass::TransactionalCritical));
        assert_eq!(list.find(&address, found.until).await.unwrap(), None);
        assert_eq!(list.list(None, 10, now).await.unwrap().len(), 1);
        assert_eq!(list.list(Some(&address), 10, now).await.unwrap().len(), 0);
        assert!(list.remove(&address).await.unwrap());
        assert!(!list.remove(&address).await.unwrap());
    }
}
