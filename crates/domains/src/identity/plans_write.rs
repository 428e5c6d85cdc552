//! Plans, written: by admins only, which the caller has checked.
//!
//! A deleted plan keeps its row, because subscriptions point to it; its name and code stay taken.

use backshift_core::StoreError;
use backshift_store::{Executor, Tx};
use uuid::Uuid;

use super::{
    IdentityService,
    plans::find_plan,
    refusals::{
        PLAN_CODE_EXISTS, PLAN_EXISTS, PLAN_FIELD_REQUIRED, PLAN_INVALID, PLAN_NOT_FOUND, Refusal, internal,
    },
};
use crate::identity::{Caller, IdentityError, Plan, PlanDraft};

/// C's default of `max_usage`.
const MAX_USAGE: i32 = 3;
/// The widest name and code (varchar(50)).
const WIDEST: usize = 50;

impl IdentityService {
    /// Makes a plan (admin).
    pub async fn create_plan(&self, caller: Caller, draft: PlanDraft) -> Result<Plan, IdentityError> {
        self.require_admin(caller)?;
        let (Some(name), Some(code)) = (&draft.name, &draft.code) else {
            return Err(PLAN_FIELD_REQUIRED.into());
        };
        check(&draft)?;
        let (id, now) = (Uuid::now_v7(), self.now());
        const INSERT: &str = "INSERT INTO plans (id, name, code, description, max_usage, created_at, updated_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT DO NOTHING";
        let tx = self.db.begin().await.map_err(internal)?;
        taken(&tx, &draft, id).await?;
        let insert =
            Executor::sql(&tx, INSERT).bind(id).bind(name).bind(code).bind(draft.description.as_deref());
        let insert = insert.bind(draft.max_usage.unwrap_or(MAX_USAGE)).bind(now);
        if insert.run().await.map_err(internal)? == 0 {
            // Somebody was faster by a moment.
            return taken(&tx, &draft, id).await.and(Err(PLAN_EXISTS.into()));
        }
        let plan = find_plan(&tx, id).await?;
        tx.commit().await.map_err(internal)?;
        Ok(plan)
    }

    /// Changes a plan (admin).
    pub async fn update_plan(
        &self,
        caller: Caller,
        id: Uuid,
        draft: PlanDraft,
    ) -> Result<Plan, IdentityError> {
        self.require_admin(caller)?;
        check(&draft)?;
        let tx = self.db.begin().await.map_err(internal)?;
        taken(&tx, &draft, id).await?;
        const UPDATE: &str = "UPDATE plans SET name = COALESCE($2, name), code = COALESCE($3, code), \
            description = COALESCE($4, description), max_usage = COALESCE($5, max_usage), updated_at = $6 \
            WHERE id = $1 AND deleted_at IS NULL";
        let update =
            Executor::sql(&tx, UPDATE).bind(id).bind(draft.name.as_deref()).bind(draft.code.as_deref());
        let update = update.bind(draft.description.as_deref()).bind(draft.max_usage).bind(self.now());
        match update.run().await {
            Ok(0) => return Err(PLAN_NOT_FOUND.into()),
            Ok(_) => {}
            Err(StoreError::Taken { rule, .. }) => {
                let by_code = rule.contains("code");
                return Err(if by_code { PLAN_CODE_EXISTS } else { PLAN_EXISTS }.into());
            }
            Err(error) => return Err(internal(error)),
        }
        let plan = find_plan(&tx, id).await?;
        tx.commit().await.map_err(internal)?;
        Ok(plan)
    }

    /// Removes a plan (admin).
    pub async fn delete_plan(&self, caller: Caller, id: Uuid) -> Result<(), IdentityError> {
        self.require_admin(caller)?;
        const DELETE: &str =
            "UPDATE plans SET deleted_at = $2, updated_at = $2 WHERE id = $1 AND deleted_at IS NULL";
        match self.db.sql(DELETE).bind(id).bind(self.now()).run().await.map_err(internal)? {
            0 => Err(PLAN_NOT_FOUND.into()),
            _ => Ok(()),
        }
    }
}

fn check(draft: &PlanDraft) -> Result<(), Refusal> {
    for text in [&draft.name, &draft.code].into_iter().flatten() {
        if text.trim().is_empty() {
            return Err(PLAN_FIELD_REQUIRED);
        }
        if text.chars().count() > WIDEST || text.chars().any(char::is_control) {
            return Err(PLAN_INVALID);
        }
    }
    let sound = |text: &String| !text.contains('\0') && text.len() <= 16 * 1024;
    if draft.max_usage.is_some_and(|n| n < 0) || !draft.description.as_ref().is_none_or(sound) {
        return Err(PLAN_INVALID);
    }
    Ok(())
}

/// Refuses a name or a code that another plan has.
async fn taken(tx: &Tx, draft: &PlanDraft, id: Uuid) -> Result<(), IdentityError> {
    for (column, value, refusal) in
        [("code", &draft.code, PLAN_CODE_EXISTS), ("name", &draft.name, PLAN_EXISTS)]
    {
        let Some(value) = value else { continue };
        let other = tx.text(format!("SELECT id FROM plans WHERE {column} = $1 AND id <> $2"));
        if other.bind(value).bind(id).optional::<Uuid>().await.map_err(internal)?.is_some() {
            return Err(refusal.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> PlanDraft {
        PlanDraft { name: Some(name.into()), ..PlanDraft::default() }
    }

    #[test]
    fn drafts_are_checked_before_the_database_sees_them() {
        assert_eq!(check(&named("Pro")), Ok(()));
        assert_eq!(check(&named(&"ü".repeat(50))), Ok(()));
        assert_eq!(check(&named(&"ü".repeat(51))), Err(PLAN_INVALID));
        assert_eq!(check(&named("a\0b")), Err(PLAN_INVALID));
        assert_eq!(check(&named("  ")), Err(PLAN_FIELD_REQUIRED));
        let usage = |n| PlanDraft { max_usage: Some(n), ..PlanDraft::default() };
        assert_eq!(check(&usage(0)), Ok(()));
        assert_eq!(check(&usage(-1)), Err(PLAN_INVALID));
        let description = PlanDraft { description: Some("\0".into()), ..PlanDraft::default() };
        assert_eq!(check(&description), Err(PLAN_INVALID));
    }
}
