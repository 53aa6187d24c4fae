//! archive

use crate::error::{HasKind, Kind};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A fault.
    #[error("{0}")]
    Fault(String),
}

impl HasKind for ArchiveError {
    fn kind(&self) -> Kind {
        Kind::Bug
    }
}
