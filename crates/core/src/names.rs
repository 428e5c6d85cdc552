//! Names and numbers that identify things, checked when they are made.
//!
//! A [`Token`] is not an attempt number: it rises on *every* start of a job, also on those that count as no
//! attempt, and it is what fences a worker that was presumed dead.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A name that breaks the rules, with the rule and the remedy in its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not valid: {rule}")]
pub struct InvalidName {
    /// What was named: `queue`, `kind`, `job id`, `worker`.
    pub what: &'static str,
    /// The rejected text, cut at 80 characters.
    pub value: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

impl InvalidName {
    fn new(what: &'static str, value: &str, rule: &'static str) -> Self {
        Self { what, value: value.chars().take(80).collect(), rule }
    }
}

/// Identifies a job on every broker and in the store; UUIDv7 unless the producer chose another UUID.
///
/// ```
/// # use backshift_core as backshift;
/// use backshift::JobId;
///
/// let id: JobId = "019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55".parse().unwrap();
/// assert_ne!(id, JobId::generate());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub Uuid);

impl JobId {
    /// A new time-ordered id (RFC 9562 UUIDv7).
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for JobId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Uuid::parse_str(text).map(Self).map_err(|_| {
            InvalidName::new("job id", text, "a UUID such as 019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55")
        })
    }
}

/// Where a job runs, by the ledger's name of its broker.
///
/// Made from a broker itself or from the name of one that there is: a mistyped name would accept a job that nobody ever runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BrokerName(&'static str);

impl BrokerName {
    /// The queue of a PostgreSQL database.
    pub const POSTGRES: Self = Self("postgres");
    /// The queue of a SQLite file.
    pub const EMBEDDED: Self = Self("embedded");
    /// RabbitMQ, through the outbox.
    pub const RABBITMQ: Self = Self("rabbitmq");

    /// The name of this broker, whoever wrote it.
    pub fn of(broker: &dyn crate::Broker) -> Self {
        Self(broker.name())
    }

    /// As the ledger has it.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for BrokerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl FromStr for BrokerName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let known = [Self::POSTGRES, Self::EMBEDDED, Self::RABBITMQ];
        let found = known.into_iter().find(|name| name.0 == text);
        found.ok_or_else(|| InvalidName::new("broker", text, "one of postgres, embedded, rabbitmq"))
    }
}

macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Checks the text: letters, digits, `_`, `-`, `.`, `:`, beginning with a letter or digit.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
                check($what, text.as_ref(), $max)?;
                Ok(Self(text.as_ref().into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

checked_name!(
    /// A named line of jobs. Legal on every broker: at most 128 characters, never beginning with `amq.`.
    ///
    /// ```
    /// # use backshift_core as backshift;
    /// use backshift::QueueName;
    /// assert!(QueueName::new("mails").is_ok() && QueueName::new("my mails").is_err());
    /// ```
    QueueName, "queue", 128
);
checked_name!(
    /// The stable wire name of a type of job, such as `email.send`.
    Kind, "kind", 128
);
checked_name!(
    /// The name of a worker process, unique among the processes that run now.
    WorkerName, "worker", 200
);

fn check(what: &'static str, text: &str, max: usize) -> Result<(), InvalidName> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
    let rule = if text.is_empty() {
        "it must not be empty"
    } else if text.len() > max {
        "it is too long (128 characters at most)"
    } else if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        "it must begin with a letter or a digit"
    } else if !text.chars().all(legal) {
        "only letters, digits, '_', '-', '.' and ':' are allowed"
    } else if text.contains("..") || text.starts_with("amq.") {
        "'..' and the prefix 'amq.' are reserved by brokers"
    } else {
        return Ok(());
    };
    Err(InvalidName::new(what, text, rule))
}

/// Rises by one on every start of a job; the store refuses results that carry a lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub i64);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The right to finish one attempt, until `until` unless it is extended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The job that is held.
    pub job: JobId,
    /// The fence: only the holder of the highest token may finish the job.
    pub token: Token,
    /// When the right ends, by the store's clock.
    pub until: Timestamp,
    /// The claim that it came with, where a claim leaves the job's row as it is and is noted beside it (PostgreSQL).
    pub claim: Option<Uuid>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_broker_is_no_broker() {
        for name in ["postgres", "embedded", "rabbitmq"] {
            assert_eq!(name.parse::<BrokerName>().unwrap().to_string(), name);
        }
        for typo in ["postgress", "Postgres", "sqlite", "rabbit", "amqp", "", " embedded"] {
            let error = typo.parse::<BrokerName>().unwrap_err().to_string();
            assert!(error.contains("one of postgres, embedded, rabbitmq"), "{error}");
        }
    }

    #[test]
    fn names_that_a_broker_would_misread_are_refused() {
        for bad in ["", ".a", "a..b", "amq.x", "a b", "a*", "ü", "a\n", "{q}:t", &"x".repeat(129)] {
            assert!(QueueName::new(bad).is_err(), "{bad:?}");
        }
        for good in ["default", "smtp_send_email", "email.send", "asynq:critical", "a-b.c_d:e"] {
            assert!(QueueName::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn ids_print_in_lower_case_with_hyphens() {
        let id: JobId = "019AA3C17F2E7C409D1B2B1F0E6D8A55".parse().unwrap();
        assert_eq!(id.to_string(), "019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55");
        assert!("not-a-uuid".parse::<JobId>().unwrap_err().to_string().contains("UUID"));
    }
}
