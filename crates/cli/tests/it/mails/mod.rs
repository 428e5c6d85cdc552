//! Persistent mails through two workers while workers are killed and the broker is killed and started again: every
//! mail exactly once at the mail server, except those that are flagged ambiguous.
//!
//! `BACKSHIFT_SURVIVE_MAILS` says how many, 300 when it is not set; `cargo xtask survive mails` runs 10,000. Half of
//! the mails carry a message-id, the other half are as system C's producer writes them: the delivery is the identity.

mod account;
mod dead_server;
mod fleet;
mod ledger;
mod plan;
mod producer;
mod stage;

use plan::Plan;
use stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mail_comes_once_while_workers_and_the_broker_are_killed() {
    let wanted = std::env::var("BACKSHIFT_SURVIVE_MAILS").ok();
    let mails = wanted.map_or(300, |text| text.parse().expect("BACKSHIFT_SURVIVE_MAILS is a number"));
    let Some(stage) = Stage::open().await else { return };
    let account = stage.run(&Plan::of(mails)).await;
    println!("{account}");
    assert!(account.holds(), "{account}\n{}", account.outputs);
}
