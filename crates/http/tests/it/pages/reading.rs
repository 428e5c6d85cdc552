//! What the pages say, empty and full, and that text from outside stays text.

use std::time::Duration;

use axum::http::{Request, StatusCode, header};
use backshift_core::{
    JobId, QueueName, WorkerName,
    store::{Beat, Holder, Ledger},
};

use backshift_http::pages::{OwnKinds, told};
use backshift_testkit::wait;

use super::house::{HOSTILE, House};

const ROOMS: [&str; 6] = ["/overview", "/jobs", "/jobs?state=dead", "/queues", "/workers", "/hands"];

#[tokio::test]
async fn empty_pages_teach() {
    let house = House::open().await;
    for room in ROOMS {
        let page = house.get(room).await;
        assert_eq!(page.status, StatusCode::OK, "{room}: {}", page.text);
        assert!(page.header("content-type").starts_with("text/html"), "{room}");
    }
    let overview = house.get("/overview").await.text;
    assert!(overview.contains("No work yet. Nothing needs you."), "{overview}");
    assert!(overview.contains("backshift enqueue email.send --queue mail"), "{overview}");
    assert!(house.get("/workers").await.text.contains("No worker runs."));
}

#[tokio::test]
async fn every_state_has_its_page_and_its_next_step() {
    let house = House::open().await;
    let waits = house.enqueue("k", "alone", "{}").await;
    let dead = house.enqueue("k", "d", "{}").await;
    house.kill("d", "550 <anna@example.com> unknown").await;
    let retrying = house.enqueue("k", "r", "{}").await;
    house.fail("r", "450 4.2.1 mailbox busy", Duration::from_secs(3600)).await;
    let done = house.enqueue("k", "c", "{}").await;
    house.complete("c", Some("suppressed")).await;
    for (id, wanted) in [
        (waits, ["waits for a worker", "No worker takes jobs from alone now."]),
        (dead, ["Why is it dead?", "550 &lt;an***@example.com&gt; unknown"]),
        (retrying, ["Why is it not running?", "450 4.2.1 mailbox busy"]),
        (done, ["k is done", "suppressed"]),
    ] {
        let page = house.get(&format!("/jobs/{id}")).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        for word in wanted {
            assert!(page.text.contains(word), "{word}: {}", page.text);
        }
        assert!(!page.text.contains("anna@example.com"), "addresses are masked");
        assert!(page.text.contains(&format!("backshift jobs show {id}")));
    }
    let overview = house.get("/overview").await.text;
    assert!(
        overview
            .contains("1 dead letter in d, which said: <code>550 &lt;an***@example.com&gt; unknown</code>")
    );
    let list = house.get("/jobs?state=dead").await.text;
    assert!(list.contains(&dead.to_string()) && !list.contains(&done.to_string()));
    assert!(list.contains("Dead letters wait for you."));
    let found = house.get("/jobs?find=queue:r+kind:k").await.text;
    assert!(found.contains(&retrying.to_string()) && !found.contains(&dead.to_string()));
}

#[tokio::test]
async fn a_running_job_shows_its_progress() {
    let house = House::open().await;
    let id = house.enqueue("k", "q", "{}").await;
    let (_, start) = house.claim("q").await;
    let holder = Holder { worker: WorkerName::new("worker-1").unwrap(), lease: Duration::from_secs(30) };
    let beat = Beat { lease: start.lease, progress: Some((40, "of the <b>rows</b>".into())) };
    house.store.beat(&holder, vec![beat]).await.unwrap();
    let page = house.get(&format!("/jobs/{id}")).await.text;
    assert!(page.contains("<progress max=\"100\" value=\"40\">"), "{page}");
    assert!(page.contains("40 % of the &lt;b&gt;rows&lt;"), "{page}");
    assert!(house.get("/jobs").await.text.contains("Running, 40 %"));
}

