//! What a domain adds to the pages: templates, rooms in the rail, routes, and what it knows of a job.
//!
//! A section's routes are behind the same guards as every page, and where nothing may be changed its forms are refused too.
//! A handler takes [`Here`](super::Here) for the pages and an [`Extension`](axum::Extension) for what is its own.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use backshift_core::JobId;

use super::Pages;

/// A page that is offered by name: in the rail, or at the top of pages that stand alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What is written there.
    pub name: &'static str,
    /// Where it is, with a slash before it and without the base path.
    pub href: &'static str,
}

/// What a section shows of one job, among the facts on that job's page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// What it is: `Mail`.
    pub name: &'static str,
    /// Which one, from outside: it is masked and escaped where it is shown.
    pub text: String,
    /// Where more of it is, with a slash before it and without the base path; every part went through
    /// [`link::encode`](super::link::encode).
    pub href: String,
}

/// The pages of one domain.
#[async_trait]
pub trait Section: Send + Sync + 'static {
    /// Templates by file name. `frame.html` gives a page the rail, `door.html` lets it stand alone.
    fn templates(&self) -> &'static [(&'static str, &'static str)];

    /// Its rooms in the rail.
    fn rooms(&self) -> &'static [Room];

    /// What pages that stand alone offer at their top.
    fn doors(&self) -> &'static [Room] {
        &[]
    }

    /// Whether `/` is one of its routes; else `/` leads to the overview.
    fn has_front(&self) -> bool {
        false
    }

    /// Its routes.
    fn router(self: Arc<Self>) -> Router<Pages>;

    /// The number beside its first room. Asked with every look at the store, so it must be cheap.
    async fn count(&self) -> Option<u64> {
        None
    }

    /// What this job left behind here.
    async fn trace(&self, _job: JobId) -> Option<Trace> {
        None
    }
}

/// Templates of a domain by file name, read from its folder when the program is built: `templates!["a.html"]` looks
/// into `templates/` beside the file that calls it.
#[macro_export]
macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("templates/", $name)))),*]
    };
}
