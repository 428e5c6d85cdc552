//! Every statement text of the store, prepared on both databases.

use backshift_store::{Database, Dialect, Durability, ledger, sqlite::fault};

use crate::world::World;

#[tokio::test]
async fn on_sqlite() {
    let world = World::sqlite().await;
    let Database::Sqlite(file) = world.db() else { panic!("a SQLite database") };
    for text in ledger::statements(Dialect::Sqlite) {
        let asked = text.clone();
        let prepared =
            file.write(Durability::Strict, move |on| on.prepare(&asked).map(drop).map_err(fault)).await;
        prepared.unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
}

#[tokio::test]
async fn on_postgresql() {
    let Some(world) = World::postgres().await else { return };
    let (client, connection) =
        tokio_postgres::connect(&world.place.url, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    for text in ledger::statements(Dialect::Postgres) {
        let prepared = client.prepare(&text).await;
        prepared.unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    }
    driver.abort();
}
