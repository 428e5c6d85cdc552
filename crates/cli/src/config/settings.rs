//! Every setting there is: its key, its variables, its default and what it means.
//!
//! A broker's own stand in its file under `sources`, the others here. Joined, they are the only list: the commented file,
//! `config show`, the unknown-key check and the reading of the environment are all made from it.

use super::super::sources;
use super::setting::{
    Form::{Duration, Header, Networks, Number, Secret, Size, Switch, Text, Time, Url, Word},
    Setting, set,
};

/// Every table, in the order of the commented file.
const TABLES: [&[&[Setting]]; 3] = [&[BEFORE], sources::SETTINGS, &[AFTER]];

/// Every setting.
pub(crate) const SETTINGS: &[Setting] = &joined::<{ count() }>();

const fn count() -> usize {
    let (mut count, mut part) = (0, 0);
    while part < TABLES.len() {
        let mut table = 0;
        while table < TABLES[part].len() {
            count += TABLES[part][table].len();
            table += 1;
        }
        part += 1;
    }
    count
}

const fn joined<const N: usize>() -> [Setting; N] {
    let (mut all, mut next, mut part) = ([BEFORE[0]; N], 0, 0);
    while part < TABLES.len() {
        let mut table = 0;
        while table < TABLES[part].len() {
            let mut one = 0;
            while one < TABLES[part][table].len() {
                all[next] = TABLES[part][table][one];
                (next, one) = (next + 1, one + 1);
            }
            table += 1;
        }
        part += 1;
    }
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
        "probe",
        &[],
        "false",
        Switch,
        "Adds the kind backshift.probe and its tables, for checks from outside.",
    ),
    set("probe_log", &[], "", Text, "Where the probe writes its effects when the worker has no store."),
    set(
        "app.name",
        &[],
        "Backshift",
        Text,
        "Name of your product in the mails with codes; where system C's exchange is used, C's own mail is sent.",
    ),
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
    set("database.connections", &[], "10", Number(2, 500), "Connections of one process at most."),
    set(
        "broker.url",
        &[],
        "",
        Url,
        "embedded:PATH, postgres:… or amqp:…; the store's own queue when not set.",
    ),
];

/// What comes after the brokers' own.
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
        "retention.email_sends",
        &[],
        "90d",
        Duration,
        "How long the send log keeps an entry; 0s = for ever.",
    ),
    set(
        "retention.hands",
        &[],
        "365d",
        Duration,
        "How long it is known what people did to jobs and queues; 0s = for ever.",
    ),
    set(
        "retention.otp",
        &[],
        "7d",
        Duration,
        "How long challenges of one-time codes and the log of sent codes are kept; at least a day.",
    ),
    set("smtp.host", &["SMTP_HOST"], "", Text, "SMTP server; without one `dev` keeps mails in its mailbox."),
    set("smtp.port", &["SMTP_PORT"], "587", Number(1, 65535), "SMTP port."),
    set("smtp.username", &["SMTP_USERNAME", "SMTP_USER"], "", Text, "User for AUTH; none = no AUTH."),
    set("smtp.password", &["SMTP_PASSWORD", "SMTP_PASS"], "", Secret, "Password for AUTH."),
    set("smtp.from", &["SMTP_FROM"], "", Text, "Address in From; the user name when it is an address."),
    set("smtp.from_name", &["SMTP_FROM_NAME"], "", Text, "Display name in From, encoded per RFC 2047."),
    set(
        "smtp.tls",
        &[],
        "",
        Word(&["", "none", "starttls", "implicit"]),
        "implicit on 465, none on loopback, else starttls (required), when not set.",
    ),
    set(
        "smtp.ca_file",
        &[],
        "",
        Text,
        "PEM file of the authority that signed the server, instead of the system's.",
    ),
    set(
        "smtp.command_timeout",
        &[],
        "60s",
        Time,
        "Longest wait for a reply; 10 minutes after the final dot (RFC 5321).",
    ),
    set("mail.concurrency", &[], "10", Number(1, 1000), "Mails sent at once by one process."),
    set("mail.retry_base", &[], "5s", Duration, "Delay before a mail's second attempt."),
    set("mail.retry_cap", &[], "1h", Duration, "Longest delay between a mail's attempts."),
    set("mail.max_attempts", &[], "12", Number(1, 1000), "Attempts of a mail."),
    set("mail.pause", &[], "30s", Time, "First pause of a transport that refuses us; doubles to 10m."),
    set(
        "mail.max_size",
        &[],
        "48MiB",
        Size,
        "Largest mail; a message of 16 MiB can become as large when it is encoded.",
    ),
    set(
        "mail.keep_foreign_bodies",
        &[],
        "false",
        Switch,
        "Keep the bodies of mails on the exchange that do not say what they are; C's own producer mails codes there.",
    ),
    set("otp.ttl", &[], "10m", Time, "Life of a one-time code."),
    set("otp.resend_cooldown", &[], "60s", Duration, "Shortest time between two codes for one address."),
    set("otp.max_per_hour", &[], "5", Number(1, 10000), "Codes an hour for one address."),
    set(
        "otp.max_per_hour_ip",
        &[],
        "20",
        Number(1, 100000),
        "Codes an hour for one client address; loopback is exempt in dev.",
    ),
    set(
        "otp.max_tries",
        &[],
        "5",
        Number(1, 100),
        "Wrong tries before a code is dead for the network that asked for it; others have as many each.",
    ),
    set(
        "otp.max_tries_abroad",
        &[],
        "20",
        Number(1, 1000),
        "Wrong tries of all networks that did not ask for a code, together, before it is dead for them.",
    ),
    set(
        "otp.max_checks_ip",
        &[],
        "60",
        Number(1, 1000000),
        "Codes that one network of clients (/24, /64) may try an hour; loopback is exempt in dev.",
    ),
    set("otp.key", &[], "", Secret, "Key that codes are derived from; made from JWT_SECRET when not set."),
    set(
        "auth.jwt_secret",
        &["JWT_SECRET"],
        "",
        Secret,
        "Signs bearer tokens; needed by `api`, made by `dev`. At least 16 bytes, better 32; blank = not set.",
    ),
    set(
        "auth.max_registrations_ip",
        &[],
        "30",
        Number(1, 1000000),
        "Registrations an hour of one network of clients (/24, /64); loopback is exempt in dev.",
    ),
    set(
        "auth.max_failures_pair",
        &[],
        "10",
        Number(1, 100000),
        "Wrong passwords an hour for one account from one network; then 429, for an unknown account too.",
    ),
    set(
        "auth.max_failures",
        &[],
        "1000",
        Number(1, 100000),
        "Wrong passwords an hour for one account; beyond it only networks without a failure are heard.",
    ),
    set(
        "auth.max_failures_ip",
        &[],
        "1000",
        Number(1, 1000000),
        "Wrong passwords an hour of one network of clients (/24, /64); loopback is exempt in dev.",
    ),
    set(
        "auth.hash_queue",
        &[],
        "32",
        Number(1, 10000),
        "Password checks that may wait for each core, then 503; a quarter of the places is for logins.",
    ),
    set(
        "auth.uniform_errors",
        &[],
        "false",
        Switch,
        "login, send-otp and verify-otp hide which addresses have an account; register tells it still (110004).",
    ),
    set(
        "identity.open_subscriptions",
        &[],
        "false",
        Switch,
        "Lets users give themselves any plan, status and dates, as system C did.",
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
    set("log.subjects", &[], "false", Switch, "Logs subjects of mails."),
];

/// The setting of a key.
pub(crate) fn setting(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|s| s.key == key)
}

#[cfg(test)]
mod tests;
