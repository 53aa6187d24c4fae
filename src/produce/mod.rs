//! produce

use crate::error::{HasKind, Kind};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// A fault.
    #[error("{0}")]
    Fault(String),
}

impl HasKind for ProduceError {
    fn kind(&self) -> Kind {
        Kind::Bug
    }
}
