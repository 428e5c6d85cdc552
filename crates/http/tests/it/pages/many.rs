//! One deed to all that match, from the pages: asked, watched, gone on with; and who did what.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use backshift_core::{
    Deed, Hand, JobFilter, State, Sweep, Sweeps as _,
    store::Jobs as _,
    sweep::{Matching, Upon},
};
use backshift_http::pages::{Auth, SignedIn};
use backshift_store::Executor as _;
use backshift_testkit::wait;
use tower::ServiceExt as _;

use super::house::{HOSTILE, House, finish};

const PATIENCE: Duration = Duration::from_secs(60);
const FORM: &str = "application/x-www-form-urlencoded";

/// Dead jobs of two causes in the queue `mail`, by one statement; every fifth said 450.
async fn dead(house: &House, jobs: i64) {
    let text = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < $1) \
        INSERT INTO background_jobs (id, job_type, status, queue, broker, token, attempts, failures, created_at, updated_at, \
        run_at, finished_at, payload, payload_size, reason, error_message, error_fingerprint) \
        SELECT printf('019aa3c1-7f2e-7c40-9d1b-%012x', n), 'email.send', 'dead', 'mail', 'embedded', 1, 3, 3, \
        (1695000000 + n) * 1000000, 1, 1, 1, CAST('{}' AS BLOB), 2, 'permanent', \
        CASE WHEN n % 5 = 0 THEN '450 busy ' || n ELSE '550 no ' || n END, \
        CASE WHEN n % 5 = 0 THEN 'error: 450 busy *' ELSE 'error: 550 no *' END FROM s";
    house.db.text(text.to_owned()).bind(jobs).run().await.unwrap();
}

async fn number(house: &House, state: State) -> u64 {
    let filter = JobFilter { state: Some(state), ..JobFilter::default() };
    house.store.matching(&filter).await.unwrap().jobs
}

