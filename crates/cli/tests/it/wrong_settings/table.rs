//! Wrong values, one a line: the key, the variable that sets it, the value, and words of what the answer offers instead.
//!
//! They are an operator's mistakes: a missing unit, a word that is nearly right, a number outside its range.

/// Key, variable, value, what the answer offers instead. Nothing is started with any of them.
pub(super) const REFUSED_WHEN_READ: &[(&str, &str, &str, &str)] = &[
    ("migrate", "BACKSHIFT_MIGRATE", "always", "manual, auto"),
    ("durability", "BACKSHIFT_DURABILITY", "hard", "normal, strict"),
    ("require_tls", "BACKSHIFT_REQUIRE_TLS", "sometimes", "true or false"),
    ("allow_unsafe_server", "BACKSHIFT_ALLOW_UNSAFE_SERVER", "2", "true or false"),
    ("max_attempts", "BACKSHIFT_MAX_ATTEMPTS", "0", "from 1 to 1000"),
    ("max_attempts", "BACKSHIFT_MAX_ATTEMPTS", "1001", "from 1 to 1000"),
    ("max_attempts", "BACKSHIFT_MAX_ATTEMPTS", "many", "from 1 to 1000"),
    ("probe", "BACKSHIFT_PROBE", "perhaps", "true or false"),
    ("database.url", "DATABASE_URL", "postgres", "postgres://host/database"),
    ("database.port", "POSTGRES_PORT", "0", "from 1 to 65535"),
    ("database.port", "POSTGRES_PORT", "70000", "from 1 to 65535"),
    ("database.port", "POSTGRES_PORT", "postgres", "from 1 to 65535"),
    (
        "database.sslmode",
        "POSTGRES_SSLMODE",
        "yes",
        "disable, allow, prefer, require, verify-ca, verify-full",
    ),
    ("database.connections", "BACKSHIFT_DATABASE_CONNECTIONS", "1", "from 2 to 500"),
    ("database.connections", "BACKSHIFT_DATABASE_CONNECTIONS", "501", "from 2 to 500"),
    ("broker.url", "BACKSHIFT_BROKER_URL", "rabbit", "write scheme:"),
    ("rabbitmq.url", "RABBITMQ_URL", "localhost", "write scheme:"),
    ("rabbitmq.queue_type", "BACKSHIFT_RABBITMQ_QUEUE_TYPE", "lazy", "quorum, classic, existing"),
    ("nats.url", "NATS_URL", "localhost", "write scheme:"),
    ("redis.url", "REDIS_URL", "localhost", "write scheme:"),
    ("worker.forsaken_after", "BACKSHIFT_WORKER_FORSAKEN_AFTER", "0s", "write a longer one"),
    ("worker.hand_over_after", "BACKSHIFT_WORKER_HAND_OVER_AFTER", "soon", "write 300ms, 5s"),
    ("worker.lease", "BACKSHIFT_WORKER_LEASE", "30", "write 300ms, 5s"),
    ("worker.lease", "BACKSHIFT_WORKER_LEASE", "0s", "write a longer one"),
    ("worker.lease", "BACKSHIFT_WORKER_LEASE", "36501d", "longer than a hundred years"),
    ("worker.concurrency", "BACKSHIFT_WORKER_CONCURRENCY", "0", "from 1 to 10000"),
    ("worker.concurrency", "BACKSHIFT_WORKER_CONCURRENCY", "10001", "from 1 to 10000"),
    ("retry.base", "BACKSHIFT_RETRY_BASE", "5 seconds", "write 300ms, 5s"),
    ("retry.cap", "BACKSHIFT_RETRY_CAP", "-1s", "write 300ms, 5s"),
    ("shutdown.grace", "BACKSHIFT_SHUTDOWN_GRACE", "forever", "write 300ms, 5s"),
    ("retention.keep", "BACKSHIFT_RETENTION_KEEP", "week", "1h or 2d"),
    ("retention.dead", "BACKSHIFT_RETENTION_DEAD", "never", "1h or 2d"),
    ("retention.email_sends", "BACKSHIFT_RETENTION_EMAIL_SENDS", "90", "1h or 2d"),
    ("retention.hands", "BACKSHIFT_RETENTION_HANDS", "a year", "1h or 2d"),
    ("retention.otp", "BACKSHIFT_RETENTION_OTP", "1w", "1h or 2d"),
    ("smtp.port", "SMTP_PORT", "70000", "from 1 to 65535"),
    ("smtp.port", "SMTP_PORT", "smtp", "from 1 to 65535"),
    ("smtp.tls", "BACKSHIFT_SMTP_TLS", "ssl", "none, starttls, implicit"),
    ("smtp.command_timeout", "BACKSHIFT_SMTP_COMMAND_TIMEOUT", "0s", "write a longer one"),
    ("mail.concurrency", "BACKSHIFT_MAIL_CONCURRENCY", "0", "from 1 to 1000"),
    ("mail.retry_base", "BACKSHIFT_MAIL_RETRY_BASE", "fast", "write 300ms, 5s"),
    ("mail.retry_cap", "BACKSHIFT_MAIL_RETRY_CAP", "1 hour", "write 300ms, 5s"),
    ("mail.max_attempts", "BACKSHIFT_MAIL_MAX_ATTEMPTS", "0", "from 1 to 1000"),
    ("mail.pause", "BACKSHIFT_MAIL_PAUSE", "0s", "write a longer one"),
    ("mail.max_size", "BACKSHIFT_MAIL_MAX_SIZE", "48MB", "16MiB"),
    ("mail.keep_foreign_bodies", "BACKSHIFT_MAIL_KEEP_FOREIGN_BODIES", "maybe", "true or false"),
    ("otp.ttl", "BACKSHIFT_OTP_TTL", "ten minutes", "write 300ms, 5s"),
    ("otp.resend_cooldown", "BACKSHIFT_OTP_RESEND_COOLDOWN", "60", "write 300ms, 5s"),
    ("otp.max_per_hour", "BACKSHIFT_OTP_MAX_PER_HOUR", "0", "from 1 to 10000"),
    ("otp.max_per_hour_ip", "BACKSHIFT_OTP_MAX_PER_HOUR_IP", "100001", "from 1 to 100000"),
    ("otp.max_tries", "BACKSHIFT_OTP_MAX_TRIES", "101", "from 1 to 100"),
    ("otp.max_tries_abroad", "BACKSHIFT_OTP_MAX_TRIES_ABROAD", "0", "from 1 to 1000"),
    ("otp.max_checks_ip", "BACKSHIFT_OTP_MAX_CHECKS_IP", "-1", "from 1 to 1000000"),
    ("auth.max_registrations_ip", "BACKSHIFT_AUTH_MAX_REGISTRATIONS_IP", "x", "from 1 to 1000000"),
    ("auth.max_failures_pair", "BACKSHIFT_AUTH_MAX_FAILURES_PAIR", "0", "from 1 to 100000"),
    ("auth.max_failures", "BACKSHIFT_AUTH_MAX_FAILURES", "1e3", "from 1 to 100000"),
    ("auth.max_failures_ip", "BACKSHIFT_AUTH_MAX_FAILURES_IP", "0", "from 1 to 1000000"),
    ("auth.hash_queue", "BACKSHIFT_AUTH_HASH_QUEUE", "0", "from 1 to 10000"),
    ("auth.uniform_errors", "BACKSHIFT_AUTH_UNIFORM_ERRORS", "uniform", "true or false"),
    ("identity.open_subscriptions", "BACKSHIFT_IDENTITY_OPEN_SUBSCRIPTIONS", "open", "true or false"),
    ("api.port", "APP_PORT", "65536", "from 0 to 65535"),
    ("api.port", "PORT", "http", "from 0 to 65535"),
    ("api.trusted_proxies", "BACKSHIFT_API_TRUSTED_PROXIES", "10.0.0.0/33", "10.0.0.0/33"),
    ("api.client_ip_header", "BACKSHIFT_API_CLIENT_IP_HEADER", "x forwarded", "x-forwarded-for"),
    ("http.connections", "BACKSHIFT_HTTP_CONNECTIONS", "0", "from 1 to 1000000"),
    ("http.connections_per_network", "BACKSHIFT_HTTP_CONNECTIONS_PER_NETWORK", "0", "from 1 to 1000000"),
    ("http.requests_per_network", "BACKSHIFT_HTTP_REQUESTS_PER_NETWORK", "100001", "from 1 to 100000"),
    ("http.first_byte_timeout", "BACKSHIFT_HTTP_FIRST_BYTE_TIMEOUT", "0s", "write a longer one"),
    ("http.head_timeout", "BACKSHIFT_HTTP_HEAD_TIMEOUT", "10", "write 300ms, 5s"),
    ("http.body_timeout", "BACKSHIFT_HTTP_BODY_TIMEOUT", "x", "write 300ms, 5s"),
    ("http.answer_timeout", "BACKSHIFT_HTTP_ANSWER_TIMEOUT", "0ms", "write a longer one"),
    ("http.idle_timeout", "BACKSHIFT_HTTP_IDLE_TIMEOUT", "75", "write 300ms, 5s"),
    ("dev.port", "BACKSHIFT_DEV_PORT", "99999", "from 0 to 65535"),
    ("log.level", "LOGGER_LEVEL", "verbose", "trace, debug, info, warn, error"),
    ("log.encoding", "LOGGER_ENCODING", "xml", "json, console"),
    ("log.subjects", "BACKSHIFT_LOG_SUBJECTS", "ja", "true or false"),
];

