//! Every planted fault breaks the rule that it names, and the honest model keeps that rule.

use backshift_testkit::{
    conformance::{self, MemoryHarness, Plan},
    faults::{BrokerFault, FaultyBrokers, FaultyStores, StoreFault},
};
use futures::{StreamExt, stream};

fn only(rule: &str) -> Plan {
    Plan { only: vec![format!("::{rule}_")], ..Plan::default() }
}

fn ground(fault: BrokerFault) -> MemoryHarness {
    if fault.needs_capable_broker() { MemoryHarness::Ledger } else { MemoryHarness::Foreign }
}

async fn broker_verdicts(fault: BrokerFault) -> (String, Option<&'static str>, Option<&'static str>) {
    let (rule, honest) = (fault.breaks(), ground(fault));
    let good = conformance::broker_suite(honest, &only(rule)).await;
    let bad = conformance::broker_suite(FaultyBrokers { honest, fault }, &only(rule)).await;
    (format!("{fault:?} breaks {rule}"), good.result(rule), bad.result(rule))
}

async fn store_verdicts(fault: StoreFault) -> (String, Option<&'static str>, Option<&'static str>) {
    let (rule, honest) = (fault.breaks(), MemoryHarness::Ledger);
    let good = conformance::store_suite(honest, &only(rule)).await;
    let bad = conformance::store_suite(FaultyStores { honest, fault }, &only(rule)).await;
    (format!("{fault:?} breaks {rule}"), good.result(rule), bad.result(rule))
}

fn judge(verdicts: Vec<(String, Option<&str>, Option<&str>)>) {
    let mut wrong = Vec::new();
    for (fault, honest, planted) in verdicts {
        println!("{fault:<36} honest: {:<24} planted: {}", honest.unwrap_or("-"), planted.unwrap_or("-"));
        if !matches!(honest, Some("pass" | "unsupported-as-declared")) || planted != Some("fail") {
            wrong.push(fault);
        }
    }
    assert!(wrong.is_empty(), "not caught, or the honest model fails too: {wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_a_broker_breaks_its_rule() {
    judge(stream::iter(BrokerFault::ALL).map(broker_verdicts).buffered(8).collect().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_a_store_breaks_its_rule() {
    judge(stream::iter(StoreFault::ALL).map(store_verdicts).buffered(8).collect().await);
}
