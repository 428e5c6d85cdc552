//! Rounds: every arm once, forwards and backwards in turn, so that a machine that slows down slows all of them.

use anyhow::Result;

use super::{
    Bench, Outcome, Plan, Sample,
    outcome::{ArmOutcome, RowOutcome},
};

/// Measures all arms in each round and judges the rows.
pub(crate) async fn run(bench: &Bench, plan: &Plan) -> Result<Outcome> {
    let mut arms = (bench.arms)(plan.scale).await?;
    arms.retain(|arm| plan.only.is_empty() || plan.only.iter().any(|name| name == arm.name()));
    let mut measured: Vec<Vec<Option<Sample>>> = arms.iter().map(|_| Vec::new()).collect();
    for round in 0..plan.rounds {
        let forwards = round % 2 == 0;
        for turn in 0..arms.len() {
            let at = if forwards { turn } else { arms.len() - 1 - turn };
            let arm = &mut arms[at];
            let sample = arm.measure(plan.scale).await;
            match &sample {
                Ok(sample) => eprintln!("round {} {:<28} {:>12.1}", round + 1, arm.name(), sample.value),
                Err(error) => eprintln!("round {} {:<28} no result: {error:#}", round + 1, arm.name()),
            }
            measured[at].push(sample.ok());
        }
    }
    let arms: Vec<ArmOutcome> = arms
        .iter()
        .zip(measured)
        .map(|(arm, samples)| ArmOutcome { name: arm.name().to_owned(), settings: arm.settings(), samples })
        .collect();
    let rows = bench.rows.iter().map(|row| RowOutcome::judge(row, &arms)).collect();
    Ok(Outcome::new(bench.name, plan, arms, rows))
}
