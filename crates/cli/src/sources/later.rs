//! Brokers that this version reads settings of and does not work.

use crate::config::{Form, Key, Setting, Text, set, settings};

settings! {
    SETTINGS
    NATS_URL: Text = set("nats.url", &["NATS_URL"], "", Form::Url, "NATS JetStream; read, not yet worked by this version.");
    REDIS_URL: Text = set("redis.url", &["REDIS_URL"], "", Form::Url, "Redis in asynq's format; read, not yet worked by this version.");
    KAFKA_BROKERS: Text = set("kafka.brokers", &["KAFKA_BROKERS"], "", Form::Text, "Kafka bootstrap servers; read, not yet worked by this version.");
    KAFKA_JOB_TOPIC: Text = set("kafka.job_topic", &["KAFKA_JOB_TOPIC"], "", Form::Text, "Kafka topic of system D.");
    KAFKA_JOB_CONSUMER_GROUP: Text = set("kafka.job_consumer_group", &["KAFKA_JOB_CONSUMER_GROUP"], "", Form::Text, "Kafka consumer group of system D.");
}

/// The setting that names one, and the broker.
pub(crate) const BROKERS: [(&Key<Text>, &str); 3] =
    [(&NATS_URL, "NATS JetStream"), (&REDIS_URL, "Redis"), (&KAFKA_BROKERS, "Kafka")];
