//! The mailbox of `backshift dev`: a `Mailer` that stores each message as an `.eml` file, and the side that reads
//! them for a page.
//!
//! File names begin with the time, so sorted names are sorted mails; an id is a file name and is checked as one.

mod directory;
mod view;

pub use directory::DevMailbox;
pub use view::{StoredFile, StoredMail, StoredSummary};
