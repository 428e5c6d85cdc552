//! What a newcomer reads: who stopped a job, what is parked, which name was meant, why a list is empty.

use backshift_testkit::wait;
use serde_json::json;

use crate::scene::{Embedded, Ended, PATIENCE, Place, Worker, backshift, backshift_fed, probe};

const NOBODY: &str = "019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55";

#[track_caller]
fn says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    for word in words {
        assert!(ended.out.contains(word) || ended.err.contains(word), "{word:?} in {ended:?}");
    }
}

/// A handler cannot know why it was told to stop; what it says then is not why its job ended.
async fn whoever_cancels_a_running_job_is_told(place: Place) {
    place.migrate().await;
    let place = place.with(&[("USER", "ann")]);
    let ids = place.enqueue(&[probe("slow", "sleep", 600_000, 0)]).await;
    let id = ids[0].as_str();
    let worker = place.worker("probes").await;
    place.wait_state(id, "running").await;
    says(
        &place.run(&["jobs", "retry", id]).await,
        0,
        &["it runs now, nothing was changed", "backshift jobs cancel"],
    );
    let cancelled = place.run(&["jobs", "cancel", id, "--why", "mistyped"]).await;
    says(&cancelled, 0, &[id, "running: its handler is asked to stop", "backshift jobs show"]);
    let shown = place.wait_state(id, "cancelled").await;
    assert_eq!(shown["error"], json!(null), "what the handler said when it was stopped is no error: {shown}");
    assert_eq!(shown["attempts"][0]["outcome"], "cancelled", "{shown}");
    let listed = place.run(&["jobs", "list"]).await.done();
    says(&listed, 0, &["cancelled by ann@", ": mistyped"]);
    let told = place.run(&["jobs", "explain", id]).await;
    says(&told, 0, &["was cancelled", "cancelled by hand, by ann@", ": mistyped"]);
    let people = place.run(&["jobs", "show", id]).await.done();
    says(&people, 0, &["Asked to stop by ann@", "Cancelled"]);
    for ended in [&listed, &told, &people] {
        assert!(!ended.out.contains("told to stop"), "{ended:?}");
    }
    worker.wait_logged("info", "cancelled by hand").await;
    assert_eq!(worker.drained().await, Some(0));
}

#[tokio::test]
async fn whoever_cancels_a_running_job_is_told_on_the_embedded_broker() {
    whoever_cancels_a_running_job_is_told(Place::embedded()).await;
}

#[tokio::test]
async fn whoever_cancels_a_running_job_is_told_on_postgres() {
    let Some(place) = Place::postgres().await else { return };
    whoever_cancels_a_running_job_is_told(place).await;
}

#[tokio::test]
async fn whoever_cancels_a_running_job_is_told_on_rabbitmq() {
    let Some(place) = Place::rabbitmq().await else { return };
    whoever_cancels_a_running_job_is_told(place).await;
}

