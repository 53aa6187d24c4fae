//! Rows between two queries: in memory while they are few, in a temporary file beyond that.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use futures::TryStreamExt;
use parquet::arrow::AsyncArrowWriter;

use crate::lake::datafile::writer_properties;

/// Rows of a rollup that are held in memory, some 200 bytes each.
const MOST_ROWS_IN_MEMORY: usize = 1_000_000;

/// The temporary file that rows are held in, gone with this value; none where they are in memory.
#[derive(Debug)]
pub(super) struct HeldRows {
    file: Option<PathBuf>,
}

impl Drop for HeldRows {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // What cannot be removed is the system's to clean up, as after a kill.
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Registers a query's rows under `name`, for as long as the returned value lives, and shows each batch to `look`.
pub(super) async fn hold(
    ctx: &SessionContext,
    name: &str,
    rows: SendableRecordBatchStream,
    look: impl FnMut(&RecordBatch),
) -> Result<HeldRows> {
    hold_beyond(MOST_ROWS_IN_MEMORY, ctx, name, rows, look).await
}

async fn hold_beyond(
    most_rows: usize,
    ctx: &SessionContext,
    name: &str,
    mut rows: SendableRecordBatchStream,
    mut look: impl FnMut(&RecordBatch),
) -> Result<HeldRows> {
    let schema = rows.schema();
    let mut held = HeldRows { file: None };
    let mut buffered: Vec<RecordBatch> = Vec::new();
    let mut buffered_rows = 0;
    let mut writer = None;
    while let Some(batch) = rows.try_next().await? {
        look(&batch);
        buffered_rows += batch.num_rows();
        buffered.push(batch);
        if writer.is_none() && buffered_rows > most_rows {
            let path = std::env::temp_dir().join(format!("lakebed-{}.parquet", uuid::Uuid::new_v4()));
            writer = Some(open(&path, &schema).await?);
            held.file = Some(path);
        }
        if let Some(writer) = &mut writer {
            for batch in buffered.drain(..) {
                writer.write(&batch).await?;
            }
        }
    }
    match (writer, &held.file) {
        (Some(writer), Some(path)) => {
            writer.close().await?;
            let path = path.to_str().ok_or_else(|| {
                DataFusionError::Execution(format!(
                    "the temporary folder {} is not UTF-8; set TMPDIR",
                    path.display()
                ))
            })?;
            let options = ParquetReadOptions::default().schema(&schema);
            ctx.register_parquet(name, path, options).await?;
        }
        _ => {
            ctx.register_table(name, Arc::new(MemTable::try_new(schema, vec![buffered])?))?;
        }
    }
    Ok(held)
}

async fn open(path: &std::path::Path, schema: &SchemaRef) -> Result<AsyncArrowWriter<tokio::fs::File>> {
    let file = tokio::fs::File::create(path).await?;
    // Written in groups of rows that several cores can read, and small enough to be held while they are written.
    let properties = writer_properties()
        .set_max_row_group_row_count(Some(128 * 1024))
        .build();
    Ok(AsyncArrowWriter::try_new(file, Arc::clone(schema), Some(properties))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::session;

    #[tokio::test]
    async fn many_rows_are_held_in_a_file_that_goes_with_them() {
        for most_rows in [0, 20_000, 1_000_000] {
            let ctx = session().unwrap();
            let rows = ctx
                .sql("SELECT value, CAST(value AS VARCHAR) AS text, CAST(value AS DECIMAL(38, 0)) AS sum FROM range(30000)")
                .await
                .unwrap()
                .execute_stream()
                .await
                .unwrap();
            let mut seen = 0;
            let held = hold_beyond(most_rows, &ctx, "held", rows, |batch| seen += batch.num_rows())
                .await
                .unwrap();
            assert_eq!((seen, held.file.is_some()), (30_000, most_rows < 30_000));
            let batches = ctx
                .sql("SELECT CAST(sum(sum) AS VARCHAR) FROM held WHERE text = CAST(value AS VARCHAR)")
                .await
                .unwrap()
                .collect()
                .await
                .unwrap();
            let shown = arrow::util::pretty::pretty_format_batches(&batches)
                .unwrap()
                .to_string();
            assert!(shown.contains("449985000"), "{shown}");
            let file = held.file.clone();
            drop(held);
            assert!(file.is_none_or(|file| !file.exists()));
        }
    }
}
