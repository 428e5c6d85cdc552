//! Typing errors that would act, or act on nothing: refused with the nearest name and with the way to do it all the same.

use std::process::Stdio;

use backshift_testkit::process::backshift_binary;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use crate::scene::{Embedded, Place, Proxy, Worker, backshift, backshift_fed};

#[track_caller]
fn says(ended: &crate::scene::Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    for word in words {
        assert!(ended.err.contains(word), "{word:?} in {ended:?}");
    }
}

#[tokio::test]
async fn a_queue_that_nobody_knows_is_not_paused() {
    let here = Embedded::with(&[("BACKSHIFT_PROBE", "true")]);
    here.run(&["enqueue", "k", "--payload", "{}", "--queue", "reports"]).await.done();
    for command in ["pause", "resume"] {
        let typo = here.run(&["queues", command, "reprots"]).await;
        says(&typo, 2, &["reprots", "did you mean reports?", "--new"]);
        says(&here.run(&["queues", command, "defualt"]).await, 2, &["did you mean default?"]);
        says(&here.run(&["queues", command, "nope"]).await, 2, &["nope is unknown", "queues list"]);
    }
    let listed = here.run(&["queues", "list", "--json"]).await.done().list();
    assert!(listed.iter().all(|queue| queue["paused"] == false), "{listed:?}");
    for known in ["reports", "default", "mail", "identity", "smtp_send_email"] {
        here.run(&["queues", "pause", known]).await.done();
    }
    here.run(&["queues", "pause", "tomorrow", "--new"]).await.done();
    here.run(&["queues", "resume", "tomorrow"]).await.done();
    let worker = Worker::ready(&["worker", "--queue", "a:b:2"], &here.settings).await;
    here.run(&["queues", "pause", "a:b"]).await.done();
    assert_eq!(worker.drained().await, Some(0));
}

