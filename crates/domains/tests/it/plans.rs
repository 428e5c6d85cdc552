//! Plans: who may do what, every code, pages.

use backshift_domains::identity::{ListQuery, PlanDraft};
use uuid::Uuid;

use crate::world::{code, worlds};

fn draft(name: &str, code: &str) -> PlanDraft {
    PlanDraft { name: Some(name.into()), code: Some(code.into()), ..PlanDraft::default() }
}

#[tokio::test]
async fn admins_write_and_everybody_reads() {
    for world in worlds(|_| {}).await {
        let (admin, user) = (world.admin("boss@x.io").await, world.member("lan@x.io").await);
        let service = &world.service;
        assert_eq!(code(service.create_plan(user, draft("Pro", "pro")).await), 403);
        let plan = service.create_plan(admin, draft("Pro", "pro")).await.unwrap();
        assert_eq!((plan.max_usage, plan.description.as_deref()), (3, None));
        assert_eq!(service.plan(plan.id).await.unwrap(), plan);
        assert_eq!(code(service.update_plan(user, plan.id, PlanDraft::default()).await), 403);
        assert_eq!(code(service.delete_plan(user, plan.id).await), 403);

        world.later(5);
        let change =
            PlanDraft { description: Some("more".into()), max_usage: Some(0), ..PlanDraft::default() };
        let changed = service.update_plan(admin, plan.id, change).await.unwrap();
        assert_eq!((changed.name.as_str(), changed.max_usage), ("Pro", 0), "what is not named stays");
        assert_eq!(changed.description.as_deref(), Some("more"));
        assert!(changed.updated_at > plan.updated_at && changed.created_at == plan.created_at);

        service.delete_plan(admin, plan.id).await.unwrap();
        assert_eq!(code(service.plan(plan.id).await), 120_002);
        assert_eq!(code(service.delete_plan(admin, plan.id).await), 120_002);
        assert_eq!(code(service.update_plan(admin, plan.id, draft("x", "x")).await), 120_002);
    }
}

#[tokio::test]
async fn a_role_that_was_taken_away_is_gone_although_the_token_has_it() {
    for world in worlds(|_| {}).await {
        let admin = world.admin("boss@x.io").await;
        let token = world.token("boss@x.io").await;
        let demote = world.db().sql("UPDATE users SET role = 'USER', role_hash = NULL WHERE id = $1");
        demote.bind(admin.user_id).run().await.unwrap();
        let caller = world.caller(&token).await.unwrap();
        assert_eq!(code(world.service.create_plan(caller, draft("Pro", "pro")).await), 403);
    }
}

#[tokio::test]
async fn what_no_plan_can_be_is_refused() {
    for world in worlds(|_| {}).await {
        let admin = world.admin("boss@x.io").await;
        let service = &world.service;
        let pro = service.create_plan(admin, draft("Pro", "pro")).await.unwrap();
        let basic = service.create_plan(admin, draft("Basic", "basic")).await.unwrap();
        assert_eq!(code(service.create_plan(admin, draft("Other", "pro")).await), 120_006);
        assert_eq!(code(service.create_plan(admin, draft("Pro", "other")).await), 120_003);
        assert_eq!(code(service.create_plan(admin, PlanDraft::default()).await), 120_005);
        assert_eq!(code(service.create_plan(admin, draft("", "x")).await), 120_005);
        assert_eq!(code(service.create_plan(admin, draft(&"x".repeat(51), "x")).await), 120_004);
        assert_eq!(code(service.create_plan(admin, draft("a\0b", "x")).await), 120_004);
        let negative = PlanDraft { max_usage: Some(-1), ..draft("x", "x") };
        assert_eq!(code(service.create_plan(admin, negative).await), 120_004);
        let code_of_pro = PlanDraft { code: Some("pro".into()), ..PlanDraft::default() };
        assert_eq!(code(service.update_plan(admin, basic.id, code_of_pro.clone()).await), 120_006);
        let name_of_pro = PlanDraft { name: Some("Pro".into()), ..PlanDraft::default() };
        assert_eq!(code(service.update_plan(admin, basic.id, name_of_pro).await), 120_003);
        service.update_plan(admin, pro.id, code_of_pro).await.unwrap();
        assert_eq!(code(service.plan(Uuid::nil()).await), 120_002);
    }
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    for world in worlds(|_| {}).await {
        let admin = world.admin("boss@x.io").await;
        let mut ids = Vec::new();
        for n in 0..20 {
            world.later(1);
            ids.push(
                world.service.create_plan(admin, draft(&format!("P{n}"), &format!("p{n}"))).await.unwrap().id,
            );
        }
        let list = |query: ListQuery| {
            let service = world.service.clone();
            async move { service.plans(&query).await.unwrap() }
        };
        let all = list(ListQuery::default()).await;
        assert_eq!((all.rows.len(), all.total), (21, 21), "twenty and the free plan");
        let page = list(ListQuery { page: Some(2), per_page: 15, ..ListQuery::default() }).await;
        assert_eq!((page.rows.len(), page.total), (6, 21));
        assert_eq!(all.rows[15..], page.rows[..]);
        let far = list(ListQuery { page: Some(u32::MAX), per_page: 100, ..ListQuery::default() }).await;
        assert_eq!((far.rows.len(), far.total), (0, 21));
        let some = list(ListQuery { ids: ids[..2].to_vec(), ..ListQuery::default() }).await;
        assert_eq!(some.total, 2);
        let codes = vec!["p3".to_owned(), "p3' OR '1'='1".to_owned()];
        let coded = list(ListQuery { codes, ..ListQuery::default() }).await;
        assert_eq!(coded.rows.iter().map(|p| p.id).collect::<Vec<_>>(), [ids[3]]);
    }
}
