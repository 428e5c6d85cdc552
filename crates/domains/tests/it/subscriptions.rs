//! Subscriptions: own and others', one in force a user, every code.

use backshift_domains::identity::{Caller, ListQuery, Plan, PlanDraft, SubscriptionDraft};
use std::time::Duration;
use uuid::Uuid;

use crate::world::{World, code, worlds};

struct Scene {
    admin: Caller,
    user: Caller,
    pro: Plan,
}

async fn scene(world: &World) -> Scene {
    let (admin, user) = (world.admin("boss@x.io").await, world.member("lan@x.io").await);
    let draft = PlanDraft { name: Some("Pro".into()), code: Some("pro".into()), ..PlanDraft::default() };
    let pro = world.service.create_plan(admin, draft).await.unwrap();
    Scene { admin, user, pro }
}

fn to(plan: &Plan) -> SubscriptionDraft {
    SubscriptionDraft { plan_id: Some(plan.id), ..SubscriptionDraft::default() }
}

fn status(text: &str) -> SubscriptionDraft {
    SubscriptionDraft { status: Some(text.into()), ..SubscriptionDraft::default() }
}

#[tokio::test]
async fn a_user_subscribes_cancels_and_subscribes_again() {
    for world in worlds(|_| {}).await {
        let Scene { user, pro, .. } = scene(&world).await;
        let service = &world.service;
        assert_eq!(code(service.create_subscription(user, to(&pro)).await), 130_007, "the trial is in force");
        let trial = world.subscriptions_of(user).await.remove(0);
        let ended = service.cancel_subscription(user, trial.id).await.unwrap();
        assert_eq!(ended.status, "cancelled");
        assert!(ended.cancelled_at.is_some());
        assert_eq!(code(service.cancel_subscription(user, trial.id).await), 130_009);
        let made = service.create_subscription(user, to(&pro)).await.unwrap();
        assert_eq!((made.status.as_str(), made.user_id, made.plan_id), ("past_due", user.user_id, pro.id));
        assert_eq!((made.trial_ends_at, made.ends_at), (None, None));
        assert_eq!(service.subscription(user, made.id).await.unwrap(), made);
        assert_eq!(code(service.create_subscription(user, to(&pro)).await), 130_007, "one past due is open");
        service.delete_subscription(user, made.id).await.unwrap();
        assert_eq!(code(service.subscription(user, made.id).await), 130_002);
        assert_eq!(code(service.delete_subscription(user, made.id).await), 130_002);
    }
}

#[tokio::test]
async fn others_subscriptions_are_for_admins() {
    for world in worlds(|_| {}).await {
        let Scene { admin, user, pro } = scene(&world).await;
        let service = &world.service;
        let of_boss = world.subscriptions_of(admin).await.remove(0);
        let of_user = world.subscriptions_of(user).await.remove(0);
        assert_eq!(code(service.subscription(user, of_boss.id).await), 403);
        assert_eq!(code(service.update_subscription(user, of_boss.id, status("expired")).await), 403);
        assert_eq!(code(service.cancel_subscription(user, of_boss.id).await), 403);
        assert_eq!(code(service.delete_subscription(user, of_boss.id).await), 403);
        let for_boss = SubscriptionDraft { user_id: Some(admin.user_id), ..to(&pro) };
        assert_eq!(code(service.create_subscription(user, for_boss).await), 403);
        let query = |user_id| ListQuery { user_id, ..ListQuery::default() };
        assert_eq!(code(service.subscriptions(user, &query(Some(admin.user_id))).await), 403);

        let rows = service.subscriptions(user, &query(None)).await.unwrap().rows;
        assert_eq!(rows, std::slice::from_ref(&of_user));
        assert_eq!(service.subscriptions(admin, &query(None)).await.unwrap().total, 2);
        let hidden = ListQuery { ids: vec![of_boss.id], ..ListQuery::default() };
        assert_eq!(service.subscriptions(user, &hidden).await.unwrap().total, 0);
        let changed = service.update_subscription(admin, of_user.id, status("past_due")).await.unwrap();
        assert_eq!(changed.status, "past_due");
        let for_user = SubscriptionDraft { user_id: Some(user.user_id), ..to(&pro) };
        assert_eq!(code(service.create_subscription(admin, for_user.clone()).await), 130_007);
        service.update_subscription(admin, of_user.id, status("expired")).await.unwrap();
        assert_eq!(service.create_subscription(admin, for_user).await.unwrap().user_id, user.user_id);
    }
}

