//! One connection outside the pool, for what lives as long as a session: LISTEN and session locks.
//!
//! Messages of the server come out of a channel that is bounded and drops when nobody reads: they are hints.

use std::{future::poll_fn, time::Duration};

use backshift_core::StoreError;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_postgres::{AsyncMessage, Client, Config};

use super::{
    connector::Connector,
    fault::{Fault, store_error},
};

/// A connection with its driver; dropping it closes the connection at once.
pub(crate) struct Session {
    client: Client,
    driver: JoinHandle<()>,
    /// Channel and payload of each notification; closed when the connection is.
    notifications: mpsc::Receiver<(String, String)>,
}

impl Session {
    pub(super) async fn open(config: &Config, tls: Connector, limit: Duration) -> Result<Self, StoreError> {
        let (client, mut connection) = tokio::time::timeout(limit, config.connect(tls))
            .await
            .map_err(|_| Fault::deadline(limit, "connecting").error)?
            .map_err(|e| store_error(&e))?;
        let (sender, notifications) = mpsc::channel(1024);
        let driver = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(note) = message {
                    let _ = sender.try_send((note.channel().to_owned(), note.payload().to_owned()));
                }
            }
        });
        Ok(Self { client, driver, notifications })
    }

    /// Runs statements without parameters.
    pub(crate) async fn batch(&self, text: &str, limit: Duration) -> Result<(), StoreError> {
        tokio::time::timeout(limit, self.client.batch_execute(text))
            .await
            .map_err(|_| Fault::deadline(limit, "a statement").error)?
            .map_err(|e| store_error(&e))
    }

    /// The first column of the first row as text.
    pub(crate) async fn ask(&self, text: &str, limit: Duration) -> Result<Option<String>, StoreError> {
        let rows = tokio::time::timeout(limit, self.client.simple_query(text))
            .await
            .map_err(|_| Fault::deadline(limit, "a question").error)?
            .map_err(|e| store_error(&e))?;
        Ok(rows.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        }))
    }

    /// Channel and payload of the next notification; `None` = the connection is lost.
    pub(crate) async fn notification(&mut self) -> Option<(String, String)> {
        self.notifications.recv().await
    }

    /// Returns when the connection is lost.
    pub(crate) async fn lost(&mut self) {
        while self.notification().await.is_some() {}
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
