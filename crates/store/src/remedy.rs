//! What is done about a table that is not there: by the binary, or by a program that has none beside it.

/// How a program that has no binary beside it does the same.
pub(crate) const IN_A_PROGRAM: &str = "or open the site with `.migrate()` in a Rust program";

/// The remedy where a statement meets a table or column that is not there: it may be one of the user's own.
pub(crate) const MISSING: &str = "if it is one of Backshift's, run `backshift migrate up`, or open the site with `.migrate()` in a \
     Rust program; any other is made by whoever owns it";