#[tokio::test]
async fn hostile_text_stays_text() {
    let house = House::open().await;
    let payload = serde_json::json!({"key": HOSTILE, "password": "hunter2", "n": 9_007_199_254_740_993_u64});
    let id = house.enqueue("k", "q", &payload.to_string()).await;
    house.kill("q", HOSTILE).await;
    let raw = house.enqueue("k", "raw", "no json \u{1f980}").await;
    let find = "/jobs?find=%3Cscript%3Ealert%281%29%3C%2Fscript%3E&state=%22%3E%3Cscript%3E";
    let paths = [
        format!("/jobs/{id}"),
        find.to_owned(),
        "/jobs/%3Cscript%3E".into(),
        "/%3Cscript%3Ealert(1)%3C/script%3E".into(),
    ];
    for path in paths.iter().map(String::as_str).chain(ROOMS) {
        let page = house.get(path).await;
        let ours = ["live", "keys"].map(|name| format!("<script src=\"/assets/{name}.js\" defer></script>"));
        let body = ours.iter().fold(page.text.clone(), |text, script| text.replace(script, ""));
        for harm in ["<script", "<img", "<b>{{", "<b>49", "\u{202e}", "hunter2"] {
            assert!(!body.contains(harm), "{path} has {harm}: {body}");
        }
    }
    let whole = house.get(&format!("/jobs/{id}?payload=whole")).await.text;
    assert!(!whole.contains("hunter2") && !whole.contains("<img"), "secrets stay hidden: {whole}");
    let page = house.get(&format!("/jobs/{id}")).await.text;
    assert!(page.contains("9007199254740993") && page.contains("(hidden)"), "{page}");
    assert!(house.get(&format!("/jobs/{raw}")).await.text.contains("bytes that cannot be read as JSON"));
}

#[tokio::test]
async fn an_unknown_address_is_told_to_people_and_to_programs() {
    let house = House::open().await;
    let page = house.get("/nothing/here").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.text.contains("There is nothing here") && page.text.contains("No page has the address"));
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    let gone = JobId::generate();
    assert!(house.get(&format!("/jobs/{gone}")).await.text.contains(&format!("There is no job {gone}")));
    for (path, accept) in [
        ("/nothing", "*/*"),
        ("/nothing", "application/json"),
        ("/api/v1/nothing", "text/html"),
        ("/api/v2", "text/html"),
        ("/api/x", "text/html"),
    ] {
        let answer = house.send(Request::get(path).header(header::ACCEPT, accept), "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path} {accept}");
        assert_eq!(answer.text, r#"{"title":"Not Found","status":404}"#, "{path} {accept}");
    }
}

#[tokio::test]
async fn a_payload_is_masked_until_somebody_unmasks_it() {
    let house = House::open().await;
    let payload = serde_json::json!({"Recipient": "anna@example.com", "Body": "x".repeat(400)}).to_string();
    let id = house.enqueue("email.send", "mail", &payload).await;
    let page = house.get(&format!("/jobs/{id}")).await.text;
    assert!(page.contains("an***@example.com") && page.contains("&lt;400 characters&gt;"), "{page}");
    assert!(!page.contains("anna@") && page.contains(&format!("href=\"/jobs/{id}?payload=whole\"")));
    let whole = house.get(&format!("/jobs/{id}?payload=whole")).await.text;
    assert!(whole.contains("anna@example.com") && whole.contains(&"x".repeat(400)));
}

