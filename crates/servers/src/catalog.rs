//! The servers there are, in the order they are shown.

use anyhow::{Result, bail};

use crate::{Nats, PgBouncer, Postgres, RabbitMq, Redis, Service, SmtpSink};

/// Every server, in the order they are shown; `up` starts them all when no name is given.
pub static ALL: &[&dyn Service] = &[
    &Postgres,
    &PgBouncer,
    &RabbitMq::DISTRIBUTION,
    &RabbitMq::FOUR,
    &SmtpSink::COUNTING,
    &SmtpSink::KEEPING,
    &Redis,
    &Nats,
];

/// The servers of these names (all when empty), each with what it needs, needed ones first.
///
/// # Errors
/// There is no server of that name.
pub fn select(names: &[String]) -> Result<Vec<&'static dyn Service>> {
    let mut chosen: Vec<&'static dyn Service> = Vec::new();
    for name in names {
        let service = find(name)?;
        if let Some(needed) = service.after() {
            push(&mut chosen, find(needed)?);
        }
        push(&mut chosen, service);
    }
    Ok(if names.is_empty() { ALL.to_vec() } else { chosen })
}

/// The server of this name.
///
/// # Errors
/// There is none.
pub fn find(name: &str) -> Result<&'static dyn Service> {
    if let Some(service) = ALL.iter().find(|service| service.name() == name) {
        return Ok(*service);
    }
    if name == "kafka" {
        bail!("kafka: not yet, it comes with the Kafka broker");
    }
    let known: Vec<&str> = ALL.iter().map(|service| service.name()).collect();
    bail!("there is no server called {name:?}; known: {}", known.join(", "));
}

fn push(chosen: &mut Vec<&'static dyn Service>, service: &'static dyn Service) {
    if chosen.iter().all(|other| other.name() != service.name()) {
        chosen.push(service);
    }
}

#[cfg(test)]
mod tests {
    use super::{ALL, select};

    fn names(wanted: &[&str]) -> Vec<&'static str> {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        select(&wanted).unwrap().iter().map(|service| service.name()).collect()
    }

    #[test]
    fn what_is_needed_comes_first_and_once() {
        assert_eq!(names(&["pgbouncer", "postgres"]), ["postgres", "pgbouncer"]);
        assert_eq!(names(&[]).len(), ALL.len());
    }

    #[test]
    fn unknown_names_list_the_known_ones() {
        let error = select(&["postgers".to_owned()]).err().unwrap().to_string();
        assert!(error.contains("postgres, pgbouncer"), "{error}");
        assert!(select(&["kafka".to_owned()]).err().unwrap().to_string().contains("not yet"));
    }
}
