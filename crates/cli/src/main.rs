//! The `backshift` binary.
fn main() {}
