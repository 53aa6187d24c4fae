//! Which data file it was: the engine's errors of decoding name none.

use std::sync::Arc;

use futures::TryStreamExt;
use parquet::arrow::async_reader::{ParquetObjectReader, ParquetRecordBatchStreamBuilder};

use super::{HistoryError, Window};
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
        if let Err(fault) = decode(lake, file).await {
            return HistoryError::File {
                file: file.path.to_string(),
                reason: fault.to_string(),
            };
        }
    }
    error
}

async fn decode(lake: &Lake, file: &DataFile) -> parquet::errors::Result<()> {
    let reader = ParquetObjectReader::new(Arc::clone(&lake.store()), file.path.clone()).with_file_size(file.size);
    let mut rows = ParquetRecordBatchStreamBuilder::new(reader).await?.build()?;
    while rows.try_next().await?.is_some() {}
    Ok(())
}
