//! The quarantine table: messages that are no events, with all that is known of them.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use chrono::{DateTime, Utc};
use deltalake_core::kernel::Add;
use object_store::ObjectStoreExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use uuid::Uuid;

use super::ArchiveError;
use crate::event::Reason;
use crate::fail_point::{self, Step};
use crate::lake::datafile::{self, NewFile, writer_properties};
use crate::lake::snapshot::{AsOf, store_fault};
use crate::lake::{Lake, LakeError, QUARANTINE, TableSnapshot};

/// A message that is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its key, byte for byte.
    pub key: Option<Vec<u8>>,
    /// Its value, byte for byte.
    pub value: Vec<u8>,
    /// Why it is no event.
    pub reason: Reason,
}

impl Rejected {
    /// The bytes of its key and value.
    pub fn bytes(&self) -> usize {
        self.value.len() + self.key.as_ref().map_or(0, Vec::len)
    }
}

/// The columns of the quarantine table (contract, section 2).
pub fn schema() -> SchemaRef {
    let column = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        column("topic", DataType::Utf8),
        column("partition", DataType::Int32),
        column("offset", DataType::Int64),
        column("key", DataType::Binary),
        column("value", DataType::Binary),
        column("reason", DataType::Utf8),
        column(
            "archived_at",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ),
    ]))
}

/// Writes rejected messages of an archive as a file of the table; the Add action is the caller's to commit.
///
/// # Errors
/// [`ArchiveError::Lake`] where the store fails.
pub async fn write(
    lake: &Lake,
    archive: &str,
    rejected: &[&Rejected],
    tags: Vec<(String, String)>,
    archived_at: DateTime<Utc>,
) -> Result<Add, ArchiveError> {
    let file = NewFile {
        path: format!(
            "quarantine_{}_{}.parquet",
            archived_at.format("%Y%m%d_%H%M%S"),
            Uuid::new_v4().simple()
        ),
        partition_values: Vec::new(),
        tags,
        batch: batch(archive, rejected, archived_at)?,
        properties: writer_properties().build(),
    };
    fail_point::reached(Step::BeforeQuarantineFile);
    let add = datafile::write(lake, QUARANTINE, file).await?;
    fail_point::reached(Step::AfterQuarantineFile);
    Ok(add)
}

/// The offsets of a partition's messages in the table that are of an archive, from `from` on.
///
/// # Errors
/// [`ArchiveError::Lake`] where the store fails or a file cannot be read.
pub async fn read(lake: &Lake, archive: &str, partition: i32, from: i64) -> Result<HashSet<i64>, ArchiveError> {
    let Some(snapshot) = TableSnapshot::load(lake, QUARANTINE, AsOf::Newest).await? else {
        return Ok(HashSet::new());
    };
    let mut found = HashSet::new();
    for file in snapshot.files {
        let place = file.path.to_string();
        let fault = |error: object_store::Error| store_fault(&place, &error);
        let object = lake.store().get(&file.path).await.map_err(fault)?;
        let bytes = object.bytes().await.map_err(fault)?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
            .and_then(|reader| {
                // Not the messages themselves, which may be large.
                let places = ProjectionMask::columns(reader.parquet_schema(), ["topic", "partition", "offset"]);
                reader.with_projection(places).build()
            })
            .map_err(|error| LakeError::Table {
                place: place.clone(),
                reason: format!("it is no Parquet file: {error}; bring the file back"),
            })?;
        for batch in reader {
            found.extend(offsets(&batch?, archive, partition, from));
        }
    }
    Ok(found)
}

fn batch(archive: &str, rejected: &[&Rejected], archived_at: DateTime<Utc>) -> Result<RecordBatch, ArrowError> {
    let archived_at = TimestampMicrosecondArray::from_value(archived_at.timestamp_micros(), rejected.len());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![archive; rejected.len()])),
        Arc::new(Int32Array::from_iter_values(rejected.iter().map(|row| row.partition))),
        Arc::new(Int64Array::from_iter_values(rejected.iter().map(|row| row.offset))),
        Arc::new(BinaryArray::from_iter(rejected.iter().map(|row| row.key.as_deref()))),
        Arc::new(BinaryArray::from_iter_values(
            rejected.iter().map(|row| row.value.as_slice()),
        )),
        Arc::new(StringArray::from_iter_values(
            rejected.iter().map(|row| row.reason.as_str()),
        )),
        Arc::new(archived_at.with_timezone("UTC")),
    ];
    RecordBatch::try_new(schema(), columns)
}

fn offsets(batch: &RecordBatch, archive: &str, partition: i32, from: i64) -> HashSet<i64> {
    let (Some(topics), Some(partitions), Some(offsets)) = (
        batch
            .column_by_name("topic")
            .and_then(|column| column.as_string_opt::<i32>()),
        batch
            .column_by_name("partition")
            .and_then(|column| column.as_primitive_opt::<Int32Type>()),
        batch
            .column_by_name("offset")
            .and_then(|column| column.as_primitive_opt::<Int64Type>()),
    ) else {
        return HashSet::new();
    };
    (0..batch.num_rows())
        .filter(|row| {
            topics.value(*row) == archive && partitions.value(*row) == partition && offsets.value(*row) >= from
        })
        .map(|row| offsets.value(row))
        .collect()
}
