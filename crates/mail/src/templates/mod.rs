//! Mail templates: subject, HTML and text for each name and locale, rendered by MiniJinja.
//!
//! Strict on purpose: a variable that the data lacks is a permanent error that names every missing one, before
//! anything is sent. HTML parts escape what they print, subjects and text do not.

mod engine;
mod locale;
mod shipped;

pub use engine::{Rendered, TemplateError, TemplateSource, Templates};
pub use locale::fallback_chain;
pub use shipped::{EMAIL_VERIFICATION, VERIFICATION_CODE};

#[cfg(test)]
mod tests;
