//! Workers: pools, schedules, limits, middleware, ends.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use backshift::{
    Accepted, Backshift, BreakerPolicy, Client, EnqueueError, EnqueueMiddleware, Envelope, JobContext,
    JobFilter, JobResult, Middleware, Missed, Next, NextEnqueue, OpenError, Overlap, Page, Rate, Registry,
    Schedule, Shift, State, stop_signal,
};

use crate::{
    enqueue::{embedded, pool_of},
    jobs::{Biller, BillingApi, Credit, Crediter, Delivery, Export, Invoice, Report, deliver, export},
};

/// Compiled and not run: it ends with a signal.
#[allow(dead_code)]
async fn working(site: Backshift, api: BillingApi) -> Result<(), OpenError> {
    let registry = Registry::default().with(Biller { api }).with(export).with(deliver);
    let worker = site.worker(registry).pool("default", 10)?.pool("invoices", 2)?;
    worker.run(stop_signal()).await?;
    Ok(())
}

fn by_the_calendar(worker: Shift) -> Result<Shift, Box<dyn Error>> {
    let nightly = Schedule::of("nightly-report", "0 3 * * *", &Report { days: 1 })?
        .zone("Europe/Berlin")?
        .missed(Missed::RunOnce)
        .overlap(Overlap::Skip);
    let worker = worker.cron(nightly);
    Ok(worker)
}

fn sparing(worker: Shift) -> Shift {
    let worker = worker
        .breaker(BreakerPolicy::default()) // for kinds with JobOptions::dependency
        .limit(Rate::per_second(10), |job: &Delivery| job.customer.clone())
        .places(2, |job: &Delivery| job.customer.clone()); // two at once for each customer
    worker
}

struct Timed;

impl Middleware for Timed {
    async fn around(&self, context: JobContext, next: Next<'_>) -> JobResult {
        let (kind, begin) = (context.kind().clone(), Instant::now());
        let result = next.run(context).await;
        println!("{kind}: {:?}", begin.elapsed());
        result
    }
}

struct Origin;

impl EnqueueMiddleware for Origin {
    async fn around(&self, mut job: Envelope, next: NextEnqueue<'_>) -> Result<Accepted, EnqueueError> {
        job.headers.insert("origin".into(), "shop".into());
        next.run(job).await
    }
}

fn with_middleware(site: &Backshift, registry: Registry) -> (Client, Shift) {
    let client = site.client().with_middleware(Origin);
    let worker = site.worker(registry).middleware(Timed);
    (client, worker)
}

#[tokio::test]
async fn jobs_pass_middleware_and_limits_and_their_ends_are_heard() -> Result<(), Box<dyn Error>> {
    let (_place, path, site) = embedded().await;
    let (pool, api) = (pool_of(&path).await, BillingApi::fake());
    sqlx::query("CREATE TABLE accounts (name TEXT PRIMARY KEY, cents BIGINT)").execute(&pool).await?;
    sqlx::query("INSERT INTO accounts VALUES ('ada', 0)").execute(&pool).await?;
    let registry = Registry::default()
        .with(Biller { api })
        .with(export)
        .with(deliver)
        .with(Crediter { pool: pool.clone() });
    let (client, worker) = with_middleware(&site, registry);
    let worker = sparing(by_the_calendar(worker)?).pool("default", 10)?.pool("invoices", 2)?;
    let hearing = tokio::spawn(hear(client.clone()));

    let mut ids = vec![
        client.enqueue(&Invoice { order: 7, copies: 1 }).await?,
        client.enqueue(&Export { tables: 3 }).await?,
        client.enqueue(&Delivery::to("https://shop.example")).await?,
        client.enqueue(&Credit { account: "ada".into(), cents: 5 }).await?,
    ];
    let gone = client.enqueue(&Delivery::to("https://gone.example")).await?;
    ids.push(gone);
    let all = async {
        for id in &ids {
            ended(&client, *id).await.unwrap();
        }
    };
    worker.run(all).await?;

    let cents: i64 = sqlx::query_scalar("SELECT cents FROM accounts").fetch_one(&pool).await?;
    assert_eq!(cents, 5);
    let invoice = client.wait(ids[0]).await?;
    assert_eq!(invoice.headers["origin"], "shop");
    assert_eq!(invoice.output.unwrap(), format!("7 as {}", ids[0]));
    assert_eq!(client.wait(gone).await?.state, State::Dead);
    hearing.abort();

    again(&site).await?;
    assert_eq!(site.store().find(gone).await?.unwrap().state, State::Available);
    Ok(())
}

async fn ended(client: &Client, id: backshift::JobId) -> Result<(), Box<dyn Error>> {
    let job = tokio::time::timeout(Duration::from_secs(30), client.wait(id)).await??;
    match job.state {
        State::Completed => println!("{:?}", job.output),
        State::Dead => println!("{:?}", job.error),
        _ => println!("cancelled"),
    }
    Ok(())
}

/// Runs until it is aborted; that every end is heard is counted in `tests/it`.
async fn hear(client: Client) {
    let mut ends = client.ends();
    while let Some(end) = ends.next().await {
        println!("{} {}: {}", end.kind, end.id, end.state.as_str());
    }
}

async fn again(site: &Backshift) -> Result<(), Box<dyn Error>> {
    let store = site.store();
    let dead = JobFilter { state: Some(State::Dead), ..JobFilter::default() };
    for job in store.list(&dead, &Page::default()).await? {
        store.retry(job.id).await?;
    }
    Ok(())
}

/// Compiled and not run: it needs servers.
#[allow(dead_code)]
async fn in_production(database_url: String) -> Result<Backshift, OpenError> {
    let site = match std::env::var("RABBITMQ_URL") {
        Ok(rabbit) => Backshift::open(&rabbit, Some(&database_url)).await?,
        Err(_) => Backshift::open(&database_url, None).await?,
    };
    Ok(site)
}

/// Compiled and not run: it ends with a signal.
#[allow(dead_code)]
async fn with_axum(
    site: Backshift,
    registry: Registry,
    routes: axum::Router,
    listener: tokio::net::TcpListener,
) -> Result<(), Box<dyn Error>> {
    let server = axum::serve(listener, routes).with_graceful_shutdown(stop_signal());
    let worker = site.worker(registry).pool("default", 10)?;
    let (served, drained) = tokio::join!(server, worker.run(stop_signal()));
    served?;
    drained?;
    Ok(())
}