/// What a form would send: its hidden fields, and nothing else.
fn fields(page: &str) -> String {
    let inputs = page.split("<input type=\"hidden\" ").skip(1);
    let field = |input: &str| {
        let value = |name: &str| {
            input.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned()
        };
        let plain = value("value")
            .replace("&quot;", "\"")
            .replace("&#x2f;", "/")
            .replace("&#x27;", "'")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&");
        format!("{}={}", value("name"), encoded(&plain))
    };
    inputs.map(field).collect::<Vec<_>>().join("&")
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

async fn ends(house: &House, path: &str) -> String {
    let page = wait::until(PATIENCE, || async { house.get(path).await.text.contains("class=\"whole\"") });
    assert!(page.await, "{}", house.get(path).await.text);
    house.get(path).await.text
}

#[tokio::test]
async fn all_of_a_cause_run_again_after_the_number_and_what_follows_were_asked() {
    let house = House::open().await;
    dead(&house, 1300).await;
    let list = house.get("/jobs?state=dead").await.text;
    assert!(
        list.contains("All that match")
            && list.contains("/many?deed=retry&amp;state=dead")
            && list.contains("deed=delete"),
        "{list}"
    );
    assert!(!list.contains("deed=cancel"), "what is dead is not cancelled");
    assert!(!house.get("/jobs").await.text.contains("All that match"), "a state has to be chosen");
    let causes = house.get("/causes").await.text;
    assert!(
        causes.contains("Dead letters of 2 causes.") && causes.contains("1,040") && causes.contains("260"),
        "{causes}"
    );
    let link =
        causes.split("href=\"").find(|link| link.starts_with("/many") && link.contains("450")).unwrap();
    let link = link.split('"').next().unwrap().replace("&amp;", "&");
    let delete = link.replace("deed=retry", "deed=delete");
    assert!(causes.replace("&amp;", "&").contains(&delete), "and deleted: {causes}");
    assert!(house.get(&delete).await.text.contains("Delete 260 jobs?"));
    let question = house.get(&link).await.text;
    assert!(
        question.contains("Run again 260 jobs?") && question.contains("may happen a second time"),
        "{question}"
    );
    assert!(
        question.contains("backshift jobs retry --state dead --cause &#x27;error: 450 busy *&#x27;"),
        "{question}"
    );
    assert_eq!(number(&house, State::Dead).await, 1300, "asking changes nothing");
    let answer = house.post("/many", &format!("{}&why=it+is+mended", fields(&question))).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    let path = answer.header("location").to_owned();
    let end = ends(&house, &path).await;
    assert!(
        end.contains("260 jobs made to run again.") && end.contains("260 looked at, 260 changed"),
        "{end}"
    );
    assert!(end.contains("it is mended") && end.contains("somebody on this machine, on the pages"), "{end}");
    assert!(!end.contains("http-equiv"), "what has ended is not asked for again");
    assert_eq!((number(&house, State::Dead).await, number(&house, State::Available).await), (1040, 260));
    let hands = house.get("/hands").await.text.replace("<wbr>", "");
    assert!(
        hands.contains(&path)
            && hands.contains("260 jobs: state:dead cause:")
            && hands.contains("it is mended"),
        "{hands}"
    );
    assert_eq!(hands.matches("<tr>").count(), 2, "a heading and one row");
    let life = house.get("/jobs/019aa3c1-7f2e-7c40-9d1b-000000000005").await.text;
    assert!(
        life.contains("Made to run again by somebody on this machine, on the pages, with others"),
        "{life}"
    );
    // The same address again shows the same end; somebody presses the button once more, and nothing is left to do.
    let again = house.post(&path, "").await;
    assert_eq!((again.status, again.header("location")), (StatusCode::SEE_OTHER, path.as_str()));
    assert_eq!(number(&house, State::Available).await, 260);
}

#[tokio::test]
async fn what_comes_after_the_question_is_left_alone() {
    let house = House::open().await;
    let first = house.enqueue("k", "q", "{}").await;
    let question = house.get("/many?deed=cancel&state=available").await.text;
    assert!(question.contains("Cancel 1 job?"), "{question}");
    let later = house.enqueue("k", "q", "{}").await;
    let path = house.post("/many", &fields(&question)).await.header("location").to_owned();
    ends(&house, &path).await;
    let state = async |id| house.store.find(id).await.unwrap().unwrap().state;
    assert_eq!((state(first).await, state(later).await), (State::Cancelled, State::Available));
    let question = house.get("/many?deed=delete&state=cancelled").await.text;
    assert!(question.contains("cannot be brought back") && question.contains("danger"), "{question}");
    let path = house.post("/many", &fields(&question)).await.header("location").to_owned();
    assert!(ends(&house, &path).await.contains("1 job deleted."));
    assert!(house.store.find(first).await.unwrap().is_none());
    assert!(
        house.get("/many?deed=delete&state=cancelled").await.text.contains("No job is like this any more")
    );
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_and_changes_nothing() {
    let house = House::open().await;
    dead(&house, 3).await;
    for (query, said) in [
        ("deed=retry&state=dead&find=payload:secret", "may stand in a payload"),
        ("deed=retry&state=dead&find=timeout", "may stand in a payload"),
        ("deed=retry", "Choose a state first"),
        ("deed=retry&state=completed", "is not for completed jobs"),
        ("deed=cancel&state=dead", "is not for dead jobs"),
        ("deed=burn&state=dead", "Nothing is known of such a deed"),
        ("deed=retry&state=dead&find=colour:red", "colour:"),
        ("deed=retry&state=dead&find=019aa3c1-7f2e-7c40-9d1b-000000000001", "is one job"),
        ("deed=retry&state=nonsense", "nonsense"),
    ] {
        let answer = house.get(&format!("/many?{query}")).await;
        assert!(
            answer.status == StatusCode::CONFLICT && answer.text.contains(said),
            "{query}: {}",
            answer.text
        );
        let answer = house.post("/many", query).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{query}: {}", answer.text);
    }
    let hidden = house.get("/causes?find=payload:secret").await.text;
    assert!(hidden.contains("may stand in a payload") && !hidden.contains("550 no"), "{hidden}");
    assert!(!house.get("/jobs?state=dead&find=timeout").await.text.contains("All that match"));
    for unknown in ["019aa3c1-7f2e-7c40-9d1b-000000000001", "nonsense"] {
        assert_eq!(house.get(&format!("/many/{unknown}")).await.status, StatusCode::NOT_FOUND);
        assert_eq!(house.post(&format!("/many/{unknown}"), "").await.status, StatusCode::NOT_FOUND);
    }
    let elsewhere =
        Request::post("/many").header("sec-fetch-site", "cross-site").header(header::CONTENT_TYPE, FORM);
    let answer = house.send(elsewhere, "deed=retry&state=dead").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "another site asks");
    let shut = House { app: finish(house.pages().read_only(true)), ..house };
    let answer = shut.post("/many", "deed=retry&state=dead").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    for page in ["/jobs?state=dead", "/causes", "/many?deed=retry&state=dead"] {
        let text = shut.get(page).await.text;
        assert!(
            !text.contains("action=\"/many\"")
                && !text.contains("All that match")
                && !text.contains("Run all again"),
            "{page}: {text}"
        );
    }
    assert_eq!(number(&shut, State::Dead).await, 3);
}

#[tokio::test]
async fn a_sweep_goes_on_when_its_session_ends_and_is_found_after_the_next_sign_in() {
    let house = House::open().await;
    dead(&house, 2600).await;
    let pages = house.pages().with_auth(Auth::password("ops", "correct horse"));
    let house = House { app: finish(pages), ..house };
    let enter = async |next: &str| {
        let request = Request::post("/enter")
            .header("sec-fetch-site", "same-origin")
            .header(header::CONTENT_TYPE, FORM);
        let entered =
            house.send(request, &format!("user=ops&password=correct+horse&next={}", encoded(next))).await;
        (
            entered.header("set-cookie").split(';').next().unwrap().to_owned(),
            entered.header("location").to_owned(),
        )
    };
    let send = async |request: axum::http::request::Builder, cookie: &str, form: &str| {
        let request = request.header(header::COOKIE, cookie).header(header::ACCEPT, "text/html");
        house
            .send(request.header("sec-fetch-site", "same-origin").header(header::CONTENT_TYPE, FORM), form)
            .await
    };
    let (cookie, _) = enter("/").await;
    let question = send(Request::get("/many?deed=retry&state=dead"), &cookie, "").await.text;
    // Signed out before the button is pressed: nothing is done.
    let late = send(Request::post("/many"), "", &fields(&question)).await;
    assert!(
        late.status == StatusCode::UNAUTHORIZED && late.text.contains("Nothing was done."),
        "{}",
        late.text
    );
    assert_eq!(number(&house, State::Dead).await, 2600);
    // Signed out while it runs: it goes on.
    let path = send(Request::post("/many"), &cookie, &fields(&question)).await.header("location").to_owned();
    send(Request::post("/leave"), &cookie, "").await;
    let turned_away = send(Request::get(&path), &cookie, "").await;
    assert_eq!(turned_away.header("location"), format!("/enter?next={}", path.replace('/', "%2F")));
    let done = wait::until(PATIENCE, || async { number(&house, State::Available).await == 2600 });
    assert!(done.await, "the server goes on by itself");
    let (cookie, onward) = enter(&path).await;
    assert_eq!(onward, path, "and whoever signs in again is led back");
    let seen = wait::until(PATIENCE, || async {
        send(Request::get(&path), &cookie, "").await.text.contains("2,600 jobs made to run again.")
    });
    assert!(seen.await);
    assert!(send(Request::get("/hands"), &cookie, "").await.text.contains("ops, on the pages"));
}

#[tokio::test]
async fn what_nobody_works_on_says_so_and_goes_on_from_its_place() {
    let house = House::open().await;
    dead(&house, 1200).await;
    let hand = Hand { who: "ann@elsewhere".into(), why: None };
    let filter = JobFilter { state: Some(State::Dead), ..JobFilter::default() };
    let expected = Matching { jobs: 1200, more: false };
    let wish =
        Sweep { deed: Deed::Retry, filter, words: "--state dead".into(), hand: hand.clone(), expected };
    let id = house.store.begin_sweep(&wish).await.unwrap().id;
    house.store.sweep(id, &hand).await.unwrap();
    let path = format!("/many/{id}");
    let moving = house.get(&path).await.text;
    assert!(
        moving.contains("41 %: 500 of 1,200 jobs looked at") && moving.contains("http-equiv=\"refresh\""),
        "{moving}"
    );
    house.db.text("UPDATE job_sweeps SET touched_at = touched_at - 60000000".to_owned()).run().await.unwrap();
    let stopped = house.get(&path).await.text;
    assert!(
        stopped.contains("Nobody is at work on it") && stopped.contains(&format!("action=\"{path}\"")),
        "{stopped}"
    );
    assert!(!stopped.contains("http-equiv"), "{stopped}");
    assert!(stopped.contains("ann@elsewhere"), "a name is no address that is masked: {stopped}");
    house.post(&path, "").await;
    assert!(ends(&house, &path).await.contains("1,200 jobs made to run again."));
    let hands = house.store.all_hands(None, 10).await.unwrap();
    assert!(matches!(hands[0].upon, Upon::Many { changed: 1200, done: true, .. }), "{hands:?}");
}

#[tokio::test]
async fn a_program_says_who_its_people_are_and_a_pause_has_a_name() {
    let house = House::open().await;
    house.enqueue("k", "mail", "{}").await;
    let app = house.pages().with_auth(Auth::of_the_program()).router();
    let request = Request::post("/queues/mail/pause").header("sec-fetch-site", "same-origin");
    let request = request.extension(SignedIn("Ann <b>\u{202e}".into())).body(Body::empty()).unwrap();
    assert_eq!(app.oneshot(request).await.unwrap().status(), StatusCode::SEE_OTHER);
    house.post("/queues/mail/resume", "").await;
    let hands = house.get("/hands").await.text;
    assert!(hands.contains("Ann &lt;b&gt;") && !hands.contains("\u{202e}"), "{hands}");
    assert!(
        hands.contains("paused") && hands.contains("resumed") && hands.contains("somebody on this machine"),
        "{hands}"
    );
}

#[tokio::test]
async fn hostile_causes_and_reasons_stay_text() {
    let house = House::open().await;
    house.enqueue("k", "q", "{}").await;
    house.kill("q", HOSTILE).await;
    let causes = house.get("/causes").await.text;
    assert!(causes.contains("&lt;script&gt;") && !causes.contains("<script>alert"), "{causes}");
    let link =
        causes.split("href=\"").find(|link| link.starts_with("/many")).unwrap().split('"').next().unwrap();
    let question = house.get(&link.replace("&amp;", "&")).await.text;
    assert!(question.contains("Run again 1 job?") && !question.contains("<script>alert"), "{question}");
    let form = format!("{}&why={}", fields(&question), encoded(&HOSTILE.repeat(20)));
    let path = house.post("/many", &form).await.header("location").to_owned();
    for page in [path.as_str(), "/hands", "/jobs"] {
        let text = house.get(page).await.text;
        assert!(!text.contains("<script>alert") && !text.contains("<img"), "{page}: {text}");
    }
    assert!(ends(&house, &path).await.contains("1 job made to run again."));
}
