//! Jobs and their handlers.

use std::time::Duration;

use backshift::{Handler, Job, JobContext, JobError, JobOptions, JobResult, finish_in};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Invoice {
    pub order: u64,
    #[serde(default)]
    pub copies: u32, // a field that was added later: jobs that wait already have none
}

impl Job for Invoice {
    const KIND: &'static str = "invoice.send";
    const QUEUE: &'static str = "invoices"; // "default" unless it says so

    fn options() -> JobOptions {
        JobOptions::new().max_attempts(8).timeout(Duration::from_secs(60))
    }
}

#[derive(Clone)]
pub struct BillingApi;

impl BillingApi {
    pub fn fake() -> Self {
        Self
    }

    async fn charge(&self, order: u64, request: &str) -> std::io::Result<String> {
        Ok(format!("{order} as {request}"))
    }
}

pub struct Biller {
    pub api: BillingApi,
}

impl Handler<Invoice> for Biller {
    async fn handle(&self, job: Invoice, context: JobContext) -> JobResult {
        // The job's id is the same at every attempt: the other side recognises a repeat by it.
        let receipt = self.api.charge(job.order, &context.id().to_string()).await?;
        context.output(receipt); // kept with the job
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
pub struct Export {
    pub tables: u32,
}

impl Job for Export {
    const KIND: &'static str = "export";
}

async fn copy(table: u32) -> anyhow::Result<()> {
    anyhow::ensure!(table < 1_000_000, "no table {table}");
    Ok(())
}

pub async fn export(job: Export, context: JobContext) -> JobResult {
    for table in 0..job.tables {
        if context.is_cancelled() {
            return Err(JobError::retry("told to stop"));
        }
        context.progress((table * 100 / job.tables) as u8, format!("table {table}"));
        copy(table).await?;
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
pub struct Delivery {
    pub url: String,
    pub customer: String,
}

impl Delivery {
    pub fn to(url: &str) -> Self {
        Self { url: url.into(), customer: "shop".into() }
    }
}

impl Job for Delivery {
    const KIND: &'static str = "webhook.deliver";

    fn options() -> JobOptions {
        JobOptions::new().dependency("webhooks")
    }
}

struct Answer {
    status: u16,
    retry_after: Option<Duration>,
}

async fn post(url: &str) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let status = match url {
        url if url.contains("gone") => 410,
        url if url.contains("busy") => 429,
        url if url.contains("broken") => 500,
        url if url.contains("nowhere") => return Err("no such host".into()),
        _ => 200,
    };
    Ok(Answer { status, retry_after: Some(Duration::from_secs(60)) })
}

pub async fn deliver(job: Delivery, _: JobContext) -> JobResult {
    let answer = post(&job.url).await?;
    match answer.status {
        200..300 => Ok(()),
        404 | 410 => Err(JobError::permanent(format!("{} is gone", job.url))),
        429 => Err(JobError::throttled(answer.retry_after, "too many requests")),
        status => Err(JobError::retry(format!("answered {status}"))),
    }
}

#[derive(Serialize, Deserialize)]
pub struct Report {
    pub days: u32,
}

impl Job for Report {
    const KIND: &'static str = "report";
}

#[derive(Serialize, Deserialize)]
pub struct Credit {
    pub account: String,
    pub cents: i64,
}

impl Job for Credit {
    const KIND: &'static str = "account.credit";
}

pub struct Crediter {
    pub pool: sqlx::SqlitePool,
}

impl Handler<Credit> for Crediter {
    async fn handle(&self, job: Credit, context: JobContext) -> JobResult {
        let mut tx = self.pool.begin().await?;
        sqlx::query("UPDATE accounts SET cents = cents + $1 WHERE name = $2")
            .bind(job.cents)
            .bind(&job.account)
            .execute(&mut *tx)
            .await?;
        finish_in(&mut tx, &context).await?;
        tx.commit().await?;
        Ok(())
    }
}
