//! An effect in your own database that happens once: it commits together with the job's completion.
//!
//! However often the job is delivered, and even if this worker was presumed dead meanwhile, the row is written once.

use backshift::{
    Backshift, Handler, Job, JobContext, JobResult, Registry, finish_in, stop_signal,
    store::{Database, StoreError},
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Credit {
    account: String,
    cents: i64,
}

impl Job for Credit {
    const KIND: &'static str = "account.credit";
}

struct Crediter(Database);

impl Handler<Credit> for Crediter {
    async fn handle(&self, job: Credit, context: JobContext) -> JobResult {
        let mut tx = self.0.begin().await?;
        let text = "UPDATE accounts SET cents = cents + $1 WHERE name = $2";
        tx.sql(text).bind(job.cents).bind(job.account.as_str()).run().await?;
        finish_in(&mut tx, &context).await?; // refused when somebody else holds the job by now
        tx.commit().await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let site = Backshift::embedded("jobs.db").await?;
    make_account(site.database()).await?;
    site.client().enqueue(&Credit { account: "anna".into(), cents: 500 }).await?;
    let worker =
        site.worker(Registry::default().with(Crediter(site.database().clone()))).pool("default", 10)?;
    worker.run(stop_signal()).await?;
    Ok(())
}

async fn make_account(database: &Database) -> Result<(), StoreError> {
    database
        .sql("CREATE TABLE IF NOT EXISTS accounts (name TEXT PRIMARY KEY, cents BIGINT NOT NULL)")
        .run()
        .await?;
    database
        .sql("INSERT INTO accounts (name, cents) VALUES ('anna', 0) ON CONFLICT DO NOTHING")
        .run()
        .await?;
    Ok(())
}
