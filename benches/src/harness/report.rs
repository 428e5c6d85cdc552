//! `docs/benchmarks.md`, made of the JSON files of the last runs. The file is never edited by hand.

use std::{fmt::Write, fs, path::Path};

use anyhow::{Context, Result};

use super::{Bench, Goal, Outcome};

const INTRODUCTION: &str = "\
# Benchmarks

Made by `cargo xtask bench report` from `benches/results/*.json`; do not edit. Each ratio is ours by theirs inside one
round on the same servers; the table shows the median and all rounds. Absolute figures depend on the machine and are
not promises. *Reached* = the median reaches the goal and the second-worst round nine tenths of it. CPU is processor
seconds per 1,000 jobs. How each arm works: the programs in `benches/src/` are meant to be read.
";

/// Prints the page to standard output.
pub(crate) fn report(results: Option<&Path>, benches: &[Bench]) -> Result<()> {
    let folder = results.context("say where the results are: --results FOLDER")?;
    let mut page = INTRODUCTION.to_owned();
    for bench in benches {
        let Ok(text) = fs::read_to_string(folder.join(format!("{}.json", bench.name))) else { continue };
        let outcome: Outcome = serde_json::from_str(&text).context("a result is of another version")?;
        section(&mut page, bench, &outcome)?;
    }
    print!("{page}");
    Ok(())
}

fn section(page: &mut String, bench: &Bench, outcome: &Outcome) -> Result<()> {
    writeln!(
        page,
        "\n## {}\n\n{} ({}, {}, {} rounds)\n",
        bench.name, bench.about, outcome.date, outcome.machine, outcome.rounds
    )?;
    writeln!(page, "| row | what | goal | median | rounds | |\n|---|---|---|---|---|---|")?;
    for (row, judged) in bench.rows.iter().zip(&outcome.rows) {
        let goal = match row.goal {
            Goal::AtLeast(goal) => format!("≥ {goal}"),
            Goal::AtMost(goal) => format!("≤ {goal}"),
            Goal::Reported => "–".to_owned(),
        };
        let median = judged.median.map_or("no result".to_owned(), |median| format!("**{median:.2}**"));
        let all: Vec<String> = judged.ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
        let verdict = match judged.reached {
            Some(true) => "reached",
            Some(false) => "not reached",
            None => "",
        };
        writeln!(page, "| {} | {} | {goal} | {median} | {} | {verdict} |", row.id, row.what, all.join(" "))?;
    }
    writeln!(
        page,
        "\n| arm | median | spread | client CPU | server CPU | settings |\n|---|---|---|---|---|---|"
    )?;
    for arm in &outcome.arms {
        let shown = |value: Option<f64>, digits: usize| {
            value.map_or("–".to_owned(), |value| format!("{value:.digits$}"))
        };
        writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} |",
            arm.name,
            shown(arm.median(|sample| Some(sample.value)), 1),
            shown(arm.spread(), 2),
            shown(arm.median(|sample| Some(sample.client_cpu)), 4),
            shown(arm.median(|sample| sample.server_cpu), 4),
            arm.settings,
        )?;
    }
    Ok(())
}
