//! The rows of the quarantine table, a batch at a time.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Utc};
use parquet::arrow::async_reader::ParquetRecordBatchStream;
use parquet::errors::ParquetError;

use crate::lake::object::ParquetObject;
use crate::lake::{DataFile, Lake, LakeError};

const COLUMNS: [&str; 7] = ["topic", "partition", "offset", "key", "value", "reason", "archived_at"];

/// A message in quarantine.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: u64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: &'a [u8],
    /// Why it is there.
    pub reason: &'a str,
    /// When it came there.
    pub archived_at: Option<DateTime<Utc>>,
}

/// Reads a file of the table.
///
/// # Errors
/// [`LakeError::Table`] where it cannot be read.
pub async fn read(lake: &Lake, file: &DataFile) -> Result<ParquetRecordBatchStream<ParquetObject>, LakeError> {
    let object = ParquetObject::new(lake, &file.path, file.size);
    object.read(&COLUMNS).await.map_err(|error| unreadable(file, &error))
}

/// What to say of a file that cannot be read.
pub fn unreadable(file: &DataFile, error: &ParquetError) -> LakeError {
    LakeError::Table {
        place: file.path.to_string(),
        reason: format!("the file cannot be read: {error}; bring it back, and see lakebed verify --deep"),
    }
}

/// The columns of a batch, each as the table has it.
pub struct Rows([ArrayRef; 7]);

impl Rows {
    /// The rows of a batch.
    ///
    /// # Errors
    /// [`LakeError::Table`] where the file has other columns than the table.
    pub fn of(batch: &RecordBatch, file: &DataFile) -> Result<Rows, LakeError> {
        let column = |index: usize, data_type: &DataType| {
            let name = COLUMNS[index];
            let column = batch
                .column_by_name(name)
                .ok_or_else(|| unreadable(file, &ParquetError::General(format!("it has no column {name}"))))?;
            cast(column, data_type).map_err(|error| unreadable(file, &error.into()))
        };
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        Ok(Rows([
            column(0, &DataType::Utf8)?,
            column(1, &DataType::Int32)?,
            column(2, &DataType::Int64)?,
            column(3, &DataType::Binary)?,
            column(4, &DataType::Binary)?,
            column(5, &DataType::Utf8)?,
            column(6, &time)?,
        ]))
    }

    /// The messages; a row that names no place in Kafka is none.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        let [topics, partitions, offsets, keys, values, reasons, times] = &self.0;
        let (topics, reasons) = (topics.as_string::<i32>(), reasons.as_string::<i32>());
        let (keys, values) = (keys.as_binary::<i32>(), values.as_binary::<i32>());
        let partitions = partitions.as_primitive::<Int32Type>();
        let offsets = offsets.as_primitive::<Int64Type>();
        let times = times.as_primitive::<TimestampMicrosecondType>();
        (0..topics.len()).filter_map(move |row| {
            let placed = topics.is_valid(row) && partitions.is_valid(row) && offsets.is_valid(row);
            if !placed {
                return None;
            }
            Some(Row {
                topic: topics.value(row),
                partition: partitions.value(row),
                offset: u64::try_from(offsets.value(row)).ok()?,
                key: keys.is_valid(row).then(|| keys.value(row)),
                value: if values.is_valid(row) { values.value(row) } else { &[] },
                reason: if reasons.is_valid(row) { reasons.value(row) } else { "" },
                archived_at: times
                    .is_valid(row)
                    .then(|| DateTime::from_timestamp_micros(times.value(row)))
                    .flatten(),
            })
        })
    }
}
