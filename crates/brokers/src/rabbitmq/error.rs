//! Turns what lapin and the server say into the port's errors: refused for good, away, or unknown.
//!
//! Texts carry the server's words and a remedy, never a URL: it holds the password.

use backshift_core::{BrokerError, way::handshake_remedy};
use lapin::ErrorKind;

/// The broker's name in errors and in the ledger.
pub(super) const NAME: &str = "rabbitmq";

pub(super) fn rejected(problem: impl Into<String>) -> BrokerError {
    BrokerError::Rejected { broker: NAME, problem: problem.into() }
}

pub(super) fn unavailable(problem: impl Into<String>) -> BrokerError {
    BrokerError::Unavailable { broker: NAME, problem: problem.into() }
}

pub(super) fn unknown(problem: impl Into<String>) -> BrokerError {
    BrokerError::Unknown { broker: NAME, problem: problem.into() }
}

/// The server's reply code, when the error is a reply of the server.
pub(super) fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(reply) => Some(reply.get_id()),
        _ => None,
    }
}

/// What a failed request means when nothing was accepted by it.
pub(super) fn refused_or_away(doing: &str, error: &lapin::Error) -> BrokerError {
    let remedy = match reply_code(error) {
        Some(403) => {
            "check user and password of RABBITMQ_URL, and grant the user configure, write and read on the queue and on its \
             .retry.* and .dlq (rabbitmqctl set_permissions)"
        }
        Some(404) => "declare it first (a worker or `backshift doctor` does)",
        Some(406) => {
            "it exists with other properties than ours: delete it when it is empty, use another name, or set \
             rabbitmq.queue_type (BACKSHIFT_RABBITMQ_QUEUE_TYPE) to classic or existing"
        }
        Some(530) => "check that the virtual host of RABBITMQ_URL exists and that the user may use it",
        Some(311 | 402 | 502 | 503 | 540) => "this server cannot do it",
        _ => {
            let problem = error.to_string();
            let remedy = handshake_remedy(&problem, "rabbitmq.ca_file (BACKSHIFT_RABBITMQ_CA_FILE)");
            let remedy = remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default();
            return unavailable(format!("{doing}: {problem}{remedy}"));
        }
    };
    rejected(format!("{doing}: {error}; {remedy}"))
}

/// The same error once more, for everybody who waited for one answer.
pub(super) fn again(error: &BrokerError) -> BrokerError {
    match error {
        BrokerError::Unsupported { broker, capability, remedy } => {
            BrokerError::Unsupported { broker, capability: *capability, remedy }
        }
        BrokerError::Unavailable { broker, problem } => {
            BrokerError::Unavailable { broker, problem: problem.clone() }
        }
        BrokerError::Unknown { broker, problem } => BrokerError::Unknown { broker, problem: problem.clone() },
        BrokerError::Rejected { broker, problem } => {
            BrokerError::Rejected { broker, problem: problem.clone() }
        }
        BrokerError::Unusable { broker, problem } => {
            BrokerError::Unusable { broker, problem: problem.clone() }
        }
        BrokerError::Closed => BrokerError::Closed,
    }
}
