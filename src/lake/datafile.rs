//! A batch into a Parquet file of a table, and the Add action that makes the file part of it.
//!
//! A file that no commit names is no part of any table: a process that dies between the two leaves a file that
//! nobody reads.

use std::collections::HashMap;
use std::io;
use std::time::Instant;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use arrow::record_batch::RecordBatch;
use deltalake_core::kernel::Add;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload, PutPayloadMut};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use super::snapshot::store_fault;
use super::statistics::statistics;
use super::{Lake, LakeError};
use crate::monitor;

/// What lakebed writes its files with unless a table says more: Snappy, dictionaries.
pub fn writer_properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(concat!("lakebed version ", env!("CARGO_PKG_VERSION")).to_owned())
}

/// The tag that holds the CRC-32 of a file's bytes, as eight hexadecimal digits.
pub const CHECKSUM_TAG: &str = "lakebed.crc32";
/// Bytes of rows after which the encoder looks whether a page or a dictionary is full. It counts in rows, and some
/// hundreds of large ones would be held several times over before it looked.
const LOOK_AFTER: usize = 1 << 20;

/// Of so many values one is looked at to judge how often they repeat.
const SAMPLED: usize = 16;
/// Fewer values than this tell nothing, and cost nothing.
const FEWEST: usize = 128;
/// A text of so many bytes is large.
const LARGE_VALUE: usize = 256 << 10;

/// A file to be.
#[derive(Debug, Clone)]
pub struct NewFile {
    /// Its path from the table's folder; it must be one that no other file ever has.
    pub path: String,
    /// The values of the partition columns, which the batch does not hold.
    pub partition_values: Vec<(String, String)>,
    /// What to note with the file in the table's log.
    pub tags: Vec<(String, String)>,
    /// The rows.
    pub batch: RecordBatch,
    /// How to encode them.
    pub properties: WriterProperties,
}

/// A file whose bytes are made and which is to be put in its place. It can be put again where it is not known whether
/// that succeeded: its path is its own, and its bytes are the same.
#[derive(Debug)]
pub struct EncodedFile {
    bytes: PutPayload,
    add: Add,
}

impl EncodedFile {
    /// Its size.
    pub fn bytes(&self) -> usize {
        self.bytes.content_length()
    }
}

/// Encodes a file.
///
/// # Errors
/// [`LakeError::Encode`] where Parquet refuses the batch.
pub async fn encode(lake: &Lake, table: &str, file: NewFile) -> Result<EncodedFile, LakeError> {
    let place = lake.shown(table);
    let fault = |reason: String| LakeError::Encode {
        place: place.clone(),
        reason,
    };
    let (batch, properties) = (file.batch, file.properties);
    let (bytes, stats) = tokio::task::spawn_blocking(move || {
        let stats = statistics(&batch);
        parquet_bytes(&batch, properties).map(|bytes| (bytes, stats))
    })
    .await
    .map_err(|error| fault(error.to_string()))?
    .map_err(|error| fault(error.to_string()))?;
    let mut tags = file.tags;
    let checksum = bytes.iter().fold(crc32fast::Hasher::new(), |mut checksum, chunk| {
        checksum.update(chunk);
        checksum
    });
    tags.push((CHECKSUM_TAG.to_owned(), format!("{:08x}", checksum.finalize())));
    let some = |(name, value)| (name, Some(value));
    let add = Add {
        path: file.path,
        partition_values: file.partition_values.into_iter().map(some).collect::<HashMap<_, _>>(),
        size: i64::try_from(bytes.content_length()).unwrap_or(i64::MAX),
        modification_time: chrono::Utc::now().timestamp_millis(),
        data_change: true,
        stats: Some(stats),
        tags: Some(tags.into_iter().map(some).collect()),
        ..Add::default()
    };
    Ok(EncodedFile { bytes, add })
}

/// Puts an encoded file in its place; the Add action is the caller's to commit.
///
/// # Errors
/// [`LakeError::Store`] where the store fails.
pub async fn put(lake: &Lake, table: &str, file: &EncodedFile) -> Result<Add, LakeError> {
    let path: Path = lake
        .path(table)
        .parts()
        .chain(Path::from(file.add.path.as_str()).parts())
        .collect();
    let begun = Instant::now();
    let put = lake.store().put(&path, file.bytes.clone()).await;
    monitor::archiver().put(begun.elapsed());
    put.map_err(|error| store_fault(&lake.shown(table), &error))?;
    Ok(file.add.clone())
}

