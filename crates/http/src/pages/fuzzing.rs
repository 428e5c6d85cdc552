//! What the pages make of a query and of a payload, without a store: for the fuzz targets.
//!
//! Only behind the feature `fuzzing`. Nothing here decides anything; it hands through to the private pieces.

use axum::{extract::Query, http::Uri};
use backshift_core::{JobFilter, Timestamp};

use super::{jobs, link, mask, search};

/// A query of the list of jobs as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// What is listed.
    pub filter: JobFilter,
    /// What the page says about words that are no filter.
    pub problem: Option<String>,
    /// The headline.
    pub sentence: String,
    /// The same list on the command line; `None` where the page shows none.
    pub command: Option<String>,
    /// The way back to the same list, as it stands in an attribute.
    pub link: String,
}

/// Reads `GET /jobs?…`; `None` = the query string is refused.
pub fn jobs(query: &str) -> Option<Asked> {
    let uri: Uri = format!("/jobs?{query}").parse().ok()?;
    let Query(asked) = Query::<search::JobsQuery>::try_from_uri(&uri).ok()?;
    // A time that is so long ago is counted from the same moment whenever it is read.
    let search::Search { filter, problem, .. } = search::read(&asked, Timestamp::UNIX_EPOCH);
    let (sentence, command) = (jobs::sentence(&filter, 1), jobs::command("jobs list", &filter));
    let link = link::jobs(&[("state", &asked.state), ("find", &asked.find), ("after", &asked.after)]);
    Some(Asked { filter, problem, sentence, command, link: link.to_string() })
}

/// A word as the field of the list reads it back.
pub fn quoted(word: &str) -> String {
    search::quoted(word)
}

/// A text as one part of an address.
pub fn encoded(text: &str) -> String {
    link::encode(text)
}

/// A payload as a page shows it to everybody.
pub fn payload(bytes: &[u8]) -> String {
    mask::payload(bytes, mask::Shown::Masked)
}

/// Words of the other side as a page shows them.
pub fn said(text: &str, most: usize) -> String {
    mask::said(text, most)
}
