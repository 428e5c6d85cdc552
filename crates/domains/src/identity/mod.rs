//! System C's accounts: registration, one-time codes, sessions, plans and subscriptions, on our own tables.
//!
//! A code is never stored: it is derived from the challenge's row and a key when it is mailed and when it is
//! compared. What is queued names the challenge only ([`SendCode`]).

mod accounts;
mod admin;
pub mod api;
mod challenges;
mod check_code;
mod code;
mod code_mail;
mod config;
mod counts;
mod gate;
mod guesses;
mod jwt;
mod limits;
mod login;
mod model;
pub mod pages;
mod passwords;
mod plans;
mod plans_write;
mod refusals;
mod registration;
mod retention;
mod roles;
mod send_code;
mod service;
mod sessions;
mod stored;
mod subscriptions;
mod subscriptions_write;
mod tables;
mod tokens;
mod trial;
mod turns;

pub use code::CodeKey;
pub use code_mail::{CodeMail, CodeOrder, OutboxCodeMail};
pub use config::IdentityConfig;
pub use model::{
    Caller, IdentityError, ListQuery, Listed, Origin, Plan, PlanDraft, Role, Session, Subscription,
    SubscriptionDraft, User,
};
pub use refusals::NO_SUCH_USER;
pub use retention::IdentityRetention;
pub use send_code::{CodeRoute, CodeSender, SendCode};
pub use service::IdentityService;
pub use tables::TABLES;
