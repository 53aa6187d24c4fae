//! Feeding the topic: lines of a file, of standard input or of the live stream become messages.
//!
//! [`input`] turns what is read into lines, [`line`] says what each line is, [`recentchange`] maps Wikimedia's events.

pub mod input;
pub mod line;
pub mod recentchange;

pub use input::{Input, InputError};
pub use line::{Line, recognise};

use crate::error::{HasKind, Kind};

/// What can go wrong while the topic is fed.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// What was to be fed could not be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A fault.
    #[error("{0}")]
    Fault(String),
}

impl HasKind for ProduceError {
    fn kind(&self) -> Kind {
        match self {
            ProduceError::Input(error) => error.kind(),
            ProduceError::Fault(_) => Kind::Bug,
        }
    }
}
