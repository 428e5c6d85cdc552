//! Attempts that are given up, seen from inside: when one waits and when it is compared.

use std::time::Duration;

use backshift_core::QueueName;
use backshift_store::{Options, migrate};
use backshift_testkit::servers::TestDatabase;

use super::*;
use crate::identity::{CodeKey, OutboxCodeMail, turns::Errand};

const PASSWORD: &str = "correct horse";
const PATIENCE: Duration = Duration::from_secs(30);

struct Place {
    service: Arc<IdentityService>,
    _directory: tempfile::TempDir,
    _server: Option<TestDatabase>,
}

/// One slot, three failures a pair; an account, on each database.
async fn places() -> Vec<Place> {
    let mut places = Vec::new();
    for server in [None, TestDatabase::create().await] {
        let directory = tempfile::tempdir().unwrap();
        let url = match &server {
            Some(server) => server.url(),
            None if places.is_empty() => format!("sqlite:{}", directory.path().join("test.db").display()),
            None => continue,
        };
        let db = Database::open(&url, &Options { connections: 8, ..Options::default() }).unwrap();
        migrate::up(&db, &[&migrate::ENGINE, &crate::identity::TABLES]).await.unwrap();
        let key = CodeKey::from_secret(&"a key".into());
        let mut config = IdentityConfig::new("a secret of thirty-two bytes, yes".into(), key);
        (config.hash_slots, config.max_failures_pair) = (1, 3);
        config.refusal_floor = Duration::ZERO;
        let outbox = OutboxCodeMail::new(&db, QueueName::new("identity").unwrap());
        let service = Arc::new(IdentityService::new(db, config, Arc::new(outbox)).unwrap());
        service.register("lan@x.io", PASSWORD.into(), origin()).await.unwrap();
        places.push(Place { service, _directory: directory, _server: server });
    }
    places
}

fn origin() -> Origin {
    Origin { ip: Some("192.0.2.1".parse().unwrap()), ..Origin::default() }
}

impl Place {
    /// What became of a sign-in: the code of its refusal. The account is not confirmed, which a right password hears.
    async fn login(&self, password: &str) -> u32 {
        match self.service.login("lan@x.io", password.into(), false, origin()).await {
            Err(IdentityError::Business { code, .. }) => code,
            Err(IdentityError::TooMany { .. }) => 429,
            other => panic!("{other:?}"),
        }
    }

    async fn counted(&self) -> i64 {
        let sum = "SELECT CAST(COALESCE(sum(n), 0) AS bigint) FROM auth_counts WHERE what = 'pair'";
        self.service.db.sql(sum).one::<i64>().await.unwrap()
    }

    async fn until(&self, condition: impl AsyncFn(&Self) -> bool) {
        let waiting = async {
            while !condition(self).await {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        backshift_testkit::wait::within(PATIENCE, waiting).await.expect("it comes true");
    }

    fn free_and_waiting(&self) -> (usize, usize) {
        self.service.passwords.free_and_waiting()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_away_before_his_turn_has_failed_nothing() {
    for place in places().await {
        let seat = place.service.passwords.seat(Errand::Login, "elsewhere").unwrap();
        let slot = place.service.passwords.turn(seat).await.unwrap();
        for _ in 0..5 {
            tokio::select! {
                code = place.login("wrong password") => panic!("the slot is taken, and still: {code}"),
                () = place.until(async |place| place.free_and_waiting().1 == 1) => {}
            }
            assert_eq!(place.free_and_waiting().1, 0, "its place is free again");
        }
        assert_eq!(place.counted().await, 0);
        drop(slot);
        for _ in 0..3 {
            assert_eq!(place.login("wrong password").await, 110_005, "no try of these is used up");
        }
        assert_eq!(place.login(PASSWORD).await, 429);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_away_while_he_is_compared_has_guessed() {
    for place in places().await {
        for n in 1..=3 {
            tokio::select! {
                code = place.login("wrong password") => assert_eq!(code, 110_005),
                () = place.until(async |place| place.counted().await == n) => {}
            }
            place.until(async |place| place.free_and_waiting() == (1, 0)).await;
            assert_eq!(place.counted().await, n, "and nothing comes back");
        }
        assert_eq!(place.login(PASSWORD).await, 429);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_password_was_right_has_failed_nothing_though_he_went_away() {
    for place in places().await {
        for _ in 0..5 {
            tokio::select! {
                code = place.login(PASSWORD) => assert_eq!(code, 110_010),
                () = place.until(async |place| place.counted().await == 1) => {}
            }
            place.until(async |place| place.counted().await == 0).await;
        }
        assert_eq!(place.login(PASSWORD).await, 110_010);
    }
}

#[test]
fn a_full_hour_is_over_an_hour_after_it_began() {
    let now = Timestamp::UNIX_EPOCH;
    let count = Count { n: 10, begun: now };
    let wait = |seconds| count.refuse(now + Duration::from_secs(seconds));
    let left = |result| match result {
        Err(IdentityError::TooMany { retry_after }) => Some(retry_after.as_secs()),
        _ => None,
    };
    assert_eq!((left(wait(0)), left(wait(3599)), left(wait(3600))), (Some(3600), Some(1), None));
}
