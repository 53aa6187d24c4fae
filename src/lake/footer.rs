//! A Parquet file's footer, read by itself.

use std::ops::Range;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use parquet::arrow::async_reader::MetadataFetch;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::{Lake, LakeError};

/// Reads a file's footer.
///
/// # Errors
/// [`LakeError::Table`] where the file has none that can be read.
pub async fn read(lake: &Lake, object: &ObjectMeta) -> Result<ParquetMetaData, LakeError> {
    let ranges = Ranges {
        lake,
        location: &object.location,
    };
    ParquetMetaDataReader::new()
        .load_and_finish(ranges, object.size)
        .await
        .map_err(|error| LakeError::Table {
            place: object.location.to_string(),
            reason: format!("its Parquet footer cannot be read: {error}"),
        })
}

/// The byte ranges of one object, as the footer's reader asks for them.
struct Ranges<'a> {
    lake: &'a Lake,
    location: &'a Path,
}

impl MetadataFetch for Ranges<'_> {
    fn fetch(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move {
            self.lake
                .store()
                .get_range(self.location, range)
                .await
                .map_err(|error| ParquetError::External(Box::new(error)))
        }
        .boxed()
    }
}
