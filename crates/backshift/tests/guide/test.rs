//! Tests as a user writes them.

use std::time::Duration;

use backshift::{
    Client, EnqueueError, EnqueueOptions, JobContext, Reason, Registry, State, Verdict, testing,
};

use crate::jobs::{Biller, BillingApi, Delivery, Export, Invoice, deliver, export};

async fn place_order(client: &Client, order: u64) -> Result<(), EnqueueError> {
    let tomorrow = EnqueueOptions::new().delay(Duration::from_secs(24 * 3600));
    client.enqueue_with(&Invoice { order, copies: 1 }, tomorrow).await?;
    Ok(())
}

#[tokio::test]
async fn a_delivery_to_nowhere_is_never_tried_again() {
    let ran = testing::run_now(&deliver, &Delivery::to("https://gone.example")).await;
    assert!(matches!(ran.result.unwrap_err().verdict(), Verdict::DeadLetter(Reason::Permanent)));
}

#[tokio::test]
async fn an_order_sends_its_invoice_tomorrow() {
    let site = testing::site();
    place_order(&site.client(), 7).await.unwrap(); // your code; takes a &Client

    let invoices = site.enqueued::<Invoice>().await;
    assert_eq!(invoices[0].job, Invoice { order: 7, copies: 1 });

    let handlers = Registry::default().with(Biller { api: BillingApi::fake() });
    assert!(site.drain(&handlers).await.is_empty()); // not yet
    site.clock().advance(Duration::from_secs(24 * 3600));
    let ran = site.drain(&handlers).await;
    assert_eq!(ran[0].state, State::Completed);
}

#[tokio::test]
async fn an_export_stops_when_it_is_told_to() {
    let job = Export { tables: 1000 };
    let context = JobContext::for_test(&job).on_attempt(3);
    context.cancel();
    assert!(testing::run_in(&export, context).await.result.is_err());
}

#[tokio::test]
async fn other_answers_are_other_ends() {
    let of = async |url: &str| testing::run_now(&deliver, &Delivery::to(url)).await.result;
    assert!(of("https://shop.example").await.is_ok());
    let busy = of("https://busy.example").await.unwrap_err();
    assert_eq!(*busy.verdict(), Verdict::Throttled { after: Some(Duration::from_secs(60)) });
    for url in ["https://broken.example", "https://nowhere.example"] {
        assert_eq!(*of(url).await.unwrap_err().verdict(), Verdict::Retry);
    }
}
