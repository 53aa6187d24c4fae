//! Feeding the topic: lines of a file, of standard input or of the live stream become messages.
//!
//! [`input`] turns what is read into lines, [`mod@line`] says what each line is, [`recentchange`] maps Wikimedia's events,
//! [`stream`] reads a URL, [`deliver`] sends messages and waits for their acknowledgements, [`feed()`] does all of it.

pub mod deliver;
mod feed;
pub mod input;
pub mod line;
pub mod recentchange;
pub mod stream;

pub use deliver::Delivery;
pub use feed::{ProduceReport, feed};
pub use input::{Input, InputError};
pub use line::{Line, recognise};

use crate::error::{HasKind, Kind};
use crate::kafka::KafkaFault;

/// What can go wrong while the topic is fed.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// What was to be fed could not be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Kafka.
    #[error(transparent)]
    Kafka(#[from] KafkaFault),
    /// Messages were sent and not acknowledged.
    #[error(
        "{failed} messages were not delivered to {topic} ({delivered} were): {reason}; those that were are in the topic, so feed the rest only"
    )]
    Undelivered {
        /// How many were not.
        failed: u64,
        /// How many were.
        delivered: u64,
        /// The topic.
        topic: String,
        /// Why the first of them was not.
        reason: String,
    },
}

impl HasKind for ProduceError {
    fn kind(&self) -> Kind {
        match self {
            ProduceError::Input(error) => error.kind(),
            ProduceError::Kafka(error) => error.kind(),
            ProduceError::Undelivered { .. } => Kind::Retry,
        }
    }
}
