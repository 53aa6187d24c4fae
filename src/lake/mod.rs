//! The lake: Delta tables on a local folder or S3, which are the only truth about what is archived and published.
//!
//! [`store`] opens the place, [`snapshot`] reads a table as of one version, [`commit`] adds a version,
//! [`changes`] tells what the versions in between did, [`datafile`] turns batches into Parquet files and their Add
//! actions.

pub mod changes;
mod checkpoint;
pub mod commit;
pub mod counted;
pub mod datafile;
#[cfg(test)]
pub(crate) mod faulty;
pub mod footer;
mod kernel;
mod marks;
pub mod object;
mod plain;
mod replay;
pub mod snapshot;
mod statistics;
pub mod store;
mod walk;

pub use commit::{CommitOutcome, TableWriter};
pub use snapshot::{DataFile, NullCounts, TableSnapshot};
pub use store::Lake;

use crate::error::{HasKind, Kind};

/// The table of archived events.
pub const RAW_EVENTS: &str = "raw_events";
/// The table of messages that are no events.
pub const QUARANTINE: &str = "quarantine";

/// What can go wrong with the lake.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// `DATA_LAKE_PATH` or a setting of the store cannot be obeyed.
    #[error("cannot use the lake {path}: {reason}")]
    Settings {
        /// The lake as it was named.
        path: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The place is not there.
    #[error("there is no {what} at {place}: {help}")]
    Missing {
        /// What was looked for.
        what: &'static str,
        /// Where it was looked for.
        place: String,
        /// What to do.
        help: &'static str,
    },
    /// The store refused the credentials.
    #[error(
        "the store of {place} refused access: {reason}; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy (for a local folder, its permissions)"
    )]
    Refused {
        /// The table or lake.
        place: String,
        /// The store's own words.
        reason: String,
    },
    /// The store was away or answered with an error.
    #[error("the store of {place} failed: {reason}; see to the disk or the server behind it, and run again")]
    Store {
        /// The table or lake.
        place: String,
        /// The store's own words.
        reason: String,
    },
    /// The store has no room.
    #[error("there is no room left in the store of {place}: {reason}; make room, or raise the quota, and run again")]
    Full {
        /// The table or lake.
        place: String,
        /// The store's own words.
        reason: String,
    },
    /// The table is there but not as lakebed can use it.
    #[error("the table at {place} cannot be used: {reason}")]
    Table {
        /// The table.
        place: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A batch could not be turned into Parquet, or a file's statistics not into JSON.
    #[error("cannot encode a data file for {place}: {reason}")]
    Encode {
        /// The table.
        place: String,
        /// What failed.
        reason: String,
    },
}

impl LakeError {
    /// There is no table of archived events in a lake.
    pub fn no_events(lake: &Lake) -> LakeError {
        LakeError::Missing {
            what: "table of archived events",
            place: lake.shown(RAW_EVENTS),
            help: "name the lake with DATA_LAKE_PATH, or fill it with lakebed archive",
        }
    }
}

impl HasKind for LakeError {
    fn kind(&self) -> Kind {
        match self {
            LakeError::Settings { .. } | LakeError::Refused { .. } => Kind::Configuration,
            LakeError::Store { .. } => Kind::Retry,
            LakeError::Full { .. } => Kind::Resource,
            LakeError::Missing { .. } | LakeError::Table { .. } => Kind::Data,
            LakeError::Encode { .. } => Kind::Bug,
        }
    }
}