/// Each alone, and a doctor says what is contradicted.
pub(super) const CONTRADICTIONS: &[(&str, &str, &str, &str)] = &[
    ("retention.keep", "BACKSHIFT_RETENTION_KEEP", "1h", "write 1d"),
    ("retention.dead", "BACKSHIFT_RETENTION_DEAD", "1m", "write 1d"),
    ("retention.otp", "BACKSHIFT_RETENTION_OTP", "12h", "write 1d"),
    ("retry.base", "BACKSHIFT_RETRY_BASE", "2h", "retry.cap"),
    ("mail.retry_base", "BACKSHIFT_MAIL_RETRY_BASE", "2h", "mail.retry_cap"),
    ("worker.lease", "BACKSHIFT_WORKER_LEASE", "1h", "worker.forsaken_after"),
    ("worker.lease", "BACKSHIFT_WORKER_LEASE", "500ms", "write 10s"),
    ("mail.pause", "BACKSHIFT_MAIL_PAUSE", "1h", "write 10m"),
];

/// A command, its settings, its exit code and what it says.
pub(super) type Row =
    (&'static [&'static str], &'static [(&'static str, &'static str)], i32, &'static [&'static str]);

pub(super) const DOCTOR: &[&str] = &["doctor"];
pub(super) const SHOW: &[&str] = &["config", "show"];
pub(super) const WORKER: &[&str] = &["worker"];
const JOBS: &[&str] = &["jobs", "list"];
const MAIL: (&str, &str) = ("SMTP_HOST", "127.0.0.1");
const FROM: (&str, &str) = ("SMTP_FROM", "a@example.com");
const RABBIT: (&str, &str) = ("RABBITMQ_URL", "amqp://127.0.0.1:1/");

/// Where something is to be reached or made, or is missing.
pub(super) const AT_THE_START: &[Row] = &[
    (
        SHOW,
        &[("BACKSHIFT_WORKER_LAESE", "5s")],
        78,
        &["BACKSHIFT_WORKER_LAESE", "environment", "BACKSHIFT_WORKER_LEASE?"],
    ),
    (SHOW, &[("BACKSHIFT_REQIURE_TLS", "true")], 78, &["BACKSHIFT_REQIURE_TLS", "BACKSHIFT_REQUIRE_TLS?"]),
    (SHOW, &[("SMTP_USER", "a"), ("SMTP_USERNAME", "b")], 78, &["SMTP_USER", "SMTP_USERNAME", "keep one"]),
    (SHOW, &[("SMTP_PASSWORD_FILE", "/not/there")], 78, &["SMTP_PASSWORD_FILE (environment)", "/not/there"]),
    (
        SHOW,
        &[("JWT_SECRET_FILE", "/dev/null")],
        78,
        &["JWT_SECRET_FILE (environment)", "/dev/null", "plain file"],
    ),
    (&["--config", "/not/there.toml", "config", "show"], &[], 78, &["configuration file", "/not/there.toml"]),
    (
        WORKER,
        &[("BACKSHIFT_WORKER_HTTP_ADDR", "nonsense")],
        78,
        &["worker.http_addr", "environment BACKSHIFT_WORKER_HTTP_ADDR", "\"nonsense\"", "127.0.0.1:8081"],
    ),
    (
        WORKER,
        &[("BACKSHIFT_WORKER_HTTP_ADDR", "192.0.2.1:1")],
        78,
        &["worker.http_addr", "\"192.0.2.1:1\"", "an address of this machine"],
    ),
    (
        WORKER,
        &[("BACKSHIFT_WORKER_NAME", "a b")],
        78,
        &["worker.name", "environment BACKSHIFT_WORKER_NAME", "\"a b\"", "are allowed"],
    ),
    (
        WORKER,
        &[("BACKSHIFT_BROKER_URL", "carrier-pigeon:x")],
        78,
        &["broker.url", "environment BACKSHIFT_BROKER_URL", "carrier-pigeon:x", "amqp:"],
    ),
    (
        WORKER,
        &[("BACKSHIFT_BROKER_URL", "amqq://h/")],
        78,
        &["broker.url", "amqq://h/", "did you mean amqp:?"],
    ),
    (
        JOBS,
        &[("DATABASE_URL", "mysql://x/y")],
        78,
        &["database.url", "environment DATABASE_URL", "mysql://x/y", "postgres:, sqlite:"],
    ),
    (
        JOBS,
        &[("DATABASE_URL", "sqlite:")],
        78,
        &["database.url", "environment DATABASE_URL", "\"sqlite:\"", "sqlite:PATH"],
    ),
    (
        JOBS,
        &[("DATABASE_URL", "postgres://h:99999/x")],
        78,
        &["database.url", "postgres://h:99999/x", "postgres://user:password@host:5432/database"],
    ),
    (
        JOBS,
        &[("DATABASE_URL", "postgres://h/x?sslmode=sometimes")],
        78,
        &["database.url", "sslmode=sometimes", "verify-full"],
    ),
    (
        JOBS,
        &[("DATABASE_URL", "postgres://h/x?sslmode=verify-full"), ("BACKSHIFT_DATABASE_CA_FILE", "/nope")],
        78,
        &["database", "/nope"],
    ),
    (
        JOBS,
        &[("BACKSHIFT_BROKER_URL", "postgres://h:99999/x")],
        78,
        &["broker.url", "environment BACKSHIFT_BROKER_URL", "99999"],
    ),
    (
        JOBS,
        &[("RABBITMQ_URL", "amqp:/x")],
        78,
        &["rabbitmq.url", "environment RABBITMQ_URL", "amqp:/x", "amqp://user:password@host:5672/vhost"],
    ),
    (
        JOBS,
        &[("RABBITMQ_URL", "http://127.0.0.1:1")],
        78,
        &["rabbitmq.url", "environment RABBITMQ_URL", "http://127.0.0.1:1", "amqp"],
    ),
    (
        JOBS,
        &[RABBIT, ("BACKSHIFT_RABBITMQ_CA_FILE", "/nope")],
        78,
        &["rabbitmq.ca_file", "environment BACKSHIFT_RABBITMQ_CA_FILE", "/nope", "PEM"],
    ),
    (
        WORKER,
        &[MAIL, FROM, ("BACKSHIFT_SMTP_CA_FILE", "/nope")],
        78,
        &["smtp.ca_file", "environment BACKSHIFT_SMTP_CA_FILE", "/nope", "PEM"],
    ),
    (
        WORKER,
        &[MAIL, ("SMTP_FROM", "nonsense")],
        78,
        &["smtp.from", "environment SMTP_FROM", "\"nonsense\"", "name@example.com"],
    ),
    (WORKER, &[MAIL], 78, &["smtp.from", "is not set", "SMTP_FROM"]),
    (WORKER, &[RABBIT], 78, &["smtp.host", "is not set", "SMTP_HOST"]),
    (WORKER, &[("SMTP_HOST", "a b"), FROM], 78, &["smtp.host", "environment SMTP_HOST", "\"a b\""]),
    (&["api"], &[], 78, &["auth.jwt_secret", "is not set", "JWT_SECRET"]),
    (
        &["api"],
        &[("JWT_SECRET", "fifteen letters")],
        78,
        &["auth.jwt_secret", "environment JWT_SECRET", "(set, not shown)", "openssl rand"],
    ),
    (
        &["enqueue", "email.send", "--payload", "{}"],
        &[("BACKSHIFT_DATA_DIR", "/dev/null")],
        78,
        &["/dev/null"],
    ),
    (
        JOBS,
        &[("NATS_URL", "nats://h:4222")],
        78,
        &["nats.url", "environment NATS_URL", "nats://h:4222", "BACKSHIFT_BROKER_URL"],
    ),
    (
        JOBS,
        &[("REDIS_URL", "redis://h")],
        78,
        &["redis.url", "environment REDIS_URL", "redis://h", "BACKSHIFT_BROKER_URL"],
    ),
    (
        JOBS,
        &[("KAFKA_BROKERS", "h:9092")],
        78,
        &["kafka.brokers", "environment KAFKA_BROKERS", "h:9092", "BACKSHIFT_BROKER_URL"],
    ),
    (&["worker", "--queue", "default:many"], &[], 2, &["--queue default:many", "default:10"]),
    (&["worker", "--queue", "bad queue"], &[], 2, &["bad queue", "are allowed"]),
    (&["worker", "--no-store"], &[], 2, &["--no-store", "--broker amqp:"]),
];

/// What servers that are there, or are not, answer; words in braces stand for a test's own addresses.
pub(super) const OF_SERVERS: &[Row] = &[
    (
        DOCTOR,
        &[("DATABASE_URL", "postgres://u:geheim@127.0.0.1:1/x")],
        69,
        &[
            "database.url",
            "environment DATABASE_URL",
            "postgres://u:***@127.0.0.1:1/x",
            "refused",
            "is the server running",
        ],
    ),
    (
        DOCTOR,
        &[("POSTGRES_HOST", "127.0.0.1"), ("POSTGRES_PORT", "1")],
        69,
        &["database.host", "environment POSTGRES_HOST", "database.port 1", "is the server running"],
    ),
    (
        DOCTOR,
        &[("RABBITMQ_URL", "amqp://u:geheim@127.0.0.1:1/")],
        69,
        &["rabbitmq.url", "environment RABBITMQ_URL", "amqp://u:***@127.0.0.1:1/", "is the server running"],
    ),
    (
        DOCTOR,
        &[("SMTP_HOST", "127.0.0.1"), ("SMTP_PORT", "1"), ("SMTP_FROM", "a@example.com")],
        69,
        &[
            "smtp.host (environment SMTP_HOST): \"127.0.0.1\"",
            "smtp.port (environment SMTP_PORT): \"1\"",
            "refused",
            "is it running",
        ],
    ),
    (
        DOCTOR,
        &[("DATABASE_URL", "{database}_not_there")],
        78,
        &["database.url", "environment DATABASE_URL", "_not_there", "check the database's name"],
    ),
    (
        DOCTOR,
        &[("DATABASE_URL", "{database}?sslmode=require")],
        78,
        &["database.url", "sslmode=require", "offers no TLS", "sslmode=disable"],
    ),
    (
        DOCTOR,
        &[("DATABASE_URL", "{database}")],
        78,
        &["database.url", "environment DATABASE_URL", "backshift migrate up"],
    ),
];

/// The same of RabbitMQ.
pub(super) const OF_RABBITMQ: &[Row] = &[
    (
        DOCTOR,
        &[("RABBITMQ_URL", "{wrong_password}")],
        78,
        &["rabbitmq.url", "environment RABBITMQ_URL", ":***@", "ACCESS_REFUSED", "check user and password"],
    ),
    (
        &["enqueue", "email.send", "--payload", "{}"],
        &[("BACKSHIFT_BROKER_URL", "{wrong_password}")],
        78,
        &["broker.url", "environment BACKSHIFT_BROKER_URL", ":***@", "check user and password"],
    ),
    (
        DOCTOR,
        &[("RABBITMQ_URL", "{other_vhost}")],
        78,
        &["rabbitmq.url", "environment RABBITMQ_URL", "not-there", "virtual host"],
    ),
    (
        DOCTOR,
        &[("RABBITMQ_URL", "{tls}")],
        78,
        &["rabbitmq.url", "environment RABBITMQ_URL", "amqps:", "speaks no TLS"],
    ),
    (
        DOCTOR,
        &[("SMTP_HOST", "{host}"), ("SMTP_PORT", "{port}"), FROM, ("BACKSHIFT_SMTP_TLS", "implicit")],
        78,
        &[
            "smtp.host",
            "smtp.port",
            "speaks no TLS",
            "smtp.tls (environment BACKSHIFT_SMTP_TLS): \"implicit\"",
            "starttls",
        ],
    ),
];
