//! Who may come in where the pages ask: signing in and out, what a stranger gets, and what stays shut when nothing may change.

use std::net::{IpAddr, Ipv4Addr};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, Version, header},
};
use backshift_core::store::Queues;
use backshift_http::{client::Client, pages::Auth};

use super::house::{Answer, House, finish};

const FORM: &str = "application/x-www-form-urlencoded";
const PASSWORD: &str = "correct horse";
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// The house behind a door.
async fn closed() -> House {
    let house = House::open().await;
    let pages = house.pages().with_auth(Auth::password("ops", PASSWORD));
    House { app: finish(pages), ..house }
}

async fn knock(house: &House, from: IpAddr, password: &str, next: &str) -> Answer {
    let request = Request::post("/enter")
        .header("sec-fetch-site", "same-origin")
        .header(header::CONTENT_TYPE, FORM)
        .extension(Client(from));
    house.send(request, &format!("user=ops&password={}&next={next}", password.replace(' ', "+"))).await
}

fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

async fn with(house: &House, cookie: &str, path: &str) -> Answer {
    house
        .send(Request::get(path).header(header::ACCEPT, "text/html").header(header::COOKIE, cookie), "")
        .await
}

async fn pause(house: &House, cookie: &str, site: &str) -> Answer {
    let request = Request::post("/queues/mail/pause").header("sec-fetch-site", site);
    house.send(request.header(header::ACCEPT, "text/html").header(header::COOKIE, cookie), "").await
}

#[tokio::test]
async fn a_stranger_sees_the_door_and_nothing_behind_it() {
    let house = closed().await;
    let id = house.enqueue("kind.of.ours", "mail", "{}").await;
    for path in ["/", "/overview", "/jobs", "/queues", "/workers", &format!("/jobs/{id}")] {
        let answer = house.get(path).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
        assert!(answer.header("location").starts_with("/enter"), "{path}: {}", answer.header("location"));
    }
    assert_eq!(
        house.get("/jobs?state=dead&find=a%20b").await.header("location"),
        "/enter?next=%2Fjobs%3Fstate%3Ddead%26find%3Da%2520b"
    );
    let program = house.send(Request::get("/jobs"), "").await;
    assert_eq!((program.status, program.text.as_str()), (StatusCode::UNAUTHORIZED, "Sign in first.\n"));
    assert_eq!(house.get("/events").await.status, StatusCode::UNAUTHORIZED, "a stream tells nothing either");
    let pressed = pause(&house, "", "same-origin").await;
    assert_eq!(pressed.status, StatusCode::UNAUTHORIZED);
    assert!(pressed.text.contains("Nothing was done."), "{}", pressed.text);
    assert!(house.store.paused().await.unwrap().is_empty());
    let door = house.get("/enter").await;
    assert!(door.status == StatusCode::OK && !door.text.contains("kind.of.ours"), "{}", door.text);
    assert_eq!(house.get("/assets/look.css").await.status, StatusCode::OK, "the door needs its clothes");
}