#[tokio::test]
async fn without_a_section_its_pages_are_not_there() {
    let house = House::open().await;
    assert_eq!(house.get("/").await.header("location"), "/overview");
    assert!(!house.get("/overview").await.text.contains("Toys"));
    assert_eq!(house.get("/toys").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn long_lists_end_in_a_link() {
    let house = House::open().await;
    for _ in 0..51 {
        house.enqueue("k", "q", "{}").await;
    }
    let page = house.get("/jobs").await.text;
    assert_eq!(page.matches("data-key=").count(), 50);
    let (_, after) = page.split_once("class=\"more\" href=\"").unwrap();
    let older = after.split('"').next().unwrap().replace("&amp;", "&");
    assert_eq!(house.get(&older).await.text.matches("data-key=").count(), 1);
    let gone = format!("/jobs?after={}", JobId::generate());
    assert_eq!(house.get(&gone).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_search_finds_by_state_word_user_and_time_and_says_what_it_understood() {
    let house = House::open().await;
    let dead = house.enqueue("email.send", "mail", r#"{"order":"A-4711","to":"anna@example.com"}"#).await;
    house.kill("mail", "450 4.2.1 mailbox busy").await;
    let waits = house.enqueue("report.build", "reports", r#"{"order":"A-4712"}"#).await;
    let finds = async |query: &str| {
        let page = house.get(&format!("/jobs?{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}: {}", page.text);
        (
            page.text.contains(&format!("data-key=\"{dead}\"")),
            page.text.contains(&format!("data-key=\"{waits}\"")),
        )
    };
    for (query, found) in [
        ("state=failed", (true, false)),
        ("find=failed", (true, false)),
        ("find=state:discarded", (true, false)),
        ("find=pending", (false, true)),
        ("find=state:queued", (false, true)),
        ("find=active", (false, false)),
        ("find=BUSY", (true, false)),
        ("find=%22mailbox+busy%22", (true, false)),
        ("find=error:busy", (true, false)),
        ("find=payload:busy", (false, false)),
        ("find=A-471", (true, true)),
        ("find=payload:a-4712", (false, true)),
        ("find=report", (false, true)),
        ("find=a-471+since:1h", (true, true)),
        ("find=until:2020-01-01", (false, false)),
        ("find=kind:email.send+failed+busy", (true, false)),
        ("state=dead&find=a-4712", (false, false)),
    ] {
        assert_eq!(finds(query).await, found, "{query}");
    }
    let page = house.get("/jobs?state=failed&find=busy+since:2020-01-01").await.text;
    assert!(
        page.contains("somewhere \u{201c}busy\u{201d}") && page.contains("since 2020-01-01 00:00:00 UTC"),
        "{page}"
    );
    assert!(
        page.contains(
            "backshift jobs list --state dead --since 2020-01-01T00:00:00Z --text=&#x27;busy&#x27;"
        ),
        "{page}"
    );
    assert_eq!(house.get(&format!("/jobs?find={dead}")).await.header("location"), format!("/jobs/{dead}"));
}

#[tokio::test]
async fn what_finds_nothing_and_what_nobody_understands_shows_no_other_jobs() {
    let house = House::open().await;
    for n in 0..3 {
        house.enqueue("k", "q", &format!("{{\"n\":{n}}}")).await;
    }
    let nobody = JobId::generate();
    for (query, said) in [
        ("find=nowhere".to_owned(), "No job is like this."),
        ("find=kind:other".into(), "No job is like this."),
        (format!("find={nobody}"), "No job concerns a user with it."),
        (format!("find=id:{nobody}"), "No job has the id"),
        ("state=nonsense".into(), "is no state. There are scheduled, available"),
        ("find=colour:red".into(), "is no key. There are state: status: kind: queue:"),
        ("find=kind:k+kind:l".into(), "or there are two of them"),
        ("find=since:yesterday".into(), "is no time: write 2h"),
        ("state=dead&find=running".into(), "is a second state"),
    ] {
        let page = house.get(&format!("/jobs?{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}");
        assert!(page.text.contains(said), "{query} lacks {said}: {}", page.text);
        assert!(!page.text.contains("data-key="), "{query} shows jobs that nobody asked for");
    }
}

#[tokio::test]
async fn a_search_spells_out_no_secret() {
    let house = House::open().await;
    let payload = r#"{"user":"lan","password":"hunter2","note":"open \u0026 shut","tags":["x", "y"]}"#;
    let id = house.enqueue("k", "q", payload).await;
    let finds = async |word: &str| {
        house.get(&format!("/jobs?find={word}")).await.text.contains(&format!("data-key=\"{id}\""))
    };
    for shown in ["lan", "payload:lan", "user", "%22tags%22"] {
        assert!(finds(shown).await, "{shown}");
    }
    for hidden in ["hunter2", "payload:hunter", "payload:%22password%5C%22:%5C%22h%22"] {
        assert!(!finds(hidden).await, "{hidden}");
    }
}

/// Counting ends after so many jobs of a sort: then no queue is said to be empty or unknown, and a queue with a job is found.
#[tokio::test]
async fn a_queue_behind_all_that_is_counted_is_never_said_to_be_empty() {
    let house = House::open().await;
    let crowd = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50001) \
        INSERT INTO background_jobs (id, job_type, queue, broker, status, priority, run_at, created_at, updated_at) \
        SELECT printf('019aa3c1-7f2e-7c40-9d1b-%012x', i), 'k', 'crowd', 'embedded', 'scheduled', 0, clock_timestamp() + 3600000000, clock_timestamp(), \
        clock_timestamp() FROM n";
    house.db.sql(crowd).run().await.unwrap();
    house.enqueue("k", "hidden", "{}").await;
    house.fail("hidden", "not now", Duration::from_secs(7200)).await;
    let ask = async |name: &str| {
        let name = QueueName::new(name).unwrap();
        told::queue(&house.store, &name, &OwnKinds::default()).await.unwrap()
    };
    let (_, told) = ask("hidden").await.expect("its job is there");
    let honest = "none of the jobs that were counted is in it, there may be some further back";
    assert!(told.headline.contains(honest), "{}", told.headline);
    assert!(ask("nobody").await.unwrap().1.headline.contains(honest), "nobody can say so soon");
    let done =
        "UPDATE background_jobs SET status = 'completed', finished_at = created_at WHERE queue = 'crowd'";
    house.db.sql(done).run().await.unwrap();
    // A count that took long is kept for a while.
    let strange = wait::until(wait::PATIENCE, || async { ask("nobody").await.is_none() }).await;
    assert!(strange, "many completed jobs make no strange name a known one");
    house
        .db
        .sql("DELETE FROM background_jobs WHERE queue = 'crowd' AND run_at > 0 AND rowid % 2 = 0")
        .run()
        .await
        .unwrap();
    assert!(ask("nobody").await.is_none(), "all were counted");
}