/// A job there would wait where nobody looks. A new queue is not a mistake by itself: it begins with its first job.
async fn a_mistyped_queue_is_refused(place: Place) {
    place.migrate().await;
    let flags: Vec<&str> = place.flags.iter().map(String::as_str).collect();
    let enqueue = |queue: &'static str, more: &'static [&'static str]| {
        let job = ["enqueue", "backshift.probe", "--payload", r#"{"key":"x"}"#, "--queue", queue];
        let arguments = [&job[..], more, &flags].concat();
        let settings = place.settings.clone();
        async move { backshift(&arguments, &settings.pairs()).await }
    };
    says(&enqueue("defualt", &[]).await, 2, &["defualt is unknown", "did you mean default?", "--new"]);
    let fresh = enqueue("reports-1", &[]).await.done();
    says(&fresh, 0, &["reports-1 is new"]);
    let worker = place.worker("reports-1").await;
    let again = enqueue("reports-1", &[]).await.done();
    assert!(!again.err.contains("reports-1"), "a worker takes jobs from it: {again:?}");
    says(&enqueue("reprots-1", &[]).await, 2, &["did you mean reports-1?"]);
    // What is numbered on purpose is a queue of its own, and whoever means it has his way.
    says(&enqueue("reports-2", &[]).await, 0, &["reports-2 is new", "did you mean reports-1?"]);
    assert!(!enqueue("reprots-1", &["--new"]).await.done().err.contains("reprots-1"));
    assert_eq!(worker.drained().await, Some(0));
    assert!(!enqueue("reports-1", &[]).await.done().err.contains("reports-1"), "it has had a worker");
    let lines =
        ["smtp_sendemail", "default"].map(|queue| json!({"kind": "k", "queue": queue, "payload": {}}));
    let input = lines.map(|line| line.to_string()).join("\n");
    let arguments = [&["enqueue", "--stdin", "--json"][..], &flags].concat();
    let mixed = backshift_fed(&arguments, &place.settings.pairs(), &input).await;
    says(&mixed, 1, &["line 1: queue smtp_sendemail is unknown", "did you mean smtp_send_email?"]);
    assert_eq!(mixed.list().len(), 1, "{mixed:?}");
    let counted = place.run(&["queues", "list", "--json"]).await.done().list();
    assert!(counted.iter().all(|queue| queue["queue"] != "defualt"), "{counted:?}");
}

#[tokio::test]
async fn a_mistyped_queue_gets_no_job_on_the_embedded_broker() {
    a_mistyped_queue_is_refused(Place::embedded()).await;
}

#[tokio::test]
async fn a_mistyped_queue_gets_no_job_on_postgres() {
    let Some(place) = Place::postgres().await else { return };
    a_mistyped_queue_is_refused(place).await;
}

#[tokio::test]
async fn a_mistyped_queue_gets_no_job_on_rabbitmq() {
    let Some(place) = Place::rabbitmq().await else { return };
    a_mistyped_queue_is_refused(place).await;
}

/// The broker has the queue that looks mistyped; while it is away it cannot say so.
#[tokio::test]
async fn a_queue_is_not_called_mistyped_while_its_broker_is_away() {
    let Some(place) = Place::rabbitmq().await else { return };
    place.migrate().await;
    place.vhost().declare("defualt", lapin::types::FieldTable::default()).await;
    let proxy = Proxy::start(place.vhost().url(), false).await;
    let (broker, store) = (proxy.url(place.vhost().url()), place.flags[3].clone());
    let job =
        ["enqueue", "k", "--payload", "{}", "--queue", "defualt", "--broker", &broker, "--store", &store];
    let ended = backshift(&job, &place.settings.pairs()).await;
    says(&ended, 69, &["whether queue defualt is known", "taken as it is", "not accepted"]);
    let paused = ["queues", "pause", "defualt", "--broker", &broker, "--store", &store];
    backshift(&paused, &place.settings.pairs()).await.done();
}

/// What was read is kept and sent when the store is back, as without the look at its queue.
#[tokio::test]
async fn a_stream_of_jobs_outlives_a_store_that_is_away_for_a_moment() {
    let Some(place) = Place::postgres().await else { return };
    place.migrate().await;
    let url = place.database.as_ref().unwrap().url();
    let proxy = Proxy::start(&url, true).await;
    let mut command = tokio::process::Command::new(backshift_binary());
    command
        .args(["enqueue", "--stdin", "--broker", &proxy.url(&url)])
        .env_clear()
        .envs(place.settings.pairs());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let (mut input, mut ids) =
        (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = |queue: &str| json!({"kind": "k", "queue": queue, "payload": {}}).to_string() + "\n";
    // A whole batch: it is accepted before the next line is looked at.
    input.write_all(line("default").repeat(500).as_bytes()).await.unwrap();
    for _ in 0..500 {
        assert!(ids.next_line().await.unwrap().is_some());
    }
    proxy.switch_off();
    input.write_all((line("reports-1") + "no job\n").as_bytes()).await.unwrap();
    let mut all = Vec::new();
    while !all.iter().any(|line: &String| line.contains("line 502")) {
        all.push(said.next_line().await.unwrap().unwrap_or_else(|| panic!("it ended: {all:?}")));
    }
    assert!(all.iter().any(|line| line.contains("taken as it is")), "{all:?}");
    proxy.switch_on();
    drop(input);
    assert!(ids.next_line().await.unwrap().is_some(), "the job to reports-1 was accepted");
    assert_eq!((ids.next_line().await.unwrap(), child.wait().await.unwrap().code()), (None, Some(1)));
}

#[tokio::test]
async fn slots_that_are_no_number_are_no_part_of_a_name() {
    let here = Embedded::with(&[]);
    for (queue, words) in [
        ("default:many", ["\"many\" is no number of slots", "default:many:10"]),
        ("default:", ["no number of slots", "default:10"]),
        ("default:1O", ["\"1O\" is no number", "default:10"]),
        ("default:-1", ["\"-1\" is no number", "default:10"]),
        ("default:0", ["slots are a whole number", "from 1 to 10000"]),
    ] {
        says(&here.run(&["worker", "--queue", queue]).await, 2, &words);
        says(&here.run(&["doctor", "--queue", queue]).await, 2, &words);
    }
}

#[tokio::test]
async fn a_flag_that_would_be_passed_over_is_refused() {
    let here = Embedded::with(&[]);
    for more in [&[][..], &["--broker", "embedded:other.db"], &["--broker", "postgres://u@127.0.0.1/x"]] {
        let ended = here.run(&[&["worker", "--no-store"], more].concat()).await;
        says(&ended, 2, &["--no-store", "leave --no-store away", "--broker amqp:"]);
    }
}

#[tokio::test]
async fn a_broker_of_a_later_version_does_not_become_the_embedded_file() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let data = ("BACKSHIFT_DATA_DIR", data.to_str().unwrap());
    for (variable, value, key) in [
        ("NATS_URL", "nats://u:geheim@h:4222", "nats.url"),
        ("REDIS_URL", "redis://h:6379", "redis.url"),
        ("KAFKA_BROKERS", "h:9092", "kafka.brokers"),
    ] {
        let settings = [data, (variable, value)];
        for command in [
            &["worker"][..],
            &["api"],
            &["enqueue", "k", "--payload", "{}"],
            &["jobs", "list"],
            &["queues", "list"],
            &["migrate", "up"],
            &["bench"],
            &["doctor"],
        ] {
            let ended = backshift(command, &settings).await;
            says(&ended, 78, &[key, variable, "not supported by this version", "BACKSHIFT_BROKER_URL"]);
            assert!(!ended.err.contains("geheim"), "{ended:?}");
        }
        // Another place is named: nothing is guessed, and the doctor says what is passed over.
        let file = format!("sqlite:{}", directory.path().join("mine.db").display());
        backshift(&["migrate", "up"], &[data, (variable, value), ("DATABASE_URL", &file)]).await.done();
        let looked = backshift(&["doctor"], &[data, (variable, value), ("DATABASE_URL", &file)]).await.done();
        assert!(looked.out.contains(key) && looked.out.contains("passed over"), "{looked:?}");
    }
    assert!(!directory.path().join("data").exists(), "nothing was made");
}

#[tokio::test]
async fn what_has_done_its_work_runs_no_second_time_and_that_is_said() {
    let here = Embedded::with(&[("BACKSHIFT_PROBE", "true")]);
    let enqueued =
        here.run(&["enqueue", "backshift.probe", "--payload", r#"{"key":"once"}"#, "--json"]).await;
    let id = enqueued.done().list()[0].as_str().unwrap().to_owned();
    let worker = Worker::ready(&["worker"], &here.settings).await;
    let done = backshift_testkit::wait::until(crate::scene::PATIENCE, || async {
        here.list(&["--state", "completed"]).await.len() == 1
    });
    assert!(done.await, "{}", worker.output());
    for (command, word) in [("retry", "runs no second time"), ("cancel", "nothing to cancel")] {
        says(&here.run(&["jobs", command, &id]).await, 1, &[&id, "completed", word]);
    }
    assert_eq!(worker.drained().await, Some(0));
}

#[tokio::test]
async fn numbers_that_mean_nothing_are_wrong_use() {
    let here = Embedded::with(&[]);
    for (arguments, word) in [
        (&["enqueue", "k", "--payload", "{}", "--count", "0"][..], "1..=100000000"),
        (&["bench", "--jobs", "0"], "1..=1000000"),
        (&["bench", "--slots", "0"], "1..=10000"),
        (&["jobs", "list", "--limit", "0"], "1..=500"),
    ] {
        says(&here.run(arguments).await, 2, &[word]);
    }
    assert_eq!(here.run(&["jobs", "list"]).await.code, 78, "there is not even a file");
}

/// `completions bash | head -1`: whoever has heard enough closes the pipe.
#[tokio::test]
async fn a_pipe_that_is_closed_early_is_no_panic() {
    for arguments in
        [&["completions", "bash"][..], &["completions", "zsh"], &["config", "template"], &["help"]]
    {
        let mut command = tokio::process::Command::new(backshift_binary());
        command.args(arguments).env_clear().kill_on_drop(true);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
        let status = child.wait().await.unwrap();
        assert!(!said.contains("panicked") && status.code() == Some(0), "{arguments:?}: {status:?} {said}");
    }
}
