//! The terminal says what the pages say: why, with what can be seen, and the command that changes it. The exit code is the answer.

use crate::{scene::Embedded, terminal::file_of};

#[tokio::test]
async fn a_job_and_its_queue_say_what_stands_in_their_way_and_which_command_changes_it() {
    let here = Embedded::with(&[]);
    let job = here.run(&["enqueue", "a.b", "--payload", "{}", "--queue", "q", "--json"]).await.done().list();
    let id = job[0].as_str().unwrap();
    // Nobody works it.
    for command in [&["jobs", "explain", id][..], &["queues", "explain", "q"]] {
        let told = here.run(command).await;
        assert_eq!(told.code, 1, "{told:?}");
        assert!(told.out.contains("No worker takes jobs from q now"), "{told:?}");
        assert!(told.out.contains("no worker gave a sign of life"), "{told:?}");
        let lead = "somebody must act. The program that handles a.b must run, with a pool for q";
        assert!(told.err.contains(lead) && !told.out.contains("backshift worker"), "{told:?}");
    }
    // What stands before the rest comes first.
    here.run(&["queues", "pause", "q"]).await.done();
    for command in [&["jobs", "explain", id, "--json"][..], &["queues", "explain", "q", "--json"]] {
        let told = here.run(command).await;
        assert_eq!(told.code, 1, "{told:?}");
        let told = told.json();
        assert_eq!(told["needs_somebody"], true);
        assert_eq!(told["causes"][0]["command"], "backshift queues resume q", "{told}");
        assert!(told["causes"][0]["cause"].as_str().unwrap().contains("is paused"), "{told}");
    }
    // The command that was named changes it, and what nobody needs to act on is 0.
    here.run(&["queues", "resume", "q"]).await.done();
    here.run(&["jobs", "cancel", id]).await.done();
    for command in [&["jobs", "explain", id][..], &["queues", "explain", "q"]] {
        let told = here.run(command).await.done();
        assert!(!told.out.contains("backshift "), "{told:?}");
    }
    let nobody = "019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55";
    for command in [&["jobs", "explain", nobody][..], &["queues", "explain", "nope"]] {
        assert_eq!(here.run(command).await.code, 2, "1 means only that somebody must act");
    }
}

#[tokio::test]
async fn a_queue_that_nobody_works_for_a_while_is_one_cause_and_not_two() {
    let here = Embedded::with(&[]);
    here.run(&["enqueue", "a.b", "--payload", "{}", "--queue", "q"]).await.done();
    let file = rusqlite::Connection::open(file_of(&here)).unwrap();
    file.execute("UPDATE background_jobs SET run_at = run_at - 60000000", []).unwrap();
    let told = here.run(&["queues", "explain", "q", "--json"]).await;
    assert_eq!(told.code, 1, "{told:?}");
    let causes = told.json()["causes"].as_array().unwrap().clone();
    assert_eq!(causes.len(), 1, "{causes:?}");
    assert!(causes[0]["cause"].as_str().unwrap().contains("Nobody works q"), "{causes:?}");
    assert_eq!(causes[0]["command"], "backshift jobs list --queue q --state available");
    // What this binary handles is worked by its own worker; without a mail server by `dev`.
    let mail = ["enqueue", "email.send", "--payload", "{}", "--queue", "m"];
    here.run(&mail).await.done();
    for (smtp, command) in [("", "backshift dev"), ("127.0.0.1", "backshift worker --queue m")] {
        let settings = here.settings.with(&[("SMTP_HOST", smtp)]);
        let told = crate::scene::backshift(&["queues", "explain", "m", "--json"], &settings.pairs()).await;
        assert_eq!(told.json()["causes"][0]["command"], command, "{told:?}");
    }
}

#[tokio::test]
async fn a_job_is_shown_to_people_with_the_masks_of_its_page_and_to_programs_whole() {
    let here = Embedded::with(&[]);
    let payload = r#"{"to":"anna@example.com","password":"geheim","n":7}"#;
    let job =
        here.run(&["enqueue", "a.b", "--payload", payload, "--queue", "q", "--in", "5m", "--json"]).await;
    let job = job.done().list();
    let id = job[0].as_str().unwrap();
    let shown = here.run(&["jobs", "show", id]).await.done().out;
    for text in [
        "a.b waits for its time",
        id,
        "Why is it not running?",
        "What happened",
        "Accepted into q",
        "\"n\": 7",
    ] {
        assert!(shown.contains(text), "{text:?} is missing: {shown}");
    }
    assert!(
        shown.contains("an***@example.com") && !shown.contains("anna@") && !shown.contains("geheim"),
        "{shown}"
    );
    assert!(shown.contains(&format!("backshift jobs retry {id}")), "{shown}");
    let whole = here.run(&["jobs", "show", id, "--json"]).await.done().json();
    for (name, value) in [("id", id), ("state", "scheduled"), ("queue", "q"), ("broker", "embedded")] {
        assert_eq!(whole[name], value);
    }
    assert_eq!((&whole["attempts"], &whole["payload_size"]), (&serde_json::json!([]), &payload.len().into()));
}