#[tokio::test]
async fn what_no_subscription_can_be_is_refused() {
    for world in worlds(|_| {}).await {
        let Scene { admin, user, pro } = scene(&world).await;
        let service = &world.service;
        let trial = world.subscriptions_of(user).await.remove(0);
        assert_eq!(code(service.create_subscription(user, SubscriptionDraft::default()).await), 130_005);
        let odd = SubscriptionDraft { status: Some("paused".into()), ..to(&pro) };
        assert_eq!(code(service.create_subscription(admin, odd).await), 130_008);
        assert_eq!(code(service.update_subscription(admin, trial.id, status("Active")).await), 130_008);
        let backwards = SubscriptionDraft {
            ends_at: Some(trial.starts_at - Duration::from_secs(1)),
            ..SubscriptionDraft::default()
        };
        assert_eq!(code(service.update_subscription(admin, trial.id, backwards).await), 130_004);
        let nowhere = SubscriptionDraft { plan_id: Some(Uuid::nil()), ..SubscriptionDraft::default() };
        assert_eq!(code(service.create_subscription(user, nowhere).await), 120_002);
        let nobody = SubscriptionDraft { user_id: Some(Uuid::nil()), ..to(&pro) };
        assert_eq!(code(service.create_subscription(admin, nobody).await), 110_003);
        assert_eq!(code(service.subscription(user, Uuid::nil()).await), 130_002);
        assert_eq!(code(service.cancel_subscription(user, Uuid::nil()).await), 130_002);
        let given = SubscriptionDraft { user_id: Some(admin.user_id), ..SubscriptionDraft::default() };
        assert_eq!(code(service.update_subscription(user, trial.id, given.clone()).await), 403);
        assert_eq!(code(service.update_subscription(admin, trial.id, given).await), 130_004);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_one_is_in_force() {
    for world in worlds(|_| {}).await {
        let Scene { user, pro, .. } = scene(&world).await;
        let trial = world.subscriptions_of(user).await.remove(0);
        world.service.cancel_subscription(user, trial.id).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (service, draft) = (world.service.clone(), to(&pro));
            tasks.spawn(async move { service.create_subscription(user, draft).await });
        }
        let (made, refused): (Vec<_>, Vec<_>) = tasks.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!(made.len(), 1);
        assert!(refused.into_iter().all(|answer| code(answer) == 130_007));
    }
}

/// One draft for each thing that is not a user's to say.
fn claims(world: &World, plan: &Plan) -> Vec<SubscriptionDraft> {
    use backshift_core::Clock;
    let at = Some(world.clock.now() + Duration::from_secs(3600));
    vec![
        SubscriptionDraft { status: Some("active".into()), ..to(plan) },
        SubscriptionDraft { status: Some("nonsense".into()), ..to(plan) },
        SubscriptionDraft { starts_at: at, ..to(plan) },
        SubscriptionDraft { ends_at: at, ..to(plan) },
        SubscriptionDraft { trial_ends_at: at, ..to(plan) },
        SubscriptionDraft { cancelled_at: at, ..to(plan) },
    ]
}

#[tokio::test]
async fn what_a_subscription_is_worth_is_not_its_owner_s_to_say() {
    for world in worlds(|_| {}).await {
        let Scene { admin, user, pro } = scene(&world).await;
        let service = &world.service;
        let trial = world.subscriptions_of(user).await.remove(0);
        for claim in claims(&world, &pro) {
            assert_eq!(code(service.create_subscription(user, claim.clone()).await), 403, "{claim:?}");
            assert_eq!(
                code(service.update_subscription(user, trial.id, claim.clone()).await),
                403,
                "{claim:?}"
            );
        }
        assert_eq!(
            code(service.update_subscription(user, trial.id, SubscriptionDraft::default()).await),
            403
        );
        assert_eq!(code(service.update_subscription(user, Uuid::nil(), to(&pro)).await), 403);
        assert_eq!(world.subscriptions_of(user).await, std::slice::from_ref(&trial), "nothing was changed");

        // A trial that was thrown away was a trial.
        service.delete_subscription(user, trial.id).await.unwrap();
        let own = SubscriptionDraft { user_id: Some(user.user_id), ..to(&pro) };
        let second = service.create_subscription(user, own).await.unwrap();
        assert_eq!(second.status, "past_due");
        let paid = service.update_subscription(admin, second.id, status("active")).await.unwrap();
        assert_eq!(paid.status, "active");
        // Who never had one gets one, of fourteen days.
        world.db().sql("DELETE FROM subscriptions").run().await.unwrap();
        let first = service.create_subscription(user, to(&pro)).await.unwrap();
        assert_eq!((first.status.as_str(), first.ends_at), ("trialing", first.trial_ends_at));
        let lasts = first.ends_at.unwrap().duration_since(first.starts_at);
        assert_eq!(lasts.as_hours(), 14 * 24);
    }
}

#[tokio::test]
async fn where_it_was_chosen_users_say_all_as_in_system_c() {
    for world in worlds(|config| config.open_subscriptions = true).await {
        let Scene { user, pro, .. } = scene(&world).await;
        let service = &world.service;
        let trial = world.subscriptions_of(user).await.remove(0);
        service.update_subscription(user, trial.id, status("past_due")).await.unwrap();
        let made = service.create_subscription(user, to(&pro)).await.unwrap();
        assert_eq!(made.status, "active", "one past due is not in force");
        assert_eq!(code(service.update_subscription(user, trial.id, status("active")).await), 130_007);
    }
}