#[tokio::test]
async fn a_sign_in_that_is_none_opens_nothing() {
    let house = closed().await;
    let right = format!("user=ops&password={}", PASSWORD.replace(' ', "+"));
    let long = format!("user={}&password=x", "x".repeat(70_000));
    for (of, body, status) in [
        (
            "application/json",
            r#"{"user":"ops","password":"correct horse"}"#,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        ("text/plain", right.as_str(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (FORM, "", StatusCode::UNPROCESSABLE_ENTITY),
        (FORM, "user=ops", StatusCode::UNPROCESSABLE_ENTITY),
        (FORM, "user=ops&password=%ff%00", StatusCode::UNAUTHORIZED),
        (FORM, &long, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let knock = Request::post("/enter").header("sec-fetch-site", "same-origin");
        let answer =
            house.send(knock.header(header::CONTENT_TYPE, of).extension(Client(STRANGER)), body).await;
        assert_eq!(answer.status, status, "{of} {body:.40}");
        assert_eq!(answer.headers.get(header::SET_COOKIE), None, "{of} {body:.40}");
    }
}

#[tokio::test]
async fn the_right_password_opens_and_leads_on_and_signing_out_closes() {
    let house = closed().await;
    let opened = knock(&house, STRANGER, PASSWORD, "%2Fjobs%3Fstate%3Ddead").await;
    assert_eq!((opened.status, opened.header("location")), (StatusCode::SEE_OTHER, "/jobs?state=dead"));
    let set = opened.header("set-cookie");
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax") && !set.contains("Secure"), "{set}");
    let mine = cookie(&opened);
    let page = with(&house, &mine, "/overview").await;
    assert!(page.status == StatusCode::OK && page.text.contains("action=\"/leave\""), "{}", page.text);
    assert_eq!(with(&house, &mine, "/enter").await.header("location"), "/overview");
    assert_eq!(pause(&house, &mine, "same-origin").await.status, StatusCode::SEE_OTHER);
    assert_eq!(house.store.paused().await.unwrap().len(), 1);

    let leave = Request::post("/leave").header("sec-fetch-site", "same-origin").header(header::COOKIE, &mine);
    let left = house.send(leave, "").await;
    assert!(left.header("set-cookie").contains("Max-Age=0"), "{}", left.header("set-cookie"));
    assert_eq!(
        with(&house, &mine, "/overview").await.status,
        StatusCode::SEE_OTHER,
        "the id itself has ended"
    );
    let elsewhere = knock(&house, STRANGER, PASSWORD, "%2F%2Fevil.example").await;
    assert_eq!(elsewhere.header("location"), "/overview", "nobody is led to another site");
}

#[tokio::test]
async fn the_cookie_is_for_tls_where_the_browser_speaks_tls() {
    let house = closed().await;
    let knocking = |name: &'static str, value: &'static str| {
        Request::post("/enter")
            .header(name, value)
            .header(header::HOST, "ops.example")
            .header(header::CONTENT_TYPE, FORM)
    };
    for request in [
        knocking("origin", "https://ops.example"),
        knocking("sec-fetch-site", "same-origin").header("x-forwarded-proto", "https"),
    ] {
        let answer = house.send(request, "user=ops&password=correct+horse").await;
        assert!(answer.header("set-cookie").ends_with("; Secure"), "{}", answer.header("set-cookie"));
    }
}

#[tokio::test]
async fn wrong_passwords_are_counted_by_network_across_processes() {
    let house = closed().await;
    for n in 0..10 {
        let wrong = knock(&house, STRANGER, "wrong password", "").await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED, "try {n}");
        assert!(
            wrong.text.contains("do not belong together") && !wrong.text.contains("wrong password"),
            "{}",
            wrong.text
        );
        assert_eq!(wrong.header("set-cookie"), "");
    }
    let neighbour = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200));
    for from in [STRANGER, neighbour] {
        let right = knock(&house, from, PASSWORD, "").await;
        assert_eq!((right.status, right.header("set-cookie")), (StatusCode::TOO_MANY_REQUESTS, ""));
        assert!(right.header("retry-after").parse::<u64>().unwrap() > 0);
    }
    // Another process over the same store counts on.
    let again = House { app: finish(house.pages().with_auth(Auth::password("ops", PASSWORD))), ..house };
    assert_eq!(knock(&again, STRANGER, PASSWORD, "").await.status, StatusCode::TOO_MANY_REQUESTS);
    let other = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
    assert_eq!(
        knock(&again, other, PASSWORD, "").await.status,
        StatusCode::SEE_OTHER,
        "others are not locked out"
    );
}

#[tokio::test]
async fn a_session_of_another_process_opens_nothing() {
    let (one, two) = (closed().await, closed().await);
    let mine = cookie(&knock(&one, STRANGER, PASSWORD, "").await);
    let (name, id) = mine.split_once('=').unwrap();
    assert_eq!(with(&one, &mine, "/overview").await.status, StatusCode::OK);
    assert_eq!(with(&two, &mine, "/overview").await.status, StatusCode::SEE_OTHER);
    let theirs = cookie(&knock(&two, STRANGER, PASSWORD, "").await);
    let (their_name, _) = theirs.split_once('=').unwrap();
    assert_ne!(name, their_name, "programs on one host do not sign each other out");
    let forged = [
        format!("{their_name}={id}"),
        format!("{name}="),
        format!("{name}={}", &id[1..]),
        format!("{name}={id}0"),
    ];
    for forged in &forged {
        assert_eq!(with(&two, forged, "/overview").await.status, StatusCode::SEE_OTHER, "{forged}");
    }
    assert_eq!(with(&one, &forged[2], "/overview").await.status, StatusCode::SEE_OTHER);
    assert_eq!(
        with(&two, &format!("{mine}; {theirs}"), "/overview").await.status,
        StatusCode::OK,
        "both at once"
    );
}

