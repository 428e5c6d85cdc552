//! The code of `docs/guides/library.md`: compiled, run but for what waits for a signal or needs servers, and the same
//! word for word.
//!
//! A block of the guide stands somewhere in these files, indented as it may be; what is around it is the reader's program.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)]

mod enqueue;
mod jobs;
mod test;
mod work;

const GUIDE: &str = include_str!("../../../../docs/guides/library.md");
const PROGRAMS: [&str; 5] = [
    include_str!("jobs.rs"),
    include_str!("enqueue.rs"),
    include_str!("work.rs"),
    include_str!("test.rs"),
    include_str!("../../../../examples/axum.rs"),
];

/// The lines of a text as they are compared: without indentation and `pub`, empty ones left out.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.trim().trim_start_matches("pub ")).filter(|line| !line.is_empty()).collect()
}

#[test]
fn every_block_of_the_guide_is_compiled_here() {
    let blocks: Vec<&str> =
        GUIDE.split("```rust\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
    assert!(blocks.len() > 20, "{} blocks", blocks.len());
    let programs = PROGRAMS.map(lines);
    for block in blocks {
        let wanted = lines(block);
        let there = |program: &Vec<&str>| program.windows(wanted.len()).any(|window| window == wanted);
        assert!(programs.iter().any(there), "this block is compiled nowhere:\n{block}");
    }
}
