//! The way of a person: sign up, code, signed in; and the side ways that must not be dead ends.

use axum::http::{Request, StatusCode, header};

use super::{dev::Dev, house::Answer};

const ANNA: &str = "email=Anna%40example.com&password=correct+horse";

#[tokio::test]
async fn a_person_signs_up_reads_the_mail_and_is_signed_in() {
    let house = Dev::open().await;
    let answer = house.post("/signup", ANNA).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (StatusCode::SEE_OTHER, "/code?email=Anna%40example.com")
    );
    assert!(
        house.get("/code?email=Anna%40example.com").await.text.contains("It was mailed to Anna@example.com.")
    );
    let code = mailed_code(&house).await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let wrong = house.post("/code", &format!("email=Anna%40example.com&otp={wrong}")).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(wrong.text.contains("This is not the code."), "{}", wrong.text);
    let open = house.post("/code", &format!("email=anna%40example.com&otp={code}")).await;
    assert_eq!((open.status, open.header("location")), (StatusCode::SEE_OTHER, "/me"));
    let cookie = open.header("set-cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let me = signed_in(&house, &open).await;
    assert!(me.text.contains("Anna@example.com") && me.text.contains("Free Plan"), "{}", me.text);
    let out = sign_out(&house, &open).await;
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(house.get("/me").await.header("location"), "/signin");
    let kept = signed_in(&house, &open).await;
    assert_eq!(kept.header("location"), "/signin", "the token in a cookie that was kept is worth nothing");
    assert!(
        house.post("/signout", "").await.header("set-cookie").contains("Max-Age=0"),
        "without a session too"
    );
    let again = house.post("/signin", ANNA).await;
    assert_eq!(again.header("location"), "/me");
    assert!(house.post("/signup", ANNA).await.text.contains("This address has an account: sign in."));
}

#[tokio::test]
async fn who_never_confirmed_gets_to_the_code_by_every_door() {
    let house = Dev::open().await;
    house.post("/signup", ANNA).await;
    for door in ["/signup", "/signin"] {
        let answer = house.post(door, ANNA).await;
        assert_eq!(answer.header("location"), "/code?email=Anna%40example.com", "{door}: {}", answer.text);
    }
    let again = house.post("/code/again", "email=Anna%40example.com").await;
    assert_eq!(again.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(again.text.contains("That was too often. Come back in"), "{}", again.text);
    let unknown = house.post("/code/again", "email=nobody%40example.com").await;
    assert!(unknown.text.contains("Sign in once more"), "{}", unknown.text);
    let stranger = house.post("/signin", "email=Anna%40example.com&password=another+horse").await;
    assert_eq!(stranger.status, StatusCode::BAD_REQUEST, "a wrong password leads nowhere");
    assert!(stranger.text.contains("do not belong together"), "{}", stranger.text);
    let anew = house.post("/signup", "email=Anna%40example.com&password=another+horse").await;
    assert_eq!(anew.header("location"), "/code?email=Anna%40example.com", "never confirmed: it begins anew");
    assert_eq!(
        house.post("/signin", ANNA).await.status,
        StatusCode::BAD_REQUEST,
        "the newest password counts"
    );
}

#[tokio::test]
async fn what_is_wrong_is_said_on_the_form_and_nothing_is_echoed() {
    let house = Dev::open().await;
    for (form, said) in [
        ("email=nonsense&password=correct+horse", "This is no address"),
        ("email=a%40example.com&password=short", "8 to 128 characters"),
    ] {
        let answer = house.post("/signup", form).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.text.contains(said), "{}", answer.text);
        assert!(
            !answer.text.contains("correct horse") && !answer.text.contains("short\""),
            "{}",
            answer.text
        );
    }
    let answer = house.post("/signin", "email=a%40example.com&password=wrong+wrong").await;
    assert!(answer.text.contains("do not belong together"), "{}", answer.text);
}

async fn signed_in(house: &Dev, open: &Answer) -> Answer {
    let cookie = open.header("set-cookie").split(';').next().unwrap().to_owned();
    house.send(Request::get("/me").header(header::COOKIE, format!("a=b; {cookie}")), "").await
}

async fn sign_out(house: &Dev, open: &Answer) -> Answer {
    let cookie = open.header("set-cookie").split(';').next().unwrap().to_owned();
    let request = Request::post("/signout").header("sec-fetch-site", "same-origin");
    house.send(request.header(header::COOKIE, cookie), "").await
}

async fn mailed_code(house: &Dev) -> String {
    house.work("identity").await;
    let page = house.get("/mailbox").await.text;
    let (_, rest) = page.split_once("href=\"/mailbox/").unwrap();
    let mail = house.get(&format!("/mailbox/{}", rest.split('"').next().unwrap())).await.text;
    let six = |word: &&str| word.len() == 6 && word.bytes().all(|b| b.is_ascii_digit());
    mail.split_whitespace().find(six).expect("the mail has a code").to_owned()
}

#[tokio::test]
async fn a_form_has_at_most_64_kibibytes() {
    let house = Dev::open().await;
    let form = |length: usize| {
        let fields = "email=lan%40example.com&password=correct+horse&more=";
        format!("{fields}{}", "x".repeat(length - fields.len()))
    };
    for path in ["/signup", "/signin", "/code", "/code/again"] {
        let answer = house.post(path, &form((64 << 10) + 1)).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}: {}", answer.text);
    }
    assert_eq!(house.db.sql("SELECT count(*) FROM users").one::<i64>().await.unwrap(), 0);
    let whole = house.post("/signup", &form(64 << 10)).await;
    assert_eq!(whole.status, StatusCode::SEE_OTHER, "{}", whole.text);
}
