//! Brokers that this version reads settings of and does not work.

use crate::config::{Form, Setting, set};

pub(super) const SETTINGS: &[Setting] = &[
    set("nats.url", &["NATS_URL"], "", Form::Url, "NATS JetStream; read, not yet worked by this version."),
    set(
        "redis.url",
        &["REDIS_URL"],
        "",
        Form::Url,
        "Redis in asynq's format; read, not yet worked by this version.",
    ),
    set(
        "kafka.brokers",
        &["KAFKA_BROKERS"],
        "",
        Form::Text,
        "Kafka bootstrap servers; read, not yet worked by this version.",
    ),
    set("kafka.job_topic", &["KAFKA_JOB_TOPIC"], "", Form::Text, "Kafka topic of system D."),
    set(
        "kafka.job_consumer_group",
        &["KAFKA_JOB_CONSUMER_GROUP"],
        "",
        Form::Text,
        "Kafka consumer group of system D.",
    ),
];

/// The setting that names one, and the broker.
pub(crate) const BROKERS: [(&str, &str); 3] =
    [("nats.url", "NATS JetStream"), ("redis.url", "Redis"), ("kafka.brokers", "Kafka")];
