//! Which file of a table is damaged: the engine that fails over one does not say.

use bytes::Bytes;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use super::{DataFile, Lake};

/// The first of the files that does not decode, and why; none where all do. Reads them whole, one after the other.
pub async fn first<'f>(lake: &Lake, files: &'f [DataFile]) -> Option<(&'f DataFile, String)> {
    for file in files {
        if let Err(reason) = read(lake, file).await {
            return Some((file, reason));
        }
    }
    None
}

async fn read(lake: &Lake, file: &DataFile) -> Result<(), String> {
    let object = lake.store().get(&file.path).await.map_err(|error| error.to_string())?;
    let bytes = object.bytes().await.map_err(|error| error.to_string())?;
    tokio::task::spawn_blocking(move || decode(bytes))
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())
}

fn decode(bytes: Bytes) -> Result<(), ParquetError> {
    let mut batches = ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()?;
    batches.try_for_each(|batch| batch.map(drop).map_err(ParquetError::from))
}
