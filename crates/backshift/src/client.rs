//! The client of a site: everything that the engine's client does, and jobs inside a transaction of yours.

use std::ops::Deref;

use backshift_core::{
    Accepted, BrokerName, EnqueueError, EnqueueMiddleware, EnqueueOptions, Envelope, Job, JobId,
    middleware::{Boxed, Taker},
};
use backshift_store::foreign::{self, ForeignTx};
use tokio::sync::Mutex;

/// Enqueues jobs, in a transaction of yours too, and waits for their ends. Cheap to clone.
///
/// Everything else it can do is in [`backshift_core::Client`], which it dereferences to: `enqueue`, `enqueue_with`,
/// `enqueue_many`, `wait`, `ends`.
///
/// ```
/// # use std::time::Duration;
/// # use backshift::{Backshift, EnqueueOptions, Job, State};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # struct Resize { picture: u64 }
/// # impl Job for Resize { const KIND: &'static str = "picture.resize"; }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let file = tempfile::tempdir()?.keep().join("jobs.db");
/// # let site = Backshift::embedded(&file.to_string_lossy()).await?;
/// let client = site.client();
/// let id = client.enqueue(&Resize { picture: 7 }).await?;
///
/// // Later, and at most one unfinished job for this picture:
/// let options = EnqueueOptions::new().delay(Duration::from_secs(600)).unique("picture:7");
/// client.enqueue_with(&Resize { picture: 7 }, options).await?;
///
/// // Together with a row of your own, or not at all (here in a transaction of Backshift's database layer):
/// let mut tx = site.database().begin().await?;
/// tx.sql("CREATE TABLE pictures (id BIGINT)").run().await?;
/// client.enqueue_in(&mut tx, &Resize { picture: 8 }).await?;
/// tx.commit().await?;
/// # let store = site.store();
/// # assert_eq!(store.find(id).await?.map(|job| job.state), Some(State::Available));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client(backshift_core::Client);

impl Client {
    /// With this middleware around every enqueue, inside of those that are there already.
    #[must_use]
    pub fn with_middleware(self, middleware: impl EnqueueMiddleware) -> Self {
        Self(self.0.with_middleware(middleware))
    }

    /// Accepts a job inside your transaction: it is there exactly when that commits. The transaction is one of sqlx
    /// (`&mut tx`), SeaORM, diesel-async (the connection inside `transaction`), tokio-postgres, deadpool-postgres or
    /// [`Database`](crate::store::Database), on the database of this site. For rusqlite: [`Self::enqueue_in_rusqlite`].
    ///
    /// A worker of a PostgreSQL or embedded site finds it a quarter of a second after the commit at the latest; on RabbitMQ a
    /// worker publishes it.
    ///
    /// # Errors
    /// The transaction's answer: roll it back. A transaction on another kind of database than this site's is refused.
    pub async fn enqueue_in<J: Job>(&self, tx: &mut impl ForeignTx, job: &J) -> Result<JobId, EnqueueError> {
        let envelope = self.0.envelope_of(job, EnqueueOptions::new())?;
        let id = envelope.id;
        self.put(tx, envelope).await?;
        Ok(id)
    }

    /// The same with options; `None` = nothing was added, because the id or key is known, or an unfinished job holds the
    /// unique key. (Inside a transaction of yours the first job always wins.)
    ///
    /// # Errors
    /// As [`Self::enqueue_in`].
    pub async fn enqueue_in_with<J: Job>(
        &self,
        tx: &mut impl ForeignTx,
        job: &J,
        options: EnqueueOptions,
    ) -> Result<Option<JobId>, EnqueueError> {
        self.put(tx, self.0.envelope_of(job, options)?).await
    }

    /// The same for envelopes that are made by hand ([`backshift_core::Client::envelope`]); one answer each.
    ///
    /// # Errors
    /// As [`Self::enqueue_in`]; the first one ends the call.
    pub async fn enqueue_many_in(
        &self,
        tx: &mut impl ForeignTx,
        batch: Vec<Envelope>,
    ) -> Result<Vec<Option<JobId>>, EnqueueError> {
        let mut answers = Vec::with_capacity(batch.len());
        for envelope in batch {
            answers.push(self.put(tx, envelope).await?);
        }
        Ok(answers)
    }

    /// [`Self::enqueue_in_with`] for a transaction of rusqlite, which is synchronous: pass `&tx`. Middleware is asynchronous
    /// and takes no part.
    ///
    /// # Errors
    /// As [`Self::enqueue_in`].
    #[cfg(feature = "embedded")]
    pub fn enqueue_in_rusqlite<J: Job>(
        &self,
        tx: &rusqlite::Connection,
        job: &J,
        options: EnqueueOptions,
    ) -> Result<Option<JobId>, EnqueueError> {
        let envelope = self.0.envelope_of(job, options)?;
        self.0.check(&envelope)?;
        let added = foreign::enqueue_with(tx, self.place(), std::slice::from_ref(&envelope))?;
        Ok((added > 0).then_some(envelope.id))
    }

    async fn put<T: ForeignTx>(&self, tx: &mut T, envelope: Envelope) -> Result<Option<JobId>, EnqueueError> {
        let carrier = Carrier { tx: Mutex::new(tx), place: self.place() };
        match self.0.enqueue_through(envelope, &carrier).await? {
            Accepted::New(id) => Ok(Some(id)),
            Accepted::Known { .. } | Accepted::Unique(_) => Ok(None),
        }
    }

    fn place(&self) -> BrokerName {
        BrokerName::of(self.0.broker().as_ref())
    }
}

/// A transaction as the end of the enqueue chain. Nobody else asks for the lock.
struct Carrier<'t, T> {
    tx: Mutex<&'t mut T>,
    place: BrokerName,
}

impl<T: ForeignTx> Taker for Carrier<'_, T> {
    fn take(&self, envelope: Envelope) -> Boxed<'_, Result<Accepted, EnqueueError>> {
        Box::pin(async move {
            let mut tx = self.tx.lock().await;
            let added = foreign::enqueue_in(&mut **tx, self.place, std::slice::from_ref(&envelope)).await?;
            Ok(match (added, envelope.unique) {
                (0, Some(_)) => Accepted::Unique(envelope.id),
                (0, None) => Accepted::Known { id: envelope.id, same_payload: true },
                _ => Accepted::New(envelope.id),
            })
        })
    }
}

impl Deref for Client {
    type Target = backshift_core::Client;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl From<backshift_core::Client> for Client {
    fn from(client: backshift_core::Client) -> Self {
        Self(client)
    }
}

impl From<Client> for backshift_core::Client {
    fn from(client: Client) -> Self {
        client.0
    }
}
