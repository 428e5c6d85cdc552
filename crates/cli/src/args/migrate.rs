//! What `backshift migrate` is told. A line is named as the store names it, so that no list of names stands here.

use clap::{Args, Subcommand};

use super::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum Migrate {
    /// Bring the tables up to this version: the engine's, those of domains that are switched on, and what is there already.
    Up(MigrateUp),
    /// Say which migrations are in place.
    Status(Output),
    /// Print the SQL of every migration.
    Sql {
        /// postgres or sqlite.
        #[arg(long, default_value = "postgres", value_parser = ["postgres", "sqlite"])]
        dialect: String,
        /// Also the tables of this domain; repeat for more.
        #[arg(long = "line", value_name = "LINE", value_parser = crate::wiring::names())]
        lines: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct MigrateUp {
    /// Also the tables of this domain, whether it is switched on here or not; repeat for more.
    #[arg(long = "line", value_name = "LINE", value_parser = crate::wiring::names())]
    pub(crate) lines: Vec<String>,
    /// Change nothing: list the tables that would be made, and every column that a table of another program would gain.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}