/// `parked` is a word of the lists, of every search, and of what is done to all that match.
async fn what_is_parked_is_found_by_that_word(place: Place) {
    place.migrate().await;
    let stranger = json!({"kind": "report.biuld", "queue": "probes", "payload": {}});
    let later = json!({"kind": "report.biuld", "queue": "probes", "payload": {}, "in": "1h"});
    let waits = json!({"kind": "report.biuld", "queue": "elsewhere", "payload": {}});
    let ids = place.enqueue(&[stranger, later, waits]).await;
    let worker = place.worker("probes").await;
    let parked = async || place.run(&["jobs", "list", "--state", "parked", "--json"]).await.done().list();
    let there = wait::until(PATIENCE, || async { parked().await.len() == 1 }).await;
    assert!(there, "{:?}\n{}", parked().await, worker.output());
    assert_eq!(parked().await[0]["id"], ids[0].as_str());
    let listed = place.run(&["jobs", "list", "--queue", "probes"]).await.done();
    let state = |id: &str| {
        let row = listed.out.lines().find(|line| line.starts_with(id)).unwrap().to_owned();
        row.split_whitespace().nth(3).unwrap().to_owned()
    };
    assert_eq!((state(&ids[0]).as_str(), state(&ids[1]).as_str()), ("parked", "scheduled"), "{listed:?}");
    assert!(place.run(&["jobs", "list", "--state", "held", "--json"]).await.done().list().is_empty());
    says(
        &place.run(&["jobs", "explain", &ids[0]]).await,
        1,
        &["The program that handles report.biuld must run"],
    );
    says(
        &place.run(&["jobs", "retry", "--state", "parked", "--yes"]).await,
        2,
        &["does not apply to parked jobs"],
    );
    let all = ["jobs", "cancel", "--state", "parked", "--kind", "report.biuld", "--yes"];
    says(&place.run(&all).await, 0, &["1 job cancelled"]);
    assert!(parked().await.is_empty());
    assert_eq!(place.show(&ids[1]).await["state"], "scheduled", "what is not parked was left alone");
    assert_eq!(worker.drained().await, Some(0));
}

#[tokio::test]
async fn what_is_parked_is_found_by_that_word_on_the_embedded_broker() {
    what_is_parked_is_found_by_that_word(Place::embedded()).await;
}

#[tokio::test]
async fn what_is_parked_is_found_by_that_word_on_postgres() {
    let Some(place) = Place::postgres().await else { return };
    what_is_parked_is_found_by_that_word(place).await;
}

#[tokio::test]
async fn what_is_parked_is_found_by_that_word_on_rabbitmq() {
    let Some(place) = Place::rabbitmq().await else { return };
    what_is_parked_is_found_by_that_word(place).await;
}

/// Another program may know the kind tomorrow: it is accepted, and told once.
async fn a_misspelt_kind_is_told(place: Place) {
    place.migrate().await;
    let flags: Vec<&str> = place.flags.iter().map(String::as_str).collect();
    let enqueue = async |kind: &str, more: &[&str]| {
        let job = ["enqueue", kind, "--payload", "{}", "--queue", "probes"];
        backshift(&[&job[..], more, &flags].concat(), &place.settings.pairs()).await.done()
    };
    says(&enqueue("email.sned", &[]).await, 0, &["kind email.sned is new", "did you mean email.send?"]);
    assert!(!enqueue("email.send", &[]).await.err.contains("kind"), "it is one of our own");
    assert!(
        !enqueue("backshift.probes", &["--new"]).await.err.contains("kind"),
        "whoever means it has his way"
    );
    let of_theirs = place.settings.with(&[("BACKSHIFT_WORKER_NAME", "theirs")]);
    let worker = Worker::ready(&[&["worker", "--queue", "probes"], &flags[..]].concat(), &of_theirs).await;
    // RabbitMQ's messages come into the ledger with their first claim.
    let seen = wait::until(PATIENCE, || async { !enqueue("email.sned", &[]).await.err.contains("is new") });
    assert!(seen.await, "there are jobs of it by now: {}", worker.output());
    let line = json!({"kind": "unheard.of", "queue": "probes", "payload": {}}).to_string();
    let arguments = [&["enqueue", "--stdin"], &flags[..]].concat();
    let told =
        backshift_fed(&arguments, &place.settings.pairs(), &[line.as_str(); 3].join("\n")).await.done();
    assert_eq!(told.err.matches("unheard.of is new").count(), 1, "{told:?}");
    assert_eq!(worker.drained().await, Some(0));
}

#[tokio::test]
async fn a_misspelt_kind_is_told_on_the_embedded_broker() {
    a_misspelt_kind_is_told(Place::embedded()).await;
}

#[tokio::test]
async fn a_misspelt_kind_is_told_on_postgres() {
    let Some(place) = Place::postgres().await else { return };
    a_misspelt_kind_is_told(place).await;
}

