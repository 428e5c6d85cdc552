//! Every wrong setting of an operator's list: each answer names the key, the value, where it was set and what to write instead,
//! and ends with the code that tells a supervisor whether a repeat can help.

mod table;

use backshift_testkit::{
    process::backshift_binary,
    servers::{self, TestDatabase},
};
use futures::{StreamExt, stream};

use crate::scene::{Ended, backshift};
use table::{
    AT_THE_START, CONTRADICTIONS, DOCTOR, OF_RABBITMQ, OF_SERVERS, REFUSED_WHEN_READ, Row, SHOW, WORKER,
};

/// One mistake.
struct Wrong {
    command: &'static [&'static str],
    settings: Vec<(String, String)>,
    code: i32,
    words: Vec<String>,
}

fn wrong(command: &'static [&'static str], settings: &[(&str, &str)], code: i32, words: &[&str]) -> Wrong {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    Wrong { command, settings: settings.iter().map(own).collect(), code, words }
}

/// The addresses that words in braces stand for.
fn addresses(database: &str, rabbit: &str) -> Vec<(&'static str, String)> {
    let changed = |change: fn(&mut url::Url)| {
        let mut url = url::Url::parse(rabbit).unwrap();
        change(&mut url);
        url.to_string()
    };
    let url = url::Url::parse(rabbit).unwrap();
    vec![
        ("{database}", database.to_owned()),
        ("{wrong_password}", changed(|url| url.set_password(Some("geheim")).unwrap())),
        ("{other_vhost}", changed(|url| url.set_path("/not-there"))),
        ("{tls}", rabbit.replacen("amqp:", "amqps:", 1)),
        // No mail server, and no TLS there.
        ("{host}", url.host_str().unwrap().to_owned()),
        ("{port}", url.port().unwrap().to_string()),
    ]
}

fn row(&(command, settings, code, words): &Row) -> Wrong {
    wrong(command, settings, code, words)
}

fn row_at(&(command, settings, code, words): &Row, addresses: &[(&str, String)]) -> Wrong {
    let filled =
        |text: &str| addresses.iter().fold(text.to_owned(), |text, (word, is)| text.replace(word, is));
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), filled(value))).collect();
    Wrong { settings, ..wrong(command, &[], code, words) }
}

async fn run(row: &Wrong, data: &str) -> Ended {
    let mut settings = vec![("BACKSHIFT_DATA_DIR", data)];
    settings.retain(|(name, _)| !row.settings.iter().any(|(own, _)| own == name));
    settings.extend(row.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    backshift(row.command, &settings).await
}

fn judge(row: &Wrong, ended: &Ended) -> Option<String> {
    let missing: Vec<&String> = row.words.iter().filter(|word| !ended.err.contains(*word)).collect();
    let leaked = ended.err.contains("geheim") || ended.out.contains("geheim");
    let once = ended.err.lines().filter(|line| line.starts_with("backshift: ")).count() == 1 || row.code == 2;
    (ended.code != row.code || !missing.is_empty() || leaked || !once).then(|| {
        format!(
            "{:?} {:?}: wanted {} with {missing:?}, leaked {leaked}, once {once}: {ended:?}",
            row.command, row.settings, row.code
        )
    })
}

async fn all_are_told(rows: Vec<Wrong>) {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    // The store is there from the first row on: one row's command could make it while another's looks for it.
    let made = backshift(&["migrate", "up"], &[("BACKSHIFT_DATA_DIR", data)]).await;
    assert_eq!(made.code, 0, "{made:?}");
    let failures: Vec<String> = stream::iter(&rows)
        .map(|row| async move { judge(row, &run(row, data).await) })
        .buffer_unordered(8)
        .filter_map(async |failure| failure)
        .collect()
        .await;
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), rows.len(), failures.join("\n"));
}

#[tokio::test]
async fn what_is_refused_when_it_is_read_names_key_value_source_and_remedy() {
    let rows = REFUSED_WHEN_READ.iter().map(|(key, variable, value, remedy)| {
        let told = format!("{key} (environment {variable}): ");
        wrong(SHOW, &[(variable, value)], 78, &[&told, value, remedy])
    });
    let rows: Vec<Wrong> = rows.collect();
    assert!(rows.len() >= 70, "{}", rows.len());
    all_are_told(rows).await;
}

#[tokio::test]
async fn what_contradicts_itself_is_a_problem_for_the_doctor() {
    let row = |(key, variable, value, remedy): &(&str, &str, &str, &str)| {
        wrong(
            DOCTOR,
            &[(variable, value)],
            78,
            &[&format!("{key} (environment {variable}): {value:?}"), remedy],
        )
    };
    all_are_told(CONTRADICTIONS.iter().map(row).collect()).await;
}

#[tokio::test]
async fn what_a_start_finds_wrong_names_key_value_source_and_remedy() {
    all_are_told(AT_THE_START.iter().map(row).collect()).await;
}

#[tokio::test]
async fn what_servers_answer_names_key_value_source_and_remedy() {
    let Some(database) = TestDatabase::create().await else { return };
    let Some(rabbit) = servers::require("RABBITMQ_URL") else { return };
    let addresses = addresses(&database.url(), &rabbit);
    let rows = OF_SERVERS.iter().chain(OF_RABBITMQ);
    all_are_told(rows.map(|row| row_at(row, &addresses)).collect()).await;
}

/// Both streams of a terminal, of `2>&1` and of a log file are one place.
#[tokio::test]
async fn an_error_is_said_once_where_both_streams_lead_to_one_place() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, settings, word) in [
        (WORKER, vec![("BACKSHIFT_WORKER_NAME", "a b")], "worker.name"),
        (DOCTOR, vec![("BACKSHIFT_RETENTION_KEEP", "1h")], "less than a day"),
        (WORKER, vec![("BACKSHIFT_WORKER_LAESE", "5s")], "LAESE"),
    ] {
        let path = directory.path().join("log");
        let log = std::fs::File::create(&path).unwrap();
        let mut command = tokio::process::Command::new(backshift_binary());
        command
            .args(arguments)
            .env_clear()
            .envs(settings)
            .env("BACKSHIFT_DATA_DIR", directory.path().join("data"));
        command.stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        let status = command.status().await.unwrap();
        let said = std::fs::read_to_string(&path).unwrap();
        assert_eq!(status.code(), Some(78), "{said}");
        assert_eq!(said.matches(word).count(), 1, "{said}");
    }
}
