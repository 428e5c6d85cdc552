//! Sessions: what a token is worth now, and how all of a person's tokens end.
//!
//! A token cannot be called back, so every request asks the user's row, by its key: an account that was deleted or
//! deactivated, and a token from before the last sign-out, open nothing from that moment on.

use std::time::Duration;

use backshift_core::Timestamp;

use super::{IdentityService, refusals::internal, service::after};
use crate::identity::{Caller, IdentityError};

impl IdentityService {
    /// Who calls, with the role of now.
    /// Reads a bearer token and asks whether its account still stands; every doubt is [`IdentityError::Unauthorized`].
    pub async fn authenticate(&self, token: &str) -> Result<Caller, IdentityError> {
        let spoken = self.tokens.read(token, self.now())?;
        let account = self.account_by_id(spoken.user_id).await?.ok_or(IdentityError::Unauthorized)?;
        let ended = account.not_before.is_some_and(|at| spoken.issued_at < at.as_second() as f64);
        if ended || !account.user.is_active {
            return Err(IdentityError::Unauthorized);
        }
        // A token that system C's own programs gave out.
        self.note_confirmed(&account).await?;
        Ok(Caller { user_id: account.user.id, role: account.user.role })
    }

    /// Tokens count whole seconds, so those of this second end too; a sign-in in the same second begins with the next.
    /// Ends every session of the caller: tokens from before are worth nothing from now on.
    pub async fn sign_out(&self, caller: Caller) -> Result<(), IdentityError> {
        let this_second = Timestamp::from_second(self.now().as_second()).unwrap_or(Timestamp::MAX);
        let end = after(this_second, Duration::from_secs(1));
        const END: &str = "UPDATE users SET not_before = $2 \
            WHERE id = $1 AND deleted_at IS NULL AND (not_before IS NULL OR not_before < $2)";
        self.db.sql(END).bind(caller.user_id).bind(end).run().await.map(drop).map_err(internal)
    }
}
