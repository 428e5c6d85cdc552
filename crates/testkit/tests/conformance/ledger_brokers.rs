//! The harnesses of the SQL brokers: their queue is the store's table, each case has a database of its own.
//!
//! A process that dies settles nothing on its way out, so what it held is forgotten and not dropped.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use backshift_brokers::{embedded, postgres};
use backshift_core::{Broker, Store};
use backshift_store::SqlStore;
use backshift_testkit::{
    conformance::{BrokerHarness, Corpse, EngineHarness, EngineParts, Namespace, StoreHarness},
    proxy::Proxy,
};

use crate::stores::{PostgresStores, fresh_file, open};

/// The embedded broker on SQLite.
#[derive(Clone)]
pub(crate) struct Embedded;

/// The PostgreSQL broker.
#[derive(Clone)]
pub(crate) struct Postgres(pub(crate) PostgresStores);

#[async_trait]
impl BrokerHarness for Embedded {
    fn name(&self) -> String {
        "embedded".into()
    }

    async fn namespace(&self) -> Result<Arc<dyn Namespace>, String> {
        let (directory, url) = fresh_file().await?;
        Ok(Arc::new(Space { store: open(&url)?, url, proxy: None, _guard: Box::new(directory) }))
    }
}

#[async_trait]
impl EngineHarness for Embedded {
    fn name(&self) -> String {
        "embedded".into()
    }

    async fn parts(&self) -> Result<EngineParts, String> {
        parts(self.namespace().await?)
    }
}

#[async_trait]
impl BrokerHarness for Postgres {
    fn name(&self) -> String {
        StoreHarness::name(&self.0)
    }

    async fn namespace(&self) -> Result<Arc<dyn Namespace>, String> {
        let (database, direct) = self.0.fresh().await;
        // The processes pass the proxy; the store that tends and looks does not.
        let (proxy, url) = Proxy::before(&direct).await;
        Ok(Arc::new(Space { store: open(&direct)?, url, proxy: Some(proxy), _guard: Box::new(database) }))
    }

    fn lease(&self) -> Duration {
        StoreHarness::lease(&self.0)
    }
}

#[async_trait]
impl EngineHarness for Postgres {
    fn name(&self) -> String {
        StoreHarness::name(&self.0)
    }

    async fn parts(&self) -> Result<EngineParts, String> {
        parts(self.namespace().await?)
    }

    fn hints(&self) -> bool {
        !StoreHarness::name(&self.0).ends_with("pooled")
    }

    fn lease(&self) -> Duration {
        StoreHarness::lease(&self.0)
    }
}

fn parts(namespace: Arc<dyn Namespace>) -> Result<EngineParts, String> {
    let store = namespace.store().ok_or("a SQL broker shares its store")?;
    Ok(EngineParts { namespace, store, guard: Box::new(()) })
}

struct Space {
    store: SqlStore,
    url: String,
    proxy: Option<Proxy>,
    _guard: Box<dyn Send + Sync>,
}

#[async_trait]
impl Namespace for Space {
    async fn connect(&self) -> Result<Arc<dyn Broker>, String> {
        let store = open(&self.url)?;
        let broker = match self.proxy {
            Some(_) => postgres::broker(store),
            None => embedded::broker(store),
        };
        Ok(Arc::new(broker.map_err(|error| error.to_string())?))
    }

    fn store(&self) -> Option<Arc<dyn Store>> {
        Some(Arc::new(self.store.clone()))
    }

    async fn crash(&self, corpse: Corpse) -> Result<(), String> {
        std::mem::forget(corpse);
        Ok(())
    }

    async fn cut_connections(&self) -> Result<bool, String> {
        self.proxy.iter().for_each(Proxy::cut);
        Ok(self.proxy.is_some())
    }
}
