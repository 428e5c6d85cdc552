//! RabbitMQ: its URL, its settings, and what a person has to know of its server.

use std::sync::Arc;

use backshift_brokers::rabbitmq::{CONSUMER_TIMEOUT, Config, Options, QueueType, RabbitMqBroker};
use backshift_core::{broker::Binding, way::Way};

use super::{Opened, Source, Waits};
use crate::{
    config::{self, Form, Key, Setting, Text, set, settings},
    exit::{Failure, Server},
    wiring::{named, pem, server_of},
};

settings! {
    SETTINGS
    RABBITMQ_URL: Text = set("rabbitmq.url", &["RABBITMQ_URL"], "", Form::Url, "amqp:… or amqps:…; set, the mail queue of system C is worked from there.");
    RABBITMQ_CA_FILE: Text = set("rabbitmq.ca_file", &[], "", Form::Text, "PEM file of the authority that signed RabbitMQ's certificate, besides the system's.");
    RABBITMQ_QUEUE_TYPE: Text = set("rabbitmq.queue_type", &[], "quorum", Form::Word(&["quorum", "classic", "existing"]), "Type of our own queues; existing takes a queue as it is and makes a quorum queue where there is none.");
}

pub(super) const SOURCE: Source = Source {
    name: "rabbitmq",
    title: "RabbitMQ",
    schemes: &["amqp", "amqps"],
    settings: SETTINGS,
    url: &RABBITMQ_URL,
    tls: "use amqps:, with rabbitmq.ca_file for an authority of your own",
    has_exchanges: true,
    waits: Some(Waits { called: "consumer_timeout", usually: CONSUMER_TIMEOUT }),
    remark: Some(
        "RabbitMQ hands a job out again that runs longer than its consumer_timeout (30 min unless it was changed; \
         `rabbitmqctl eval 'application:get_env(rabbit, consumer_timeout).'` says it, and a policy may set consumer-timeout for a \
         queue). With a store a job that runs longer than worker.hand_over_after is kept by the store alone, unless its body must \
         not be kept or its message has no id: such a job goes on, and starts no second time",
    ),
    way,
    open,
};

fn way(settings: &config::Config, url: &str) -> Result<Way, Failure> {
    Ok(named(configured(settings, url)?.way(), settings, &RABBITMQ_CA_FILE))
}

fn open(settings: &config::Config, url: &str, bindings: Vec<Binding>) -> Opened {
    Ok(Arc::new(RabbitMqBroker::new(configured(settings, url)?, bindings)))
}

/// What the settings say about the server at this URL.
fn configured(settings: &config::Config, url: &str) -> Result<Config, Failure> {
    let no_text = |_| {
        let place = settings.told(&RABBITMQ_CA_FILE);
        Failure::configuration(format!(
            "{place}: it is no PEM text: name the certificate of an authority in PEM"
        ))
    };
    let ca_pem = pem(settings, &RABBITMQ_CA_FILE)?.map(String::from_utf8).transpose().map_err(no_text)?;
    let queue_type = match settings.get(&RABBITMQ_QUEUE_TYPE) {
        "classic" => QueueType::Classic,
        "existing" => QueueType::Existing,
        _ => QueueType::Quorum,
    };
    let options = Options { ca_pem, queue_type, ..Options::default() };
    let wrong =
        |error| Failure::configuration(format!("{}: {error}", server_of(settings, Server::Of(SOURCE.name))));
    Config::from_url(url, options).map_err(wrong)
}