#[tokio::test]
async fn another_site_does_nothing_with_the_cookie_of_somebody_who_signed_in() {
    let house = closed().await;
    house.enqueue("k", "mail", "{}").await;
    let mine = cookie(&knock(&house, STRANGER, PASSWORD, "").await);
    for site in ["cross-site", "same-site"] {
        assert_eq!(pause(&house, &mine, site).await.status, StatusCode::FORBIDDEN, "{site}");
    }
    let origin = Request::post("/queues/mail/pause").header(header::ORIGIN, "https://evil.example");
    let origin = origin.header(header::HOST, "ops.example").header(header::COOKIE, &mine);
    assert_eq!(house.send(origin, "").await.status, StatusCode::FORBIDDEN);
    let in_a_form =
        Request::post("/enter").header("sec-fetch-site", "cross-site").header(header::CONTENT_TYPE, FORM);
    let signed_in = house.send(in_a_form, "user=ops&password=correct+horse").await;
    assert_eq!(
        (signed_in.status, signed_in.header("set-cookie")),
        (StatusCode::FORBIDDEN, ""),
        "nor signs anybody in"
    );
    assert!(house.store.paused().await.unwrap().is_empty());
}

#[tokio::test]
async fn behind_a_password_any_name_is_answered_and_without_one_only_this_machine_s() {
    let closed = closed().await;
    let by_name =
        Request::get("/enter").header(header::HOST, "ops.example").header("x-forwarded-for", "192.0.2.7");
    assert_eq!(closed.send(by_name, "").await.status, StatusCode::OK);
    let open = House { app: finish(closed.pages().with_auth(Auth::loopback())), ..closed };
    assert_eq!(open.get("/overview").await.status, StatusCode::OK);
    let rebound = Request::get("/overview").header(header::HOST, "evil.example");
    assert_eq!(open.send(rebound, "").await.status, StatusCode::MISDIRECTED_REQUEST);
    let own = || Request::get("/overview").header(header::HOST, "127.0.0.1:8082");
    let by = |proxy: &str| own().header(proxy, "for=192.0.2.7");
    let mut handed_on: Vec<_> = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "forwarded",
        "x-real-ip",
        "via",
        "cf-connecting-ip",
        "true-client-ip",
    ]
    .map(by)
    .into();
    // nginx without a line of its own: no header tells, and `Host` is ours.
    handed_on.push(own().version(Version::HTTP_10));
    for request in handed_on {
        let what = format!("{request:?}");
        let answer = open.send(request, "").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{what}");
        assert!(answer.text.contains("ui.password"), "{}", answer.text);
    }
}

#[tokio::test]
async fn read_only_pages_offer_no_action_and_take_none() {
    let house = House::open().await;
    let id = house.enqueue("k", "mail", "{}").await;
    let house = House { app: finish(house.pages().read_only(true)), ..house };
    let listed = ["/overview", "/jobs", "/queues", "/workers", "/causes", "/hands", "/jobs?state=available"];
    let asked = [format!("/jobs/{id}"), "/many?deed=cancel&state=available".to_owned()];
    for path in listed.into_iter().chain(asked.iter().map(String::as_str)) {
        let page = house.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        let offers = page.text.matches("method=\"post\"").count();
        assert_eq!(
            offers,
            page.text.matches("action=\"/theme\"").count(),
            "{path} offers something: {}",
            page.text
        );
        assert!(page.text.contains("These pages only show."), "{path}");
    }
    for path in [
        "/queues/mail/pause",
        "/queues/mail/resume",
        &format!("/jobs/{id}/retry"),
        &format!("/jobs/{id}/cancel"),
        "/many",
        &format!("/many/{id}"),
    ] {
        let answer = house.post(path, "deed=cancel&state=available").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(answer.text.contains("Nothing was changed."), "{path}: {}", answer.text);
    }
    assert!(house.store.paused().await.unwrap().is_empty());
    assert!(house.get(&format!("/jobs/{id}")).await.text.contains("waits for a worker"));
}

#[tokio::test]
async fn a_program_around_that_asks_itself_is_not_asked_again() {
    let house = House::open().await;
    let pages = house.pages().with_auth(Auth::of_the_program()).router();
    let app: Router = Router::new().nest("/jobs-of-ours", pages);
    let request =
        Request::get("/jobs-of-ours/overview").header(header::HOST, "shop.example").body(Body::empty());
    let answer = tower::ServiceExt::oneshot(app, request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}
