//! kafka

use crate::error::{HasKind, Kind};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum KafkaFault {
    /// A fault.
    #[error("{0}")]
    Fault(String),
}

impl HasKind for KafkaFault {
    fn kind(&self) -> Kind {
        Kind::Bug
    }
}
