//! `jobs explain`: why a job does not run, and what changes that.

use backshift_core::Store;
use backshift_http::pages::told::JobTold;
use serde_json::json;

use super::id;
use crate::{
    commands::causes::{self, because, told_of, verdict},
    config::Config,
    exit::Failure,
    output,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The job.
    id: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Explains it.
pub(super) async fn run(args: &Args, config: &Config, store: &dyn Store) -> Result<(), Failure> {
    let JobTold { job, told, word, .. } = told_of(id(&args.id)?, config, store).await?;
    if args.json {
        let mut value = causes::json(&told);
        value["id"] = json!(job.id.to_string());
        value["kind"] = json!(job.kind.as_str());
        value["queue"] = json!(job.queue.as_str());
        value["state"] = json!(job.state.as_str());
        output::json(&value);
    } else {
        output::line(&told.headline);
        output::line(format!("  {}  {word}, queue {} on {}", job.id, job.queue, job.broker));
        because(&told);
    }
    verdict(&told)
}
