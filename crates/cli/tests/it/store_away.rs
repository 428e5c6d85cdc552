//! The pages while their store is away: each answers in time with what holds, and shows the store again without anybody's hand.

use backshift_testkit::{
    ports::free_port,
    process::Running,
    servers::{Postgres, PrivateServer, TestDatabase, require},
    wait,
};

use futures::future::join_all;

use crate::scene::{Answer, PATIENCE, Settings, backshift, request};

const HTML: (&str, &str) = ("Accept", "text/html");
/// Every page that asks the store, and what changes something.
const PAGES: [&str; 9] = [
    "/overview",
    "/jobs",
    "/jobs?state=dead",
    "/jobs?find=error:x",
    "/queues",
    "/workers",
    "/causes",
    "/many?deed=retry&state=dead",
    "/hands",
];
const DEEDS: [&str; 3] = ["/queues/mail/pause", "/many", "/jobs/019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55/retry"];

async fn get(port: u16, path: &str) -> Answer {
    // The request has a limit of its own: a page that does not come fails here.
    request(port, "GET", path, &[HTML], b"").await.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// No page takes what was for what is, and none says more than that. All at once: a frozen server is waited for.
async fn all_say_so(port: u16, trouble: &str) {
    let pages = join_all(PAGES.map(|path| async move { (path, get(port, path).await) }));
    let form =
        [HTML, ("Content-Type", "application/x-www-form-urlencoded"), ("Sec-Fetch-Site", "same-origin")];
    let deeds = join_all(DEEDS.map(|path| async move {
        (path, request(port, "POST", path, &form, b"deed=retry&state=dead").await.unwrap())
    }));
    let (pages, deeds, ready) = tokio::join!(pages, deeds, get(port, "/readyz"));
    for (path, page) in pages {
        let said = page.body.contains("The store does not answer");
        assert!(matches!(page.status, 200 | 503) && said, "{path} after {trouble}: {page:?}");
    }
    for (path, answer) in deeds {
        let said = answer.body.contains("The store does not answer");
        assert!(answer.status == 503 && said, "{path} after {trouble}: {answer:?}");
    }
    assert_eq!(ready.status, 503, "{trouble}");
    assert_eq!(get(port, "/assets/look.css").await.status, 200, "{trouble}");
}

#[tokio::test]
async fn pages_say_that_the_store_is_away_and_come_back_by_themselves() {
    if require("POSTGRES_URL").is_none() {
        return;
    }
    let mut server = PrivateServer::start(&Postgres).await.unwrap();
    let database = TestDatabase::create_on(&server.url()).await;
    let port = free_port().unwrap();
    let listen = format!("127.0.0.1:{port}");
    let settings = Settings::of(&[("DATABASE_URL", &database.url()), ("BACKSHIFT_UI_LISTEN", &listen)]);
    backshift(&["migrate", "up"], &settings.pairs()).await.done();
    backshift(&["enqueue", "k", "--payload", "{}", "--queue", "mail"], &settings.pairs()).await.done();
    let process = Running::start(&["ui"], &settings.pairs());
    let shown = || async {
        let page = request(port, "GET", "/overview", &[HTML], b"").await;
        page.is_ok_and(|page| page.status == 200 && !page.body.contains("The store does not answer"))
    };
    assert!(wait::until(PATIENCE, shown).await, "{}", process.output());
    for trouble in ["a kill", "a freeze"] {
        if trouble == "a kill" {
            server.kill().await
        } else {
            server.freeze()
        }
        let noticed = || async { get(port, "/overview").await.body.contains("The store does not answer") };
        assert!(wait::until(PATIENCE, noticed).await, "{trouble}: {}", process.output());
        all_say_so(port, trouble).await;
        if trouble == "a kill" {
            server.resurrect().await.unwrap()
        } else {
            server.thaw()
        }
        assert!(wait::until(PATIENCE, shown).await, "after {trouble}: {}", process.output());
        for path in PAGES {
            let page = get(port, path).await;
            assert!(
                page.status == 200 && !page.body.contains("The store does not answer"),
                "{path}: {page:?}"
            );
        }
    }
}
