//! Which data file it was: the engine's errors of decoding name none.

use futures::TryStreamExt;

use super::rollup::event_columns;
use super::snapshot_table::register;
use super::{HistoryError, Window, session};
use crate::lake::{DataFile, Lake, TableSnapshot};

/// The error, with the file named where it is one of reading: the files of the window are read once more, alone.
pub(super) async fn name_file(
    error: HistoryError,
    lake: &Lake,
    events: &TableSnapshot,
    window: &Window,
) -> HistoryError {
    if !matches!(&error, HistoryError::Query { reason, .. } if reason.contains("arquet")) {
        return error;
    }
    let overlaps = |(min, max): (i64, i64)| min <= window.last_second() && window.first_second() <= max;
    for file in &events.files {
        if !file.timestamps.is_none_or(overlaps) {
            continue;
        }
        if let Some(reason) = fault_of(lake, events, file).await {
            return HistoryError::File {
                file: file.path.to_string(),
                reason,
            };
        }
    }
    error
}

/// What the engine says of one file alone; none where it can be read.
async fn fault_of(lake: &Lake, events: &TableSnapshot, file: &DataFile) -> Option<String> {
    let alone = TableSnapshot {
        files: vec![file.clone()],
        ..events.clone()
    };
    let ctx = session().ok()?;
    register(&ctx, lake, "alone", &alone, &event_columns()).ok()?;
    let drained = async {
        let mut rows = ctx.sql("SELECT * FROM alone").await?.execute_stream().await?;
        while rows.try_next().await?.is_some() {}
        Ok::<(), datafusion::error::DataFusionError>(())
    };
    drained.await.err().map(|error| error.strip_backtrace())
}
