//! Whether the data files that a kept rollup stands for are still there, and as long as they were.
//!
//! A run does not open a file again that an earlier one has summed up. Its loss is damage to the lake all the same, and
//! must not first show when everything is computed afresh.

use std::collections::HashMap;

use object_store::path::Path;

use super::{HistoryError, Window};
use crate::lake::snapshot::present_files;
use crate::lake::{DataFile, Lake, LakeError, RAW_EVENTS, TableSnapshot};

/// The first file of the window that is gone or of another size than the table's log says, as the error that names it.
///
/// # Errors
/// [`LakeError`] where the store fails.
pub(super) async fn lost_file(
    lake: &Lake,
    events: &TableSnapshot,
    window: &Window,
) -> Result<Option<HistoryError>, LakeError> {
    let present = present_files(lake, RAW_EVENTS).await?;
    let sizes: HashMap<&Path, u64> = present.iter().map(|object| (&object.location, object.size)).collect();
    let seconds = (window.first_second(), window.last_second());
    let mut files = events.files.iter().filter(|file| file.may_hold(seconds));
    Ok(files.find_map(|file| {
        let reason = loss(file, sizes.get(&file.path).copied())?;
        Some(HistoryError::File {
            file: file.path.to_string(),
            reason,
        })
    }))
}

/// What is wrong with a file that has this size, or is not there.
fn loss(file: &DataFile, size: Option<u64>) -> Option<String> {
    match size {
        None => Some("it is not there".to_owned()),
        Some(size) if size != file.size => Some(format!("it has {size} bytes and was written with {}", file.size)),
        Some(_) => None,
    }
}
