//! A batch into a Parquet file of a table, and the Add action that makes the file part of it.
//!
//! A file that no commit names is no part of any table: a process that dies between the two leaves a file that
//! nobody reads.

use std::collections::HashMap;
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use deltalake_core::kernel::Add;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};

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

/// Encodes a file and puts it in its place; the Add action is the caller's to commit.
///
/// # Errors
/// [`LakeError::Encode`] where Parquet refuses the batch, [`LakeError::Store`] where the store fails.
pub async fn write(lake: &Lake, table: &str, file: NewFile) -> Result<Add, LakeError> {
    let place = lake.shown(table);
    let fault = |reason: String| LakeError::Encode {
        place: place.clone(),
        reason,
    };
    let (batch, properties) = (file.batch, file.properties);
    let (bytes, stats) = tokio::task::spawn_blocking(move || {
        let stats = statistics(&batch);
        encode(&batch, properties).map(|bytes| (bytes, stats))
    })
    .await
    .map_err(|error| fault(error.to_string()))?
    .map_err(|error| fault(error.to_string()))?;
    let size = bytes.len();
    let mut tags = file.tags;
    tags.push((CHECKSUM_TAG.to_owned(), format!("{:08x}", crc32fast::hash(&bytes))));
    let path: Path = lake
        .path(table)
        .parts()
        .chain(Path::from(file.path.as_str()).parts())
        .collect();
    let begun = Instant::now();
    let put = lake.store().put(&path, bytes.into()).await;
    monitor::archiver().put(begun.elapsed());
    put.map_err(|error| store_fault(&place, &error))?;
    let some = |(name, value)| (name, Some(value));
    Ok(Add {
        path: file.path,
        partition_values: file.partition_values.into_iter().map(some).collect::<HashMap<_, _>>(),
        size: i64::try_from(size).unwrap_or(i64::MAX),
        modification_time: chrono::Utc::now().timestamp_millis(),
        data_change: true,
        stats: Some(stats),
        tags: Some(tags.into_iter().map(some).collect()),
        ..Add::default()
    })
}

fn encode(batch: &RecordBatch, properties: WriterProperties) -> parquet::errors::Result<Bytes> {
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.close()?;
    Ok(file.into())
}
