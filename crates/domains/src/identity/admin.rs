//! Who may do what. A [`Caller`] comes from [`sessions`](super::sessions), with the role of this very request.

use crate::identity::{Caller, IdentityError, Role};

use super::{
    IdentityService, accounts,
    refusals::{USER_NOT_FOUND, internal},
    roles::role_hash,
};

impl IdentityService {
    /// Makes the account of this address an admin; refused with 110003 when there is none. Idempotent.
    pub async fn grant_admin(&self, email: &str) -> Result<(), IdentityError> {
        let address = accounts::address(email)?;
        let account = self.account_by_key(&address.key).await?.ok_or(USER_NOT_FOUND)?;
        const GRANT: &str = "UPDATE users SET role = $2, role_hash = $3, updated_at = $4 WHERE id = $1";
        let grant = self.db.sql(GRANT).bind(account.user.id).bind(Role::Admin.as_str());
        grant.bind(role_hash(Role::Admin)).bind(self.now()).run().await.map_err(internal)?;
        self.note_confirmed(&account).await
    }

    pub(super) fn require_admin(&self, caller: Caller) -> Result<(), IdentityError> {
        match caller.role {
            Role::Admin => Ok(()),
            Role::User => Err(IdentityError::Forbidden),
        }
    }
}
