//! A web server and its worker in one program: a request writes its row and its job in one transaction, and everything ends
//! gracefully on Ctrl-C or SIGTERM.
//!
//! ```sh
//! cargo run -p backshift --example axum
//! curl -d '{"email":"ada@example.com"}' -H 'content-type: application/json' http://127.0.0.1:3000/accounts
//! ```
//!
//! The pages that show the job are at `http://127.0.0.1:3000/backshift/`.
//!
//! The job is there exactly when the account is: neither a crash between the two nor a rolled back request can part them.

use std::{error::Error, time::Duration};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use backshift::{
    Backshift, Client, Handler, Job, JobContext, JobResult, Registry, WorkerOptions, stop_signal, ui,
};
use serde::{Deserialize, Serialize};
use sqlx::{SqlitePool, sqlite::SqliteConnectOptions};

#[derive(Serialize, Deserialize)]
struct Welcome {
    account: i64,
}

impl Job for Welcome {
    const KIND: &'static str = "mail.welcome";
}

/// A handler owns what it needs.
struct Greeter {
    pool: SqlitePool,
}

impl Handler<Welcome> for Greeter {
    async fn handle(&self, job: Welcome, context: JobContext) -> JobResult {
        let email: String = sqlx::query_scalar("SELECT email FROM accounts WHERE id = ?")
            .bind(job.account)
            .fetch_one(&self.pool)
            .await?; // the database is busy: again later
        println!("welcome, {email} (request {})", context.id());
        Ok(())
    }
}

/// What the routes need.
#[derive(Clone)]
struct App {
    pool: SqlitePool,
    jobs: Client,
}

#[derive(Deserialize)]
struct SignUp {
    email: String,
}

async fn sign_up(State(app): State<App>, Json(form): Json<SignUp>) -> Result<StatusCode, StatusCode> {
    register(&app, &form.email).await.map_err(|error| {
        eprintln!("{error}");
        StatusCode::INTERNAL_SERVER_ERROR
    })?;
    Ok(StatusCode::ACCEPTED)
}

async fn register(app: &App, email: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    // IMMEDIATE: on SQLite a transaction that will write says so at its beginning.
    let mut tx = app.pool.begin_with("BEGIN IMMEDIATE").await?;
    let account =
        sqlx::query("INSERT INTO accounts (email) VALUES (?)").bind(email).execute(&mut *tx).await?;
    app.jobs.enqueue_in(&mut tx, &Welcome { account: account.last_insert_rowid() }).await?;
    tx.commit().await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let site = Backshift::embedded("app.db").await?;
    let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename("app.db")).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS accounts (id INTEGER PRIMARY KEY, email TEXT NOT NULL)")
        .execute(&pool)
        .await?;

    let app = App { pool: pool.clone(), jobs: site.client() };
    // Jobs, queues and workers in a browser. On an address that others reach: `Auth::password` with a name and a password.
    let pages = ui::router(&site, ui::Auth::loopback());
    let routes =
        Router::new().route("/accounts", post(sign_up)).nest_service("/backshift", pages).with_state(app);
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    let server = axum::serve(listener, routes).with_graceful_shutdown(stop_signal());

    let worker = site
        .worker(Registry::default().with(Greeter { pool }))
        .pool("default", 10)?
        .options(WorkerOptions { grace: Duration::from_secs(20), ..WorkerOptions::default() });

    // Both hear the signal: the server ends its requests, the worker its jobs.
    let (served, drained) = tokio::join!(server, worker.run(stop_signal()));
    served?;
    println!("{} jobs went back", drained?.returned);
    site.close().await;
    Ok(())
}
