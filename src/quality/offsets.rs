//! The offset of every row, read from the files.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::lake::{Lake, LakeError};

/// Adds the places of a file's rows to those of each partition.
///
/// # Errors
/// [`LakeError::Table`] where the file cannot be read or lacks the columns.
pub async fn read(
    lake: &Lake,
    file: &Path,
    [partition, offset]: [&str; 2],
    found: &mut BTreeMap<i32, Vec<i64>>,
) -> Result<(), LakeError> {
    let fault = |reason: String| LakeError::Table {
        place: file.to_string(),
        reason,
    };
    let object = lake.store().get(file).await.map_err(|error| fault(error.to_string()))?;
    let bytes = object.bytes().await.map_err(|error| fault(error.to_string()))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| fault(error.to_string()))?;
    let columns = ProjectionMask::columns(builder.parquet_schema(), [partition, offset]);
    let reader = builder
        .with_projection(columns)
        .build()
        .map_err(|error| fault(error.to_string()))?;
    for batch in reader {
        let batch = batch.map_err(|error| fault(error.to_string()))?;
        add(&batch, partition, offset, found)
            .ok_or_else(|| fault(format!("it has no columns {partition} and {offset}")))?;
    }
    Ok(())
}

fn add(batch: &RecordBatch, partition: &str, offset: &str, found: &mut BTreeMap<i32, Vec<i64>>) -> Option<()> {
    let partitions = batch.column_by_name(partition)?.as_primitive_opt::<Int32Type>()?;
    let offsets = batch.column_by_name(offset)?.as_primitive_opt::<Int64Type>()?;
    for (partition, offset) in partitions.iter().zip(offsets) {
        found.entry(partition?).or_default().push(offset?);
    }
    Some(())
}
