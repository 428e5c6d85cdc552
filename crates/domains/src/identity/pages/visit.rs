//! The accounts behind these pages, and one request to them.

use std::sync::Arc;

use axum::{
    Extension,
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::Response,
};
use backshift_http::pages::{Here, Pages};
use minijinja::{Value, context};

use super::waiting_room::WaitingRoom;
use crate::identity::IdentityService;

/// The pages over the accounts.
pub struct Accounts {
    pub(super) service: Arc<IdentityService>,
    pub(super) waiting: WaitingRoom,
    /// Where the mails with codes can be read, if they stay in this process.
    mailbox: Option<&'static str>,
}

impl Accounts {
    /// Pages over this service.
    pub fn new(service: Arc<IdentityService>) -> Self {
        Self { service, waiting: WaitingRoom::default(), mailbox: None }
    }

    /// The page where the mails with codes can be read.
    #[must_use]
    pub fn with_mailbox(mut self, href: &'static str) -> Self {
        self.mailbox = Some(href);
        self
    }
}

/// One request: the pages as it meets them, and the accounts behind them.
pub(super) struct Visit {
    pub(super) pages: Pages,
    pub(super) accounts: Arc<Accounts>,
}

impl FromRequestParts<Pages> for Visit {
    type Rejection = <Extension<Arc<Accounts>> as FromRequestParts<Pages>>::Rejection;

    async fn from_request_parts(parts: &mut Parts, pages: &Pages) -> Result<Self, Self::Rejection> {
        let Ok(Here(here)) = Here::from_request_parts(parts, pages).await;
        let Extension(accounts) = Extension::from_request_parts(parts, pages).await?;
        Ok(Self { pages: here, accounts })
    }
}

impl Visit {
    pub(super) fn service(&self) -> &IdentityService {
        &self.accounts.service
    }

    /// A page that stands alone, with what all of ours need to know.
    pub(super) fn door(&self, status: StatusCode, template: &str, values: Value) -> Response {
        let mailbox = self.accounts.mailbox.map(|href| Value::from_safe_string(href.to_owned()));
        self.pages.door(status, template, context! { mailbox, ..values })
    }
}
