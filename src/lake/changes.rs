//! What the commits after a version did to a table's files.

use deltalake_core::kernel::Action;
use deltalake_core::logstore::get_actions;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;

use super::snapshot::{data_file, delta_fault, under};
use super::{DataFile, Lake, LakeError};

/// Commits that are read at a time.
const PARALLEL_COMMITS: usize = 16;

/// The files that came and went with a range of commits, those left out that hold the same rows as before
/// (compaction).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Files with new rows, some of which may be gone again.
    pub added: Vec<DataFile>,
    /// Files whose rows are no longer part of the table, or not as they were.
    pub removed: Vec<Path>,
}

/// The changes of the versions after `after` and up to `until`; none where their commits are no longer there.
///
/// # Errors
/// [`LakeError`] where the store fails or a commit cannot be read.
pub async fn changes(lake: &Lake, table: &str, after: u64, until: u64) -> Result<Option<Changes>, LakeError> {
    let log_store = lake.log_store(table);
    let place = lake.shown(table);
    let folder = lake.path(table);
    let reads: Vec<_> = (after + 1..=until)
        .map(|version| {
            let log_store = log_store.clone();
            async move {
                let commit = log_store.read_commit_entry(version).await?;
                commit.map(|bytes| get_actions(version, &bytes)).transpose()
            }
        })
        .collect();
    let commits: Vec<_> = stream::iter(reads)
        .buffered(PARALLEL_COMMITS)
        .try_collect()
        .await
        .map_err(|error| delta_fault(&place, &error))?;
    let mut all = Changes::default();
    for actions in commits {
        let Some(actions) = actions else {
            return Ok(None);
        };
        for action in actions {
            match action {
                Action::Add(add) if add.data_change => all.added.push(data_file(&folder, add)),
                Action::Remove(remove) if remove.data_change => all.removed.push(under(&folder, &remove.path)),
                _ => {}
            }
        }
    }
    Ok(Some(all))
}

/// A check sum of a version's commit, which tells it from the same version of another history; none where the commit
/// is no longer there.
///
/// # Errors
/// [`LakeError`] where the store fails.
pub async fn fingerprint(lake: &Lake, table: &str, version: u64) -> Result<Option<u32>, LakeError> {
    let commit = lake.log_store(table).read_commit_entry(version).await;
    let bytes = commit.map_err(|error| delta_fault(&lake.shown(table), &error))?;
    Ok(bytes.map(|bytes| crc32fast::hash(&bytes)))
}