#[tokio::test]
async fn a_misspelt_kind_is_told_on_rabbitmq() {
    let Some(place) = Place::rabbitmq().await else { return };
    a_misspelt_kind_is_told(place).await;
}

#[tokio::test]
async fn a_job_that_nobody_knows_is_wrong_use_in_every_command_and_a_deleted_one_names_the_hand() {
    let here = Embedded::with(&[("USER", "ann")]);
    let made = here.run(&["enqueue", "a.b", "--payload", "{}", "--json"]).await.done().list();
    let id = made[0].as_str().unwrap();
    here.run(&["jobs", "cancel", id]).await.done();
    says(&here.run(&["jobs", "cancel", id]).await, 0, &["cancelled"]);
    here.run(&["jobs", "delete", id, "--why", "no more"]).await.done();
    for command in [
        &["show"][..],
        &["show", "--json"],
        &["explain"],
        &["explain", "--json"],
        &["retry"],
        &["cancel"],
        &["delete"],
    ] {
        let of = |id| [&["jobs"], &command[..1], &[id], &command[1..]].concat();
        says(&here.run(&of(NOBODY)).await, 2, &["There is no job", NOBODY]);
        says(&here.run(&of(id)).await, 2, &[id, "any more. ann@", "deleted it at 20", "no more"]);
    }
    let other = here.run(&["enqueue", "a.b", "--payload", "{}", "--json"]).await.done().list();
    let some = here.run(&["jobs", "cancel", other[0].as_str().unwrap(), NOBODY]).await;
    says(&some, 1, &["cancelled", "There is no job"]);
}

#[tokio::test]
async fn an_empty_list_says_why_and_stays_one_for_programs() {
    let here = Embedded::with(&[]);
    says(&here.run(&["jobs", "list"]).await, 78, &["`backshift dev` or `backshift migrate up` makes one"]);
    says(&here.run(&["doctor"]).await, 78, &["`backshift dev` or `backshift migrate up` makes one"]);
    here.run(&["migrate", "up"]).await.done();
    for (command, word) in [
        (&["jobs", "list"][..], "no jobs yet"),
        (&["jobs", "list", "--kind", "a.b"], "no job is like this"),
        (&["jobs", "list", "--queue", "defalut"], "did you mean --queue default?"),
        (&["jobs", "list", "--kind", "email.sned"], "did you mean --kind email.send?"),
        (&["jobs", "hands"], "nobody did anything by hand"),
        (&["dead", "group"], "no dead letters"),
        (&["dead", "group", "--kind", "a.b"], "no dead letter is like this"),
        (&["queues", "list"], "no queue holds a job yet"),
        (&["suppressions", "list"], "no address is suppressed"),
    ] {
        let told = here.run(command).await.done();
        assert!(told.err.contains(word) && told.out.is_empty(), "{command:?}: {told:?}");
        let read = here.run(&[command, &["--json"]].concat()).await.done();
        assert!(read.list().is_empty() && read.err.is_empty(), "{command:?}: {read:?}");
    }
    let told = here.run(&["jobs", "retry", "--state", "dead", "--dry-run"]).await.done();
    says(&told, 0, &["no job is like this"]);
    says(&here.fed(&["enqueue", "--stdin"], "\n\n").await, 0, &["held no job"]);
}

#[tokio::test]
async fn the_name_that_was_meant_is_said() {
    let here = Embedded::with(&[]);
    here.run(&["enqueue", "a.b", "--payload", "{}", "--queue", "reports"]).await.done();
    says(&here.run(&["queues", "explain", "reprots"]).await, 2, &["did you mean reports?", "queues list"]);
    says(
        &here.run(&["jobs", "list", "--state", "compelted"]).await,
        2,
        &["did you mean completed?", "parked, held"],
    );
    says(&here.run(&["jobs", "list", "--user", "bob"]).await, 2, &["no id of a user", "--payload bob"]);
}
