//! One-time codes under attack and in a race.

use tokio::task::JoinSet;

use crate::world::{World, code, origin, other_than, worlds};

async fn with_code(world: &World) -> String {
    world.register("lan@x.io").await.unwrap();
    world.send_otp("lan@x.io").await.unwrap();
    world.mailed_code().await
}

/// Sends the same code 200 times at once; how often each answer came (0 = accepted).
async fn storm(world: &World, guess: &str) -> impl Fn(u32) -> usize + use<> {
    let mut tasks = JoinSet::new();
    for _ in 0..200 {
        let (service, guess) = (world.service.clone(), guess.to_owned());
        tasks.spawn(async move {
            match service.verify_otp("lan@x.io", guess.into(), origin("en")).await {
                Ok(()) => 0,
                refused => code(refused),
            }
        });
    }
    let answers = tasks.join_all().await;
    move |wanted| answers.iter().filter(|answer| **answer == wanted).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_hundred_right_guesses_one_succeeds() {
    for world in worlds(|config| config.max_checks_ip = 1000).await {
        let right = with_code(&world).await;
        let count = storm(&world, &right).await;
        assert_eq!(count(0), 1);
        assert_eq!(count(0) + count(110_007) + count(110_009), 200);
        let caller = world.sign_in("lan@x.io").await;
        assert_eq!(world.subscriptions_of(caller).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_hundred_wrong_guesses_five_are_compared_and_the_code_is_dead() {
    for world in worlds(|config| config.max_checks_ip = 1000).await {
        let right = with_code(&world).await;
        let count = storm(&world, &other_than(&right)).await;
        assert_eq!((count(110_006), count(110_009)), (5, 195));
        assert_eq!(code(world.verify("lan@x.io", &right).await), 110_009);
        assert_eq!(world.count("SELECT max(tries) FROM otp_challenges").await, 5);

        world.later(61);
        world.send_otp("lan@x.io").await.unwrap();
        let fresh = world.mailed_code().await;
        world.verify("lan@x.io", &fresh).await.unwrap();
    }
}

#[tokio::test]
async fn a_code_ends_after_ten_minutes_and_with_the_next_one() {
    for world in worlds(|_| {}).await {
        world.register("lan@x.io").await.unwrap();
        assert_eq!(code(world.verify("lan@x.io", "123456").await), 110_006, "none was issued");
        world.send_otp("lan@x.io").await.unwrap();
        let first = world.mailed_code().await;
        world.later(300);
        world.send_otp("lan@x.io").await.unwrap();
        let second = world.mailed_code().await;
        if first != second {
            assert_eq!(code(world.verify("lan@x.io", &first).await), 110_006);
        }
        world.later(600);
        assert_eq!(code(world.verify("lan@x.io", &second).await), 110_008);
        let tries = world.count("SELECT count(*) FROM otp_challenges WHERE tries > 1").await;
        assert_eq!(tries, 0, "a code that is over costs no try");
    }
}

#[tokio::test]
async fn a_code_of_one_person_is_nothing_to_another() {
    for world in worlds(|_| {}).await {
        let lan = with_code(&world).await;
        world.register("minh@x.io").await.unwrap();
        world.send_otp("minh@x.io").await.unwrap();
        let minh = world.mailed_code().await;
        if lan != minh {
            assert_eq!(code(world.verify("minh@x.io", &lan).await), 110_006);
        }
        world.verify("minh@x.io", &minh).await.unwrap();
        world.verify("lan@x.io", &lan).await.unwrap();
    }
}
