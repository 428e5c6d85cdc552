//! Every setting there is: its key, its variables, its default and what it means.
//!
//! A broker's own stand in its file under `sources`, a domain's in its file under `domains`, the others here. Joined, they are
//! the only list: the commented file, `config show`, the unknown-key check and the reading of the environment are all made
//! from it.

use std::sync::LazyLock;

use super::super::{domains, sources};
use super::setting::{
    Form::{Duration, Header, Networks, Number, Secret, Switch, Text, Time, Url, Word},
    Setting, set,
};

/// Every setting, in the order of the commented file.
pub(crate) static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
    let all = [BEFORE].into_iter().chain(sources::settings()).chain([AFTER]).chain(domains::settings());
    by_section(all.flatten().copied().collect())
});

/// In the order in which the sections come first; what has none stands before them, as TOML needs it.
fn by_section(mut all: Vec<Setting>) -> Vec<Setting> {
    let mut sections = vec![""];
    for setting in &all {
        if !sections.contains(&setting.section()) {
            sections.push(setting.section());
        }
    }
    all.sort_by_key(|setting| sections.iter().position(|section| *section == setting.section()));
    all
}

/// What comes before the brokers' own.
const BEFORE: &[Setting] = &[
    set(
        "data_dir",
        &[],
        ".backshift",
        Text,
        "Where the embedded store, the dev mailbox and generated keys live.",
    ),
    set(
        "migrate",
        &[],
        "manual",
        Word(&["manual", "auto"]),
        "auto runs `backshift migrate up` at start, one process at a time.",
    ),
    set(
        "durability",
        &[],
        "normal",
        Word(&["normal", "strict"]),
        "strict fsyncs claims and completions as well as accepted jobs.",
    ),
    set(
        "require_tls",
        &[],
        "false",
        Switch,
        "Refuses every server on another machine whose certificate is not verified, instead of a warning.",
    ),
    set(
        "allow_unsafe_server",
        &[],
        "false",
        Switch,
        "Starts although a server's settings can lose accepted work.",
    ),
    set("max_attempts", &[], "25", Number(1, 1000), "Attempts of kinds that have no number of their own."),
    set(
        "database.url",
        &["DATABASE_URL"],
        "",
        Url,
        "postgres:… or sqlite:PATH; the embedded file in data_dir when not set.",
    ),
    set("database.host", &["POSTGRES_HOST"], "", Text, "Host, when there is no URL."),
    set("database.port", &["POSTGRES_PORT"], "5432", Number(1, 65535), "Port, when there is no URL."),
    set("database.user", &["POSTGRES_USER"], "postgres", Text, "User, when there is no URL."),
    set("database.password", &["POSTGRES_PASSWORD"], "", Secret, "Password, when there is no URL."),
    set("database.name", &["POSTGRES_DB"], "postgres", Text, "Database, when there is no URL."),
    set(
        "database.sslmode",
        &["POSTGRES_SSLMODE"],
        "",
        Word(&["", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"]),
        "TLS, when there is no URL; verify-full to another machine and prefer on this one, when not set.",
    ),
    set(
        "database.ca_file",
        &[],
        "",
        Text,
        "PEM file of the authority that signed PostgreSQL's certificate, instead of the system's; sslrootcert of a URL beats it.",
    ),
    set(
        "database.schema",
        &[],
        "",
        Text,
        "Schema of the tables on PostgreSQL, made by `migrate up`; the role's own search path when not set.",
    ),
    set(
        "database.adopt",
        &[],
        "",
        Text,
        "Tables of another program that `migrate up` takes over, with commas between: users,plans,subscriptions.",
    ),
    set("database.connections", &[], "10", Number(2, 500), "Connections of one process at most."),
    set(
        "broker.url",
        &[],
        "",
        Url,
        "embedded:PATH, postgres:… or amqp:…; the store's own queue when not set.",
    ),
];

/// What comes after them, before the domains' own.
const AFTER: &[Setting] = &[
    set("worker.forsaken_after", &[], "10m", Time, "Silence that makes a lost job ambiguous."),
    set(
        "worker.hand_over_after",
        &[],
        "10m",
        Time,
        "Run time after which the store alone keeps a RabbitMQ job; less than consumer_timeout.",
    ),
    set("worker.name", &[], "", Text, "Name of this process; host and pid when not set."),
    set(
        "worker.lease",
        &[],
        "30s",
        Time,
        "How long a claim holds without a heartbeat; the heartbeat is a third of it.",
    ),
    set(
        "worker.http_addr",
        &[],
        "127.0.0.1:8081",
        Text,
        "Where a worker serves /healthz, /readyz and /metrics.",
    ),
    set("worker.concurrency", &[], "10", Number(1, 10000), "Slots of a queue that names none."),
    set(
        "retry.base",
        &[],
        "5s",
        Duration,
        "Delay before the second attempt; doubles up to the cap, with jitter.",
    ),
    set("retry.cap", &[], "1h", Duration, "Longest delay between attempts."),
    set("shutdown.grace", &[], "30s", Duration, "How long running jobs may take to end after SIGTERM."),
    set(
        "retention.keep",
        &[],
        "7d",
        Duration,
        "How long completed and cancelled jobs are kept; at least a day.",
    ),
    set(
        "retention.dead",
        &[],
        "90d",
        Duration,
        "How long dead jobs are kept; at least a day, 0s = for ever.",
    ),
    set(
        "retention.hands",
        &[],
        "365d",
        Duration,
        "How long it is known what people did to jobs and queues; 0s = for ever.",
    ),
    set("api.host", &["HOST"], "127.0.0.1", Text, "Address that the API listens on; images set 0.0.0.0."),
    set("api.port", &["APP_PORT", "PORT"], "8080", Number(0, 65535), "Port of the API."),
    set(
        "api.trusted_proxies",
        &[],
        "",
        Networks,
        "Reverse proxies whose word on who the client is counts: 10.0.0.0/8, 192.0.2.7.",
    ),
    set(
        "api.client_ip_header",
        &[],
        "x-forwarded-for",
        Header,
        "Header in which they name it; forwarded, cf-connecting-ip and others work too.",
    ),
    set(
        "ui.listen",
        &[],
        "",
        Text,
        "Where `api` and `worker` serve the pages too, such as 127.0.0.1:8082; not at all when not set.",
    ),
    set("ui.user", &[], "backshift", Text, "Name that people sign in to the pages with."),
    set(
        "ui.password",
        &[],
        "",
        Secret,
        "Their password, at least 8 characters; not asked for on loopback, elsewhere made and printed at start, when not set.",
    ),
    set("ui.read_only", &[], "false", Switch, "The pages only show: no button is offered and none works."),
    set(
        "ui.base_path",
        &[],
        "",
        Text,
        "Path that every address of the pages stands under, such as /ops, behind a proxy that serves others beside it.",
    ),
    set(
        "http.connections",
        &[],
        "1024",
        Number(1, 1_000_000),
        "Connections of the API at once; the one that was waited for the longest makes room.",
    ),
    set(
        "http.connections_per_network",
        &[],
        "256",
        Number(1, 1_000_000),
        "Those of one network of clients (/24, /64); trusted proxies are not counted.",
    ),
    set(
        "http.requests_per_network",
        &[],
        "32",
        Number(1, 100_000),
        "Requests of one network of clients that are worked at once; others wait, too many get 429.",
    ),
    set("http.first_byte_timeout", &[], "5s", Time, "How long a connection may stand without a byte."),
    set(
        "http.head_timeout",
        &[],
        "10s",
        Time,
        "How long a whole request head may take, the first one from the start.",
    ),
    set("http.body_timeout", &[], "10s", Time, "How long a request body may take."),
    set(
        "http.answer_timeout",
        &[],
        "20s",
        Time,
        "How long a client may not take its answer; a second more for each KiB that it takes.",
    ),
    set(
        "http.idle_timeout",
        &[],
        "75s",
        Time,
        "How long a connection is kept between requests; HTTP/2 pings are none.",
    ),
    set(
        "dev.port",
        &[],
        "8080",
        Number(0, 65535),
        "Port of `dev`; the next free one when taken and not set by hand.",
    ),
    set(
        "log.level",
        &["LOGGER_LEVEL"],
        "info",
        Word(&["trace", "debug", "info", "warn", "error"]),
        "Least level that is logged.",
    ),
    set(
        "log.encoding",
        &["LOGGER_ENCODING"],
        "",
        Word(&["", "json", "console"]),
        "console on a terminal, else json, when not set.",
    ),
];

/// The setting of a key.
pub(crate) fn setting(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|s| s.key == key)
}

#[cfg(test)]
mod tests;
