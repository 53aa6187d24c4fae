//! What can go wrong with Kafka, in words for the person who must act.

use crate::error::{HasKind, Kind};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// What can go wrong with Kafka.
#[derive(Debug, thiserror::Error)]
pub enum KafkaFault {
    /// A setting that the client library refuses.
    #[error("the settings of Kafka cannot be used: {0}; correct the KAFKA_… variables")]
    Settings(String),
    /// No broker answered.
    #[error(
        "no Kafka broker answered at {brokers}: {reason}; check KAFKA_BROKERS and KAFKA_SECURITY_PROTOCOL, and that the broker is up"
    )]
    Unreachable {
        /// The brokers as they were named.
        brokers: String,
        /// The client's last words about them.
        reason: String,
    },
    /// The broker refused the login, its certificate was not trusted, or it speaks another protocol.
    #[error(
        "no connection to Kafka at {brokers} as it is set: {reason}; check KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_… and KAFKA_SSL_…"
    )]
    Refused {
        /// The brokers as they were named.
        brokers: String,
        /// The client's words about it.
        reason: String,
    },
    /// The topic is not there.
    #[error("there is no topic {topic} at {brokers}; create it, or correct KAFKA_TOPIC")]
    NoTopic {
        /// The brokers as they were named.
        brokers: String,
        /// The topic.
        topic: String,
    },
    /// A request failed.
    #[error("Kafka failed to {what}: {reason}")]
    Request {
        /// What was asked of it.
        what: &'static str,
        /// The client's words about it.
        reason: String,
    },
}

impl KafkaFault {
    /// A request's failure, in the words that the client has noted about its connections, if it has.
    pub fn of(brokers: &str, what: &'static str, error: &KafkaError, noted: Option<String>) -> KafkaFault {
        let code = error.rdkafka_error_code();
        let reason = noted.unwrap_or_else(|| error.to_string());
        let brokers = brokers.to_owned();
        let login = [
            "authentication",
            "Authentication",
            "SSL handshake",
            "certificate",
            "SASL",
        ]
        .iter()
        .any(|word| reason.contains(word));
        match code {
            _ if login => KafkaFault::Refused { brokers, reason },
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::Resolve,
            ) => KafkaFault::Unreachable { brokers, reason },
            _ => KafkaFault::Request { what, reason },
        }
    }

    /// What it means of brokers that have not answered yet that they close the connection at once. Those that have
    /// answered are known to take the settings.
    pub fn at_first_contact(self) -> KafkaFault {
        match self {
            KafkaFault::Unreachable { brokers, reason } if closed_at_once(&reason) => KafkaFault::Refused {
                brokers,
                reason: format!(
                    "it closes the connection at once, as a broker does that expects another KAFKA_SECURITY_PROTOCOL ({reason})"
                ),
            },
            other => other,
        }
    }

    /// Whether asking once more may end otherwise: a connection that was only closed may have met a broker that is
    /// being started or stopped.
    pub fn may_pass(&self) -> bool {
        match self {
            KafkaFault::Refused { reason, .. } => reason.contains("isconnected"),
            other => other.kind() == Kind::Retry,
        }
    }
}

/// Whether the broker took the connection and closed it over the first thing that it was sent.
fn closed_at_once(reason: &str) -> bool {
    let after = reason
        .split_once("Disconnected")
        .and_then(|(_, rest)| rest.split_once("(after ")?.1.split_once("ms in state "));
    after.is_some_and(|(milliseconds, state)| {
        milliseconds.len() < 4
            && ["APIVERSION_QUERY", "SSL_HANDSHAKE", "UP"]
                .iter()
                .any(|known| state.starts_with(known))
    })
}

impl HasKind for KafkaFault {
    fn kind(&self) -> Kind {
        match self {
            KafkaFault::Settings(_) | KafkaFault::Refused { .. } | KafkaFault::NoTopic { .. } => Kind::Configuration,
            KafkaFault::Unreachable { .. } | KafkaFault::Request { .. } => Kind::Retry,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::closed_at_once;

    #[test]
    fn only_a_connection_that_is_closed_over_its_first_request_is_of_a_wrong_protocol() {
        let closed = |after: &str| closed_at_once(&format!("host:9/bootstrap: Disconnected: closed by peer ({after})"));
        assert!(closed(
            "after 1ms in state APIVERSION_QUERY, 1 identical error(s) suppressed"
        ));
        assert!(closed("after 0ms in state SSL_HANDSHAKE"));
        assert!(closed("after 999ms in state UP"));
        assert!(!closed("after 600000ms in state UP"));
        assert!(!closed_at_once(
            "host:9: Connect failed: Connection refused (after 0ms in state CONNECT)"
        ));
    }
}
