//! System C's refusals: code and message of each. Clients branch on the codes; they never change.

use backshift_core::StoreError;

use crate::identity::IdentityError;

/// A business rule that says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) u32, pub(super) &'static str);

impl From<Refusal> for IdentityError {
    fn from(Refusal(code, message): Refusal) -> Self {
        Self::Business { code, message }
    }
}

pub(super) const WRONG_BODY: Refusal = Refusal(110_002, "Wrong body");
/// The code of [`USER_NOT_FOUND`].
pub const NO_SUCH_USER: u32 = 110_003;
pub(super) const USER_NOT_FOUND: Refusal = Refusal(NO_SUCH_USER, "User not found");
pub(super) const USERNAME_EXISTED: Refusal = Refusal(110_004, "Username existed");
pub(super) const WRONG_PASSWORD: Refusal = Refusal(110_005, "Wrong password");
pub(super) const WRONG_OTP: Refusal = Refusal(110_006, "Wrong OTP");
pub(super) const USER_VERIFIED: Refusal = Refusal(110_007, "User verified");
pub(super) const OTP_EXPIRED: Refusal = Refusal(110_008, "OTP expired");
pub(super) const TOO_MANY_ATTEMPTS: Refusal = Refusal(110_009, "Too many attempts");
pub(super) const USER_NOT_VERIFIED: Refusal = Refusal(110_010, "User not verified");
pub(super) const WRONG_EMAIL: Refusal = Refusal(110_012, "Wrong email");

pub(super) const PLAN_BODY: Refusal = Refusal(120_001, "Wrong body");
pub(super) const PLAN_QUERY: Refusal = Refusal(120_001, "Wrong query");
pub(super) const PLAN_NOT_FOUND: Refusal = Refusal(120_002, "Plan not found");
pub(super) const PLAN_EXISTS: Refusal = Refusal(120_003, "Plan exists");
pub(super) const PLAN_INVALID: Refusal = Refusal(120_004, "Invalid plan");
pub(super) const PLAN_FIELD_REQUIRED: Refusal = Refusal(120_005, "Field required");
pub(super) const PLAN_CODE_EXISTS: Refusal = Refusal(120_006, "Plan code exists");
pub(super) const PLAN_ID: Refusal = Refusal(120_007, "Invalid plan id");

pub(super) const SUBSCRIPTION_BODY: Refusal = Refusal(130_001, "Wrong body");
pub(super) const SUBSCRIPTION_QUERY: Refusal = Refusal(130_001, "Wrong query");
pub(super) const SUBSCRIPTION_NOT_FOUND: Refusal = Refusal(130_002, "Subscription not found");
pub(super) const SUBSCRIPTION_INVALID: Refusal = Refusal(130_004, "Invalid subscription");
pub(super) const SUBSCRIPTION_FIELD_REQUIRED: Refusal = Refusal(130_005, "Field required");
pub(super) const SUBSCRIPTION_ID: Refusal = Refusal(130_006, "Invalid subscription id");
pub(super) const SUBSCRIPTION_ACTIVE_EXISTS: Refusal = Refusal(130_007, "Active subscription exists");
pub(super) const SUBSCRIPTION_STATUS: Refusal = Refusal(130_008, "Invalid status");
pub(super) const SUBSCRIPTION_CANNOT_CANCEL: Refusal = Refusal(130_009, "Cannot cancel subscription");

/// A store's answer that no rule foresaw: the text is for the log only.
pub(super) fn internal(error: StoreError) -> IdentityError {
    IdentityError::Internal(error.to_string())
}

/// Whether a statement failed because a row with such a value exists.
pub(super) fn is_taken(error: &StoreError) -> bool {
    matches!(error, StoreError::Taken { .. })
}
