//! A test that ends does not wait for its database to be dropped.
//!
//! PostgreSQL drops no database before every backend of the server has answered it, and one that stands in the middle
//! of a result which nobody reads does not answer. When the reader is another task of the thread that waits for the
//! drop, the two wait for each other for ever.

use std::time::Duration;

use backshift_testkit::{
    pace, reaper,
    servers::{TestDatabase, require},
    wait::{self, PATIENCE},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_postgres::{NoTls, SimpleQueryMessage};
use url::Url;

/// A session in the server's own database that asks for more than the buffers between us hold, and reads nothing.
async fn who_does_not_read(url: &Url, mark: &str) -> TcpStream {
    let at = (url.host_str().unwrap(), url.port().unwrap_or(5432));
    let mut stream = TcpStream::connect(at).await.unwrap();
    let names = format!("user\0{}\0database\0{}\0\0", url.username(), url.path().trim_start_matches('/'));
    let mut startup = u32::try_from(8 + names.len()).unwrap().to_be_bytes().to_vec();
    startup.extend(196_608_u32.to_be_bytes());
    startup.extend(names.as_bytes());
    stream.write_all(&startup).await.unwrap();
    // Up to ReadyForQuery: its last byte says that the session is idle.
    let mut said = Vec::new();
    while !said.ends_with(b"Z\0\0\0\x05I") {
        assert_ne!(stream.read_buf(&mut said).await.unwrap(), 0, "{}", String::from_utf8_lossy(&said));
    }
    // One row: between two rows a backend would answer the others.
    let question = format!("SELECT '{mark}', repeat('x', 60000000)\0");
    let mut query = vec![b'Q'];
    query.extend(u32::try_from(4 + question.len()).unwrap().to_be_bytes());
    query.extend(question.as_bytes());
    stream.write_all(&query).await.unwrap();
    stream
}

/// The first column of the first row.
async fn asked(url: &str, question: &str) -> Option<String> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let rows = client.simple_query(question).await.unwrap();
    connection.abort();
    rows.iter().find_map(|row| match row {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}

#[tokio::test]
async fn a_test_does_not_wait_for_its_database_to_be_dropped() {
    let Some(server) = require("POSTGRES_URL") else { return };
    let Some(database) = TestDatabase::create().await else { return };
    let name = database.name().to_owned();
    let mut unread = who_does_not_read(&Url::parse(&server).unwrap(), &name).await;
    let stands = format!(
        "SELECT pid FROM pg_stat_activity WHERE wait_event = 'ClientWrite' AND query LIKE 'SELECT ''{name}''%'"
    );
    let stands = wait::until(PATIENCE, || async { asked(&server, &stands).await.is_some() });
    assert!(stands.await, "nobody stands in the middle of a result");

    let dropped = tokio::task::spawn_blocking(move || drop(database));
    let at_once = wait::within(Duration::from_secs(5), dropped).await;
    assert!(at_once.is_some(), "the end of a test waits for its database");

    // The reader comes to reading, and the database goes.
    let mut sink = vec![0; 1 << 20];
    let reading =
        tokio::spawn(async move { while unread.read(&mut sink).await.is_ok_and(|read| read > 0) {} });
    let exists = format!("SELECT 1 FROM pg_database WHERE datname = '{name}'");
    let gone = wait::until(PATIENCE * 3, || async { asked(&server, &exists).await.is_none() });
    assert!(gone.await, "the database stays behind");
    reading.abort();
    assert!(tokio::task::spawn_blocking(|| reaper::finish(pace::stretched(PATIENCE * 3))).await.unwrap());
}
