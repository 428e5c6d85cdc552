//! The pages of the domains in a real Chromium, at four widths, and under a base path.

use axum::{Router, response::Html, routing::get};
use backshift_http::server::{self, Limits};
use backshift_testkit::{browser, programs};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    dev::{Dev, accounts, sections},
    house::{House, finish},
};

/// A house after a sign-up, and the pages that it then has.
async fn furnished() -> (Dev, Vec<String>) {
    let house = Dev::open().await;
    let address = "a.very.long.address.of.somebody%40subdomain.example.com";
    house.post("/signup", &format!("email={address}&password=correct+horse")).await;
    house.work("identity").await;
    let mail = house.newest().await;
    let pages = ["/", "/signup", "/signin", "/mailbox"].map(str::to_owned);
    let pages = pages.into_iter().chain([format!("/code?email={address}"), format!("/mailbox/{mail}")]);
    (house, pages.collect())
}

async fn serve(app: Router) -> (String, JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (base, tokio::spawn(server::serve(listener, app, Limits::default(), std::future::pending())))
}

#[tokio::test]
async fn no_policy_is_broken_and_nothing_overflows() {
    if programs::require("chromium").is_none() {
        return;
    }
    let (house, pages) = furnished().await;
    let harness = browser::measuring(&pages);
    let measure = Router::new().route("/measure", get(move || async move { Html(harness) }));
    let (base, serving) = serve(house.app.clone().merge(measure)).await;
    for page in &pages {
        let seen = browser::look(&format!("{base}{page}"), 360).await.unwrap();
        assert_eq!(seen.console, "", "{page}: the browser complained");
    }
    let mail = pages.last().unwrap();
    let letter = browser::look(&format!("{base}{mail}/html"), 360).await.unwrap();
    assert!(letter.dom.contains("verify"), "the mail itself: {}", letter.dom);
    let seen = browser::measured(&format!("{base}/measure")).await.unwrap();
    assert_eq!(seen.len(), pages.len() * 4, "{seen:#?}");
    for page in &seen {
        assert_eq!((page["error"].as_str(), page["wide"].as_bool()), (None, Some(false)), "{page:#}");
        assert_eq!(page["beyond"].as_array().map(Vec::len), Some(0), "{page:#}");
        assert_eq!((page["bare"].as_u64(), page["traps"].as_u64()), (Some(0), Some(0)), "{page:#}");
    }
    serving.abort();
}

#[tokio::test]
async fn every_address_stands_under_the_base_path() {
    let (house, pages) = furnished().await;
    let (identity, _) = accounts(&house.db, &house.mailbox);
    let under = house.pages().under("/ops".parse().unwrap());
    let app = finish(under.with_sections(sections(&house.mailbox, identity)));
    let house = House { app, ..house.house };
    let mut seen = 0;
    for page in pages {
        let text = house.get(&format!("/ops{page}")).await.text;
        for name in [" href=\"", " src=\"", " action=\""] {
            for address in text.split(name).skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(address.starts_with("/ops/") || address.starts_with('#'), "{page} has {address}");
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "{seen}");
    let made = house.post("/ops/signup", "email=anna%40example.com&password=correct+horse").await;
    assert_eq!(made.header("location"), "/ops/code?email=anna%40example.com");
}
