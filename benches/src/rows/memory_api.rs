//! The memory of the real API: idle, and after logins one by one and many at once.
//!
//! A login takes 19 MiB of Argon2 in a slot, one slot a core. The goals are for two cores; a machine with more has a slot
//! more for each, at 20 MiB.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use backshift_store::{Database, Options, migrate};
use futures::{FutureExt, future::try_join_all};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use crate::{
    harness::{Arm, Bench, Goal, Row, Sample, Stopwatch, Unit},
    ours::binary::Binary,
    site::postgres::PgSite,
};

/// Logins one by one, and at once.
const LOGINS: (usize, usize) = (200, 64);
const CREDENTIALS: &str = r#"{"email":"bench@example.org","password":"correct horse battery"}"#;

/// Idle, and after logins.
pub(crate) const API: Bench = Bench {
    name: "memory-api",
    about: "Resident memory of `backshift api` with accounts on PostgreSQL.",
    arms: |_| {
        async {
            let arm = |name, logins| Box::new(ApiArm { name, logins }) as Box<dyn Arm>;
            Ok(vec![arm("api idle", false), arm("api logins", true)])
        }
        .boxed()
    },
    rows: &[
        row("RSS-api", "resident after 15 s with nothing to do, MiB", "api idle", 32.0),
        row("RSS-logins", "the most during 200 logins one by one and 64 at once, MiB", "api logins", 64.0),
    ],
};

const fn row(id: &'static str, what: &'static str, ours: &'static str, goal: f64) -> Row {
    Row { id, what, ours, theirs: None, goal: Goal::AtMost(goal) }
}

struct ApiArm {
    name: &'static str,
    logins: bool,
}

#[async_trait]
impl Arm for ApiArm {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        let slots = std::thread::available_parallelism().map_or(1, usize::from);
        format!("PostgreSQL, {slots} hash slots, Argon2id with 19 MiB")
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let folder = tempfile::tempdir_in(std::env::current_exe()?.parent().context("no folder")?)?;
        let site = PgSite::make("memory_api").await?;
        let database = Database::open(&site.url, &Options::default())?;
        migrate::up(&database, &[&migrate::ENGINE]).await?;
        let watch = Stopwatch::start(site.server);
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let variables = [
            ("DATABASE_URL", site.url.clone()),
            ("JWT_SECRET", "a secret of the benches, as long as it".to_owned()),
            ("APP_PORT", port.to_string()),
            ("BACKSHIFT_DATA_DIR", folder.path().display().to_string()),
        ];
        let mut api = Binary::start(folder.path(), &["api"], &variables, None)?;
        ready(&mut api, port).await?;
        let done = match self.logins {
            true => log_in(&database, port, scale).await?,
            false => {
                sleep(Duration::from_secs(15)).await;
                0
            }
        };
        api.lives()?;
        let mebibytes = if self.logins { api.peak()? } else { api.resident()? };
        let sample = watch.figure(done as u64, mebibytes, Unit::Mebibytes);
        api.stop()?;
        database.close().await;
        Ok(sample)
    }
}

/// Makes an account and signs in to it, again and again; how often.
async fn log_in(database: &Database, port: u16, scale: f64) -> Result<usize> {
    let (one_by_one, at_once) = LOGINS;
    let one_by_one = (one_by_one as f64 * scale) as usize;
    ensure!(post(port, "register").await? == 200, "no account could be made");
    database.sql("UPDATE users SET is_active = $1").bind(true).run().await?;
    for _ in 0..one_by_one {
        ensure!(post(port, "login").await? == 200, "a login was refused");
    }
    let answers = try_join_all((0..at_once).map(|_| post(port, "login"))).await?;
    ensure!(answers.iter().all(|status| *status == 200), "of many at once some were refused: {answers:?}");
    Ok(one_by_one + at_once)
}

async fn ready(api: &mut Binary, port: u16) -> Result<()> {
    let began = Instant::now();
    while !ask(port, "GET /readyz", "").await.is_ok_and(|status| status == 200) {
        api.lives()?;
        ensure!(began.elapsed() < Duration::from_secs(30), "the API is not ready: {}", api.log());
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn post(port: u16, route: &str) -> Result<u16> {
    ask(port, &format!("POST /api/v1/authentication/{route}"), CREDENTIALS).await
}

/// The status of one request on a connection of its own.
async fn ask(port: u16, line: &str, body: &str) -> Result<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!(
        "{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let head = String::from_utf8_lossy(&answer);
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")
}
