//! The kind of an error that a command ended with.

use crate::archive::ArchiveError;
use crate::config::SettingsError;
use crate::error::{HasKind, Kind};
use crate::history::HistoryError;
use crate::kafka::KafkaFault;
use crate::lake::LakeError;
use crate::monitor::MonitorError;
use crate::produce::{InputError, ProduceError};
use crate::query::QueryError;

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
                .or_else(|| known::<MonitorError>(cause))
                .or_else(|| known::<ProduceError>(cause))
                .or_else(|| known::<InputError>(cause))
                .or_else(|| known::<HistoryError>(cause))
                .or_else(|| known::<QueryError>(cause))
        })
        .unwrap_or(Kind::Bug)
}
