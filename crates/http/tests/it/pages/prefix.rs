//! Every address of every page stands under the base path, whoever put it there.

use axum::{Router, http::StatusCode};
use backshift_http::pages::Auth;

use super::house::{House, finish};

/// What `href`, `src` and `action` say on a page.
fn addresses(page: &str) -> Vec<String> {
    let of = |name: &str| {
        page.split(name)
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&"))
            .collect::<Vec<_>>()
    };
    [" href=\"", " src=\"", " action=\""].iter().flat_map(|name| of(name)).collect()
}

/// Follows every link from the overview; how many pages there were.
async fn walk(house: &House, base: &str) -> usize {
    let mut seen = vec![format!("{base}/overview")];
    let mut next = 0;
    while let Some(path) = seen.get(next).cloned() {
        next += 1;
        let page = house.get(&path).await;
        assert!(
            page.status == StatusCode::OK || page.status == StatusCode::SEE_OTHER,
            "{path}: {}",
            page.status
        );
        if page.status == StatusCode::SEE_OTHER {
            assert!(
                page.header("location").starts_with(&format!("{base}/")),
                "{path}: {}",
                page.header("location")
            );
        }
        for address in addresses(&page.text).into_iter().filter(|address| !address.starts_with('#')) {
            assert!(address.starts_with(&format!("{base}/")), "{path} has {address}");
            let address = address.split('#').next().unwrap().to_owned();
            let leads = !["/retry", "/cancel", "/pause", "/resume", "/leave", "/signout", "/again", "/theme"]
                .iter()
                .any(|end| address.ends_with(end));
            if leads && !seen.contains(&address) {
                seen.push(address);
            }
        }
        assert!(seen.len() < 300, "the pages have no end");
    }
    next
}

async fn furnished() -> House {
    let house = House::open().await;
    house.enqueue("k", "dead", "{}").await;
    house.kill("dead", "550 no").await;
    house.enqueue("k", "waits", "{}").await;
    house
}

#[tokio::test]
async fn every_address_follows_the_configured_path_also_when_a_proxy_takes_it_away() {
    let house = furnished().await;
    let pages = house.pages().under("/ops/jobs".parse().unwrap());
    let house = House { app: finish(pages), ..house };
    assert!(walk(&house, "/ops/jobs").await > 10);
    let taken_away = house.get("/overview").await.text;
    assert!(
        addresses(&taken_away)
            .iter()
            .all(|address| address.starts_with("/ops/jobs/") || address.starts_with('#'))
    );
    for root in ["/ops/jobs", "/ops/jobs/", "/"] {
        assert_eq!(house.get(root).await.header("location"), "/ops/jobs/overview", "{root}");
    }
    let paused = house.post("/ops/jobs/queues/waits/pause", "").await;
    assert_eq!((paused.status, paused.header("location")), (StatusCode::SEE_OTHER, "/ops/jobs/queues"));
    assert!(
        house.get("/ops/jobs/overview").await.text.contains("data-base=\"/ops/jobs\""),
        "the stream follows too"
    );
    assert_eq!(house.get("/ops/jobs/nothing").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_address_follows_the_program_that_nests_the_pages() {
    let house = furnished().await;
    let pages = house.pages().with_auth(Auth::of_the_program()).router();
    let within = |inner: Router| Router::new().nest("/admin", inner);
    let mut house = house;
    for inner in
        [Router::new().nest("/backshift", pages.clone()), Router::new().nest_service("/backshift", pages)]
    {
        house = House { app: within(inner), ..house };
        assert!(walk(&house, "/admin/backshift").await > 10);
    }
    for front in ["/admin/backshift", "/admin/backshift/"] {
        assert_eq!(house.get(front).await.header("location"), "/admin/backshift/overview", "{front}");
    }
}

#[tokio::test]
async fn the_door_and_its_cookie_stand_under_the_path_too() {
    let house = House::open().await;
    let pages =
        house.pages().under("/ops".parse().unwrap()).with_auth(Auth::password("ops", "correct horse"));
    let house = House { app: finish(pages), ..house };
    assert_eq!(house.get("/ops/jobs").await.header("location"), "/ops/enter?next=%2Fjobs");
    let opened = house.post("/ops/enter", "user=ops&password=correct+horse&next=%2Fjobs").await;
    assert_eq!(opened.header("location"), "/ops/jobs");
    assert!(opened.header("set-cookie").contains("; Path=/ops;"), "{}", opened.header("set-cookie"));
}
