//! Backshift's own arms.
