//! The pages of the domains, as `dev` shows them beside those of the jobs.

mod customers;
mod dev;
#[path = "../../../../http/tests/it/pages/house.rs"]
#[expect(dead_code, reason = "the tests of the pages themselves use the rest")]
mod house;
mod mailbox;
mod shown;
