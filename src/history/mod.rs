//! history

use crate::error::{HasKind, Kind};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A fault.
    #[error("{0}")]
    Fault(String),
}

impl HasKind for HistoryError {
    fn kind(&self) -> Kind {
        Kind::Bug
    }
}
