//! Checkpoints of a table's log: all actions that make up one version in one Parquet file, which spares readers the
//! commits before it.
//!
//! What comes out of the log is written as it comes, in row groups of some megabytes, so that a table of many files
//! needs no more memory for its checkpoint than one of few.

use std::sync::Arc;

use delta_kernel::checkpoint::{CheckpointWriter, LastCheckpointHintStats};
use delta_kernel::engine::arrow_data::EngineDataArrowExt;
use delta_kernel::{DeltaResult, Engine, Error, Snapshot};
use deltalake_core::logstore::LogStoreRef;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::AsyncArrowWriter;
use serde::Deserialize;
use tokio::runtime::Handle;

use super::LakeError;
use super::datafile::writer_properties;
use super::kernel::{blocking, engine};
use crate::fail_point::{self, Step};
use crate::memory;

/// The fewest commits between two checkpoints. Readers replay those since the last one.
pub(super) const INTERVAL: u64 = 100;
/// The most.
const LONGEST_INTERVAL: u64 = 500;
/// Actions of a checkpoint for each commit that is waited before the next: one holds all of the table's files again, so
/// that the more there are the fewer are made.
const ACTIONS_PER_COMMIT: u64 = 40;
/// Actions of a row group. One that adds a file is of about a kilobyte, most of it statistics.
const GROUP_ACTIONS: usize = 4096;

/// Writes a checkpoint of this version where one is due.
///
/// It only spares readers work: that one fails is no reason to fail the commit that stands.
pub(super) async fn write_when_due(log_store: &LogStoreRef, place: &str, version: u64) {
    let is_looked_at = (version + 1).is_multiple_of(INTERVAL);
    if !is_looked_at || !is_due(version, last(log_store).await) {
        return;
    }
    fail_point::reached(Step::BeforeCheckpoint);
    if let Err(error) = write(log_store, place, version).await {
        tracing::warn!(table = %place, version, %error, "no checkpoint was written; the next one is tried in {INTERVAL} commits");
    }
    memory::give_back();
    fail_point::reached(Step::AfterCheckpoint);
}

/// The object in which a log says which its last checkpoint is.
const HINT: &str = "_delta_log/_last_checkpoint";

/// What it says.
#[derive(Debug, Clone, Copy, Deserialize)]
struct LastCheckpoint {
    version: u64,
    /// Actions that the checkpoint holds.
    size: u64,
}

/// The last checkpoint, as the log's hint has it; none where there is none, or it cannot be read at present.
async fn last(log_store: &LogStoreRef) -> Option<LastCheckpoint> {
    let hint = log_store.object_store(None).get(&HINT.into()).await;
    let bytes = hint.ok()?.bytes().await.ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Whether the table wants a checkpoint of this version.
fn is_due(version: u64, last: Option<LastCheckpoint>) -> bool {
    last.is_none_or(|last| {
        let interval = (last.size / ACTIONS_PER_COMMIT).clamp(INTERVAL, LONGEST_INTERVAL);
        version.saturating_sub(last.version) >= interval
    })
}

async fn write(log_store: &LogStoreRef, place: &str, version: u64) -> Result<(), LakeError> {
    let (url, engine) = (log_store.root_url().clone(), engine(log_store));
    let (store, runtime) = (log_store.object_store(None), Handle::current());
    blocking(place, move || {
        let snapshot = Snapshot::builder_for(url.as_str())
            .at_version(version)
            .build(engine.as_ref())?;
        if snapshot.log_segment().checkpoint_version == Some(version) {
            return Ok(());
        }
        let checkpoint = snapshot.create_checkpoint_writer(engine.as_ref())?;
        let stats = write_actions(&checkpoint, engine.as_ref(), store, &runtime)?;
        checkpoint.finalize(engine.as_ref(), &stats)
    })
    .await
}

fn write_actions(
    checkpoint: &CheckpointWriter,
    engine: &dyn Engine,
    store: Arc<dyn ObjectStore>,
    runtime: &Handle,
) -> DeltaResult<LastCheckpointHintStats> {
    let url = checkpoint.checkpoint_path()?;
    let name = url.path_segments().and_then(|mut segments| segments.next_back());
    let name = name.ok_or_else(|| Error::generic("a checkpoint without a name"))?;
    let actions = checkpoint.checkpoint_data(engine)?;
    let state = actions.state();
    let mut actions = actions.map(|batch| batch?.apply_selection_vector()?.try_into_record_batch());
    let first = actions
        .next()
        .ok_or_else(|| Error::generic("a version without actions"))??;
    let properties = writer_properties()
        .set_max_row_group_row_count(Some(GROUP_ACTIONS))
        .build();
    let object = BufWriter::new(store, Path::from_iter(["_delta_log", name]));
    let mut writer = AsyncArrowWriter::try_new(object, first.schema(), Some(properties))?;
    runtime.block_on(writer.write(&first))?;
    for batch in actions {
        runtime.block_on(writer.write(&batch?))?;
    }
    runtime.block_on(writer.finish())?;
    let state = Arc::into_inner(state).ok_or_else(|| Error::generic("a checkpoint that is still being read"))?;
    LastCheckpointHintStats::from_reconciliation_state(state, writer.bytes_written() as u64, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_many_files_is_checkpointed_less_often() {
        let last = |size| Some(LastCheckpoint { version: 999, size });
        assert!(is_due(99, None));
        assert!(is_due(1099, last(20)));
        assert!(!is_due(1098, last(20)));
        assert!(!is_due(1199, last(10_000)));
        assert!(is_due(1249, last(10_000)));
        assert!(!is_due(1498, last(20_000_000)));
        assert!(is_due(1499, last(20_000_000)));
    }
}
