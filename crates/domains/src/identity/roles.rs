//! What a user may do, in system C's two spellings: a hash of the role's name, and our plain column beside it.
//!
//! The hash wins where both are there, because C's own programs change only the hash.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use sha2::{Digest, Sha256};

use crate::identity::Role;

/// `base64(sha256(role + ":smap:role"))` (docs/contracts/system-c.md, "Tables").
pub(super) fn role_hash(role: Role) -> String {
    STANDARD.encode(digest(role))
}

/// The role of a row.
pub(super) fn role_of(hash: Option<&str>, plain: Option<&str>) -> Role {
    let is = |role: Role| match hash.filter(|hash| !hash.is_empty()) {
        Some(hash) => hash == STANDARD.encode(digest(role)) || hash == URL_SAFE.encode(digest(role)),
        None => plain == Some(role.as_str()),
    };
    if is(Role::Admin) { Role::Admin } else { Role::User }
}

fn digest(role: Role) -> [u8; 32] {
    Sha256::digest(format!("{}:smap:role", role.as_str())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_system_c_s() {
        assert_eq!(role_of(Some(&role_hash(Role::Admin)), None), Role::Admin);
        assert_eq!(role_of(Some(&role_hash(Role::User)), Some("ADMIN")), Role::User, "the hash wins");
        assert_eq!(role_of(None, Some("ADMIN")), Role::Admin);
        assert_eq!(role_of(Some(""), Some("ADMIN")), Role::Admin);
        assert_eq!(role_of(None, None), Role::User);
        assert_eq!(role_of(Some("garbage"), Some("admin")), Role::User);
        // printf 'ADMIN:smap:role' | sha256sum | xxd -r -p | base64
        assert_eq!(role_hash(Role::Admin), "0zSAZYTmciCygbBTf9Oy3uv4NOZ5ofqp1cIUNJ20uuc=");
    }
}
