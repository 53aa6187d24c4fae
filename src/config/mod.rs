//! Settings: flags, then environment, then a settings file, then defaults; one struct per concern.
//!
//! Every setting is one clap argument with an `env` name, so that each command lists in its help what it obeys.
//! A settings file holds `NAME=value` lines and is read into the environment before the arguments are parsed
//! ([`file::load`]), which gives the order above without a second mechanism. A variable that is set but empty counts
//! as not set, as it does for the tools that pass such variables on.

pub mod archive;
pub mod duration;
pub mod file;
pub mod history;
pub mod kafka;
pub mod lake;
pub mod monitor;
pub mod postgres;
pub mod report;
pub mod schedule;
mod secret;
pub mod validate;

pub use archive::ArchiveSettings;
pub use history::HistorySettings;
pub use kafka::{ConsumerSettings, KafkaSettings};
pub use lake::LakeSettings;
pub use monitor::MonitorSettings;
pub use postgres::PostgresSettings;
pub use schedule::ScheduleSettings;
pub use secret::Secret;
pub use validate::{ExpectationSettings, ValidateSettings};

use crate::error::{HasKind, Kind};

/// A setting, or a combination of settings, that cannot be obeyed.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The settings file could not be read or is not made of `NAME=value` lines.
    #[error("cannot read the settings file {path}: {reason}; correct it, or name another one with LAKEBED_CONFIG")]
    File {
        /// The file as it was named.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A value that parses but cannot be meant.
    #[error("{name}: {reason}")]
    Value {
        /// The setting's environment name.
        name: &'static str,
        /// What is wrong, and what to set instead.
        reason: String,
    },
}

impl HasKind for SettingsError {
    fn kind(&self) -> Kind {
        Kind::Configuration
    }
}
