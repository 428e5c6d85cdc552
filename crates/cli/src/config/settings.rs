//! Every setting there is: its key, its variables, its default and what it means.
//!
//! A broker's own stand in its file under `sources`, a domain's in its file under `domains`, the others here. Joined, they are
//! the only list: the commented file, `config show`, the unknown-key check and the reading of the environment are all made
//! from it.

use std::{sync::LazyLock, time::Duration};

use super::super::{domains, sources};
use super::{
    key::{Key, Secret, Text, settings},
    setting::{Form, Setting, set},
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

// What comes before the brokers' own.
settings! {
    BEFORE
    DATA_DIR: Text = set("data_dir", &[], ".backshift", Form::Text, "Where the embedded store, the dev mailbox and generated keys live.");
    MIGRATE: Text = set("migrate", &[], "manual", Form::Word(&["manual", "auto"]), "auto runs `backshift migrate up` at start, one process at a time.");
    DURABILITY: Text = set("durability", &[], "normal", Form::Word(&["normal", "strict"]), "strict fsyncs claims and completions as well as accepted jobs.");
    REQUIRE_TLS: bool = set("require_tls", &[], "false", Form::Switch, "Refuses every server on another machine whose certificate is not verified, instead of a warning.");
    ALLOW_UNSAFE_SERVER: bool = set("allow_unsafe_server", &[], "false", Form::Switch, "Starts although a server's settings can lose accepted work.");
    MAX_ATTEMPTS: u32 = set("max_attempts", &[], "25", Form::Number(1, 1000), "Attempts of kinds that have no number of their own.");
    DATABASE_URL: Text = set("database.url", &["DATABASE_URL"], "", Form::Url, "postgres:… or sqlite:PATH; the embedded file in data_dir when not set.");
    DATABASE_HOST: Text = set("database.host", &["POSTGRES_HOST"], "", Form::Text, "Host, when there is no URL.");
    DATABASE_PORT: u16 = set("database.port", &["POSTGRES_PORT"], "5432", Form::Number(1, 65535), "Port, when there is no URL.");
    DATABASE_USER: Text = set("database.user", &["POSTGRES_USER"], "postgres", Form::Text, "User, when there is no URL.");
    DATABASE_PASSWORD: Secret = set("database.password", &["POSTGRES_PASSWORD"], "", Form::Secret, "Password, when there is no URL.");
    DATABASE_NAME: Text = set("database.name", &["POSTGRES_DB"], "postgres", Form::Text, "Database, when there is no URL.");
    DATABASE_SSLMODE: Text = set("database.sslmode", &["POSTGRES_SSLMODE"], "", Form::Word(&["", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"]), "TLS, when there is no URL; verify-full to another machine and prefer on this one, when not set.");
    DATABASE_CA_FILE: Text = set("database.ca_file", &[], "", Form::Text, "PEM file of the authority that signed PostgreSQL's certificate, instead of the system's; sslrootcert of a URL beats it.");
    DATABASE_SCHEMA: Text = set("database.schema", &[], "", Form::Text, "Schema of the tables on PostgreSQL, made by `migrate up`; the role's own search path when not set.");
    DATABASE_ADOPT: Text = set("database.adopt", &[], "", Form::Text, "Tables of another program that `migrate up` takes over, with commas between: users,plans,subscriptions.");
    DATABASE_CONNECTIONS: usize = set("database.connections", &[], "10", Form::Number(2, 500), "Connections of one process at most.");
    BROKER_URL: Text = set("broker.url", &[], "", Form::Url, "Where the jobs wait, such as embedded:PATH, postgres:… or amqp:…; the store's own queue when not set.");
}

// What comes after them, before the domains' own.
settings! {
    AFTER
    WORKER_FORSAKEN_AFTER: Duration = set("worker.forsaken_after", &[], "10m", Form::Time, "Silence that makes a lost job ambiguous.");
    WORKER_HAND_OVER_AFTER: Duration = set("worker.hand_over_after", &[], "10m", Form::Time, "Run time after which the store alone keeps a job of a broker that takes late ones back; below RabbitMQ's consumer_timeout.");
    WORKER_NAME: Text = set("worker.name", &[], "", Form::Text, "Name of this process; host and pid when not set.");
    WORKER_LEASE: Duration = set("worker.lease", &[], "30s", Form::Time, "How long a claim holds without a heartbeat; the heartbeat is a third of it.");
    WORKER_HTTP_ADDR: Text = set("worker.http_addr", &[], "127.0.0.1:8081", Form::Text, "Where a worker serves /healthz, /readyz and /metrics.");
    WORKER_CONCURRENCY: usize = set("worker.concurrency", &[], "10", Form::Number(1, 10000), "Slots of a queue that names none.");
    RETRY_BASE: Duration = set("retry.base", &[], "5s", Form::Duration, "Delay before the second attempt; doubles up to the cap, with jitter.");
    RETRY_CAP: Duration = set("retry.cap", &[], "1h", Form::Duration, "Longest delay between attempts.");
    SHUTDOWN_GRACE: Duration = set("shutdown.grace", &[], "30s", Form::Duration, "How long running jobs may take to end after SIGTERM.");
    RETENTION_KEEP: Duration = set("retention.keep", &[], "7d", Form::Duration, "How long completed and cancelled jobs are kept; at least a day.");
    RETENTION_DEAD: Duration = set("retention.dead", &[], "90d", Form::Duration, "How long dead jobs are kept; at least a day, 0s = for ever.");
    RETENTION_HANDS: Duration = set("retention.hands", &[], "365d", Form::Duration, "How long it is known what people did to jobs and queues; 0s = for ever.");
    API_HOST: Text = set("api.host", &["HOST"], "127.0.0.1", Form::Text, "Address that the API listens on; images set 0.0.0.0.");
    API_PORT: u16 = set("api.port", &["APP_PORT", "PORT"], "8080", Form::Number(0, 65535), "Port of the API.");
    API_TRUSTED_PROXIES: Text = set("api.trusted_proxies", &[], "", Form::Networks, "Reverse proxies whose word on who the client is counts: 10.0.0.0/8, 192.0.2.7.");
    API_CLIENT_IP_HEADER: Text = set("api.client_ip_header", &[], "x-forwarded-for", Form::Header, "Header in which they name it; forwarded, cf-connecting-ip and others work too.");
    UI_LISTEN: Text = set("ui.listen", &[], "", Form::Text, "Where `api` and `worker` serve the pages too, such as 127.0.0.1:8082; not at all when not set.");
    UI_USER: Text = set("ui.user", &[], "backshift", Form::Text, "Name that people sign in to the pages with.");
    UI_PASSWORD: Secret = set("ui.password", &[], "", Form::Secret, "Their password, at least 8 characters; not asked for on loopback, elsewhere made and printed at start, when not set.");
    UI_READ_ONLY: bool = set("ui.read_only", &[], "false", Form::Switch, "The pages only show: no button is offered and none works.");
    UI_BASE_PATH: Text = set("ui.base_path", &[], "", Form::Text, "Path that every address of the pages stands under, such as /ops, behind a proxy that serves others beside it.");
    HTTP_CONNECTIONS: usize = set("http.connections", &[], "1024", Form::Number(1, 1_000_000), "Connections of the API at once; the one that was waited for the longest makes room.");
    HTTP_CONNECTIONS_PER_NETWORK: usize = set("http.connections_per_network", &[], "256", Form::Number(1, 1_000_000), "Those of one network of clients (/24, /64); trusted proxies are not counted.");
    HTTP_REQUESTS_PER_NETWORK: usize = set("http.requests_per_network", &[], "32", Form::Number(1, 100_000), "Requests of one network of clients that are worked at once; others wait, too many get 429.");
    HTTP_FIRST_BYTE_TIMEOUT: Duration = set("http.first_byte_timeout", &[], "5s", Form::Time, "How long a connection may stand without a byte.");
    HTTP_HEAD_TIMEOUT: Duration = set("http.head_timeout", &[], "10s", Form::Time, "How long a whole request head may take, the first one from the start.");
    HTTP_BODY_TIMEOUT: Duration = set("http.body_timeout", &[], "10s", Form::Time, "How long a request body may take.");
    HTTP_ANSWER_TIMEOUT: Duration = set("http.answer_timeout", &[], "20s", Form::Time, "How long a client may not take its answer; a second more for each KiB that it takes.");
    HTTP_IDLE_TIMEOUT: Duration = set("http.idle_timeout", &[], "75s", Form::Time, "How long a connection is kept between requests; HTTP/2 pings are none.");
    DEV_PORT: u16 = set("dev.port", &[], "8080", Form::Number(0, 65535), "Port of `dev`; the next free one when taken and not set by hand.");
    LOG_LEVEL: Text = set("log.level", &["LOGGER_LEVEL"], "info", Form::Word(&["trace", "debug", "info", "warn", "error"]), "Least level that is logged.");
    LOG_ENCODING: Text = set("log.encoding", &["LOGGER_ENCODING"], "", Form::Word(&["", "json", "console"]), "console on a terminal, else json, when not set.");
}

/// The setting of a key.
pub(crate) fn setting(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|s| s.key == key)
}

#[cfg(test)]
mod tests;
