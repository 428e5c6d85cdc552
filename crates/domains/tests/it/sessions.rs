//! What a token is worth after the account was closed and after a sign-out.

use crate::world::{World, code, worlds};

async fn set(world: &World, text: &'static str) {
    assert_eq!(world.db().sql(text).run().await.unwrap(), 1);
}

#[tokio::test]
async fn a_token_ends_with_its_account_at_once_and_for_every_route() {
    for world in worlds(|_| {}).await {
        let caller = world.member("lan@x.io").await;
        let token = world.token("lan@x.io").await;
        world.db().sql("UPDATE users SET is_active = $1").bind(false).run().await.unwrap();
        assert_eq!(code(world.caller(&token).await), 401);
        assert_eq!(code(world.service.me(caller).await), 401);
        world.db().sql("UPDATE users SET is_active = $1").bind(true).run().await.unwrap();
        assert_eq!(world.caller(&token).await.unwrap(), caller);
        set(&world, "UPDATE users SET deleted_at = created_at").await;
        assert_eq!(code(world.caller(&token).await), 401);
        set(&world, "DELETE FROM subscriptions").await;
        set(&world, "DELETE FROM users").await;
        assert_eq!(code(world.caller(&token).await), 401);
    }
}

#[tokio::test]
async fn a_token_ends_by_its_own_time() {
    for world in worlds(|_| {}).await {
        world.member("lan@x.io").await;
        let token = world.token("lan@x.io").await;
        world.later(7 * 24 * 3600 - 1);
        world.caller(&token).await.unwrap();
        world.later(10);
        assert_eq!(code(world.caller(&token).await), 401);
    }
}

#[tokio::test]
async fn a_sign_out_ends_every_token_from_before_and_none_from_after() {
    for world in worlds(|_| {}).await {
        let lan = world.member("lan@x.io").await;
        world.member("minh@x.io").await;
        let other = world.token("minh@x.io").await;
        let first = world.token("lan@x.io").await;
        world.later(5);
        // In the second of the sign-out: one token before it, one after it.
        let second = world.token("lan@x.io").await;
        world.service.sign_out(lan).await.unwrap();
        world.service.sign_out(lan).await.unwrap();
        let third = world.token("lan@x.io").await;
        for _ in 0..2 {
            for ended in [&first, &second] {
                assert_eq!(code(world.caller(ended).await), 401);
            }
            assert_eq!(world.caller(&third).await.unwrap(), lan);
            world.caller(&other).await.unwrap();
            world.later(3);
        }
        world.service.sign_out(lan).await.unwrap();
        assert_eq!(code(world.caller(&third).await), 401);
    }
}
