//! What must hold for every input of every decoder: one function a target, called by the fuzzers of `fuzz/` and, with
//! the committed corpus, by an ordinary test.
//!
//! A target asserts what the decoder promises, not only that it does not panic: what is written is read again, nothing
//! leaves its line, nothing secret is repeated, everything has a bound, and what it takes grows with the input alone.

mod configuration;
pub mod cost;
mod cron;
mod email_data;
mod envelope;
mod filter;
mod log_line;
mod page;
mod smtp_reply;
mod template;

pub use configuration::configuration;
pub use cron::cron;
pub use email_data::email_data;
pub use envelope::envelope;
pub use filter::filter;
pub use page::page;
pub use smtp_reply::smtp_reply;
pub use template::template;

/// The body of a target: takes any bytes, panics when a promise is broken.
pub type Target = fn(&[u8]);

/// Every target by the name of its fuzzer and of its corpus.
pub const TARGETS: [(&str, Target); 8] = [
    ("configuration", configuration),
    ("cron", cron),
    ("email_data", email_data),
    ("envelope", envelope),
    ("filter", filter),
    ("page", page),
    ("smtp_reply", smtp_reply),
    ("template", template),
];
