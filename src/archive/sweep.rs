//! Files that were written and that no commit can name any more.
//!
//! A commit names a file only while the lake's marks equal the offsets at which the file's flush began: of a flush that
//! lost a partition the files are written anew. Marks only grow. So a file that the table's log does not name, and one
//! of whose partitions has a mark beyond the flush's first offset, is dead for good, whoever wrote it, and whether or
//! not its writer still lives. Readers that look at the folder and not at the log would count its rows twice.

use object_store::{ObjectMeta, ObjectStoreExt};

use super::ArchiveError;
use super::ledger::{LEDGER_TAG, Ledger};
use crate::fail_point::{self, Step};
use crate::lake::snapshot::unnamed;
use crate::lake::{Lake, LakeError, RAW_EVENTS, footer};

/// The files of this topic that the log does not name, each with its partitions' first offsets.
///
/// # Errors
/// [`ArchiveError::Lake`] where the store fails.
pub async fn candidates(lake: &Lake, topic: &str) -> Result<Vec<(ObjectMeta, Vec<(i32, i64)>)>, ArchiveError> {
    let mut found = Vec::new();
    for object in unnamed(lake, RAW_EVENTS).await? {
        // What cannot be read, or bears no ledger, is not ours to judge.
        let Ok(metadata) = footer::read(lake, &object).await else {
            continue;
        };
        let tags = metadata.file_metadata().key_value_metadata();
        let ledger = tags
            .and_then(|tags| tags.iter().find(|tag| tag.key == LEDGER_TAG))
            .and_then(|tag| tag.value.as_deref())
            .and_then(|text| serde_json::from_str::<Ledger>(text).ok())
            .filter(|ledger| ledger.topic == topic);
        if let Some(ledger) = ledger {
            let starts = ledger
                .partitions
                .iter()
                .map(|(partition, entry)| (*partition, entry.start));
            found.push((object, starts.collect()));
        }
    }
    Ok(found)
}

/// Deletes a file.
///
/// # Errors
/// [`ArchiveError::Lake`] where the store fails; that the file is gone already is none.
pub async fn delete(lake: &Lake, file: &ObjectMeta) -> Result<(), ArchiveError> {
    tracing::info!(file = %file.location, "deleting a file that was written and never committed");
    fail_point::reached(Step::BeforeSweep);
    match lake.store().delete(&file.location).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => {
            fail_point::reached(Step::AfterSweep);
            Ok(())
        }
        Err(error) => Err(LakeError::Store {
            place: file.location.to_string(),
            reason: error.to_string(),
        }
        .into()),
    }
}
