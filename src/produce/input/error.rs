//! What can go wrong with the input.

use super::source::Format;
use crate::error::{HasKind, Kind};

/// Why the input cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The file is not there.
    #[error("there is no file {name}: check the path, or write - for standard input")]
    Missing {
        /// The file.
        name: String,
    },
    /// The file may not be read.
    #[error("no permission to read {name}: make it readable for this user, or run as one who may read it")]
    Refused {
        /// The file.
        name: String,
    },
    /// The file is a folder.
    #[error("{name} is a folder: name one file in it")]
    Folder {
        /// The folder.
        name: String,
    },
    /// The file cannot be opened for a rarer reason.
    #[error("cannot open {name}: {reason}; name a file that can be read, or - for standard input")]
    Unopened {
        /// The file.
        name: String,
        /// The system's own words.
        reason: String,
    },
    /// The reading itself failed.
    #[error(
        "reading {name} failed after {lines} lines: {reason}; check the disk or the sender and feed the rest again"
    )]
    Failed {
        /// The input.
        name: String,
        /// The whole lines before it.
        lines: u64,
        /// The system's own words.
        reason: String,
    },
    /// The compressed data is not whole.
    #[error(
        "the {format} data of {name} {reason}, after {lines} whole lines, which were fed: fetch or copy the file again"
    )]
    Damaged {
        /// The input.
        name: String,
        /// The whole lines before it.
        lines: u64,
        /// How it is compressed.
        format: Format,
        /// What is wrong with it.
        reason: String,
    },
    /// A line is too long for an event.
    #[error(
        "line {line} of {name} is longer than {max} bytes, too long for an event: is this one JSON document instead of a line for each event?"
    )]
    TooLong {
        /// The input.
        name: String,
        /// The line's number, counted from 1.
        line: u64,
        /// The longest line allowed.
        max: usize,
    },
}

impl HasKind for InputError {
    fn kind(&self) -> Kind {
        match self {
            InputError::Missing { .. }
            | InputError::Refused { .. }
            | InputError::Folder { .. }
            | InputError::Unopened { .. } => Kind::Configuration,
            InputError::Failed { .. } => Kind::Retry,
            InputError::Damaged { .. } | InputError::TooLong { .. } => Kind::Data,
        }
    }
}
