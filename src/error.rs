//! The coarse kinds that decide what happens after an error, and the exit code that each becomes.

use crate::archive::ArchiveError;
use crate::config::SettingsError;
use crate::history::HistoryError;
use crate::kafka::KafkaFault;
use crate::lake::LakeError;
use crate::produce::{InputError, ProduceError};
use crate::query::QueryError;

/// What the person, or the loop, that meets an error should do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A peer was away, slow or overloaded: the same thing may succeed later.
    Retry,
    /// A setting, an argument or a permission is wrong: it fails until somebody changes it.
    Configuration,
    /// What was read is not what it should be.
    Data,
    /// The machine lacks something, such as room on a disk: it fails until somebody makes room.
    Resource,
    /// lakebed itself is at fault.
    Bug,
}

impl Kind {
    /// The exit code of a command that ended with this kind of error (contract, section 7).
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Configuration => 2,
            Kind::Retry | Kind::Data | Kind::Resource | Kind::Bug => 1,
        }
    }

    /// The kind's name in the logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Retry => "retry",
            Kind::Configuration => "configuration",
            Kind::Data => "data",
            Kind::Resource => "resource",
            Kind::Bug => "bug",
        }
    }
}

/// An error of one of lakebed's domains, which knows its kind.
pub trait HasKind {
    /// What should be done about it.
    fn kind(&self) -> Kind;
}

/// The kind of the first error in the chain that knows one; anything else is ours to mend.
pub fn kind_of(error: &anyhow::Error) -> Kind {
    fn known<E: HasKind + std::error::Error + 'static>(cause: &(dyn std::error::Error + 'static)) -> Option<Kind> {
        cause.downcast_ref::<E>().map(HasKind::kind)
    }
    error
        .chain()
        .find_map(|cause| {
            known::<SettingsError>(cause)
                .or_else(|| known::<LakeError>(cause))
                .or_else(|| known::<KafkaFault>(cause))
                .or_else(|| known::<ArchiveError>(cause))
                .or_else(|| known::<ProduceError>(cause))
                .or_else(|| known::<InputError>(cause))
                .or_else(|| known::<HistoryError>(cause))
                .or_else(|| known::<QueryError>(cause))
        })
        .unwrap_or(Kind::Bug)
}