/// Encodes a file and puts it in its place; the Add action is the caller's to commit.
///
/// # Errors
/// Those of [`encode`] and [`put`].
pub async fn write(lake: &Lake, table: &str, file: NewFile) -> Result<Add, LakeError> {
    put(lake, table, &encode(lake, table, file).await?).await
}

fn parquet_bytes(batch: &RecordBatch, properties: WriterProperties) -> parquet::errors::Result<PutPayload> {
    let properties = fitted(batch, properties);
    let mut chunks = Chunks(PutPayloadMut::new().with_block_size(64 << 10));
    let mut writer = ArrowWriter::try_new(&mut chunks, batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.close()?;
    Ok(chunks.0.freeze())
}

/// The properties, fitted to the values.
///
/// A dictionary of values that hardly repeat saves nothing and is a third of the work of encoding. Which texts are the
/// smallest and the largest stands in the table's log; among rows in no order of theirs it rules out next to nothing,
/// and is not worked out a second time for the file's footer. Large values would be held several times over while they
/// are encoded: once for a dictionary, once each as the smallest and the largest.
fn fitted(batch: &RecordBatch, properties: WriterProperties) -> WriterProperties {
    let row_bytes = batch.get_array_memory_size() / batch.num_rows().max(1);
    let builder = properties
        .into_builder()
        .set_write_batch_size((LOOK_AFTER / row_bytes.max(1)).clamp(1, 1024));
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns());
    columns
        .fold(builder, |builder, (field, column)| {
            let path = ColumnPath::new(vec![field.name().clone()]);
            if largest_value(column) >= LARGE_VALUE {
                return builder
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_statistics_enabled(path, EnabledStatistics::None);
            }
            let builder = match column.data_type() {
                DataType::Utf8 => builder.set_column_statistics_enabled(path.clone(), EnabledStatistics::None),
                _ => builder,
            };
            if repeats(column) {
                return builder;
            }
            let builder = builder.set_column_dictionary_enabled(path.clone(), false);
            match column.data_type() {
                DataType::Int64 => builder.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
                _ => builder,
            }
        })
        .build()
}

/// Whether a column's values repeat so often that a dictionary of them is worth its making, as a sample tells.
fn repeats(column: &ArrayRef) -> bool {
    // A few values that are mostly the same tell enough.
    let (values, different) = sample(column, SAMPLED * 16);
    if different * 2 <= values {
        return true;
    }
    let (values, different) = sample(column, SAMPLED);
    // Nine tenths of a sixteenth are different where each value stands in the column about four times.
    values < FEWEST || different * 10 <= values * 9
}

/// How many values every so many rows hold, and how many different ones; of a column whose values are not compared, none.
fn sample(column: &ArrayRef, every: usize) -> (usize, usize) {
    let rows = (0..column.len()).step_by(every).filter(|row| column.is_valid(*row));
    let mut sample: Vec<u32> = match column.data_type() {
        DataType::Utf8 => {
            let texts = column.as_string::<i32>();
            rows.map(|row| crc32fast::hash(texts.value(row).as_bytes())).collect()
        }
        DataType::Int64 => {
            let numbers = column.as_primitive::<Int64Type>();
            rows.map(|row| crc32fast::hash(&numbers.value(row).to_le_bytes()))
                .collect()
        }
        _ => Vec::new(),
    };
    let values = sample.len();
    sample.sort_unstable();
    sample.dedup();
    (values, sample.len())
}

/// The bytes of the largest of a column's texts.
fn largest_value(column: &ArrayRef) -> usize {
    let largest = match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().offsets().lengths().max(),
        DataType::Binary => column.as_binary::<i32>().offsets().lengths().max(),
        _ => None,
    };
    largest.unwrap_or_default()
}

/// Takes a file's bytes without ever moving them: one growing buffer would need up to three times their size.
struct Chunks(PutPayloadMut);

impl io::Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn dictionaries_are_made_of_what_repeats() {
        for (different, repeated) in [(1, true), (10, true), (500, true), (5000, false)] {
            let values = || (0..5000).map(|row| row * 7919 % different);
            let texts: ArrayRef = Arc::new(StringArray::from_iter_values(
                values().map(|value| format!("User {value}")),
            ));
            assert_eq!(repeats(&texts), repeated, "{different} texts");
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(values()));
            assert_eq!(repeats(&numbers), repeated, "{different} numbers");
        }
    }

    #[test]
    fn nulls_and_few_values_do_not_keep_a_dictionary_from_being_made() {
        let nulls: ArrayRef = Arc::new(StringArray::new_null(5000));
        assert!(repeats(&nulls));
        let few: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
        assert!(repeats(&few));
    }
}
