//! A Parquet file of the store, of which only the parts that are needed are read.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::Lake;

/// About the bytes of a batch, by the average row of its file.
const BATCH_BYTES: usize = 4 << 20;
/// Rows of a batch at most.
const BATCH_ROWS: usize = 8192;

/// One file, as Parquet's readers ask for its parts.
pub struct ParquetObject {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
}

impl ParquetObject {
    /// A file of this size in bytes.
    pub fn new(lake: &Lake, path: &Path, size: u64) -> ParquetObject {
        ParquetObject {
            store: lake.store(),
            path: path.clone(),
            size,
        }
    }

    /// Reads the file's footer.
    ///
    /// # Errors
    /// Parquet's, where the file has none that can be read; the store's is its source.
    pub async fn footer(mut self) -> Result<ParquetMetaData, ParquetError> {
        let size = self.size;
        ParquetMetaDataReader::new().load_and_finish(&mut self, size).await
    }

    /// Reads these columns of the file, in batches of some megabytes; a column that the file lacks is left out.
    ///
    /// # Errors
    /// Parquet's, where the file is none that can be read; the store's is its source.
    pub async fn read(self, columns: &[&str]) -> Result<ParquetRecordBatchStream<ParquetObject>, ParquetError> {
        let builder = ParquetRecordBatchStreamBuilder::new(self).await?;
        let columns = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        let groups = builder.metadata().row_groups();
        let (rows, bytes) = groups.iter().fold((0, 0), |(rows, bytes), group| {
            (
                group.num_rows().saturating_add(rows),
                group.total_byte_size().saturating_add(bytes),
            )
        });
        let row_bytes = usize::try_from(bytes / rows.max(1)).unwrap_or_default().max(1);
        builder
            .with_projection(columns)
            .with_batch_size((BATCH_BYTES / row_bytes).clamp(1, BATCH_ROWS))
            .build()
    }
}

impl AsyncFileReader for ParquetObject {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move {
            let part = self.store.get_range(&self.path, range).await;
            part.map_err(|error| ParquetError::External(Box::new(error)))
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move {
            let parts = self.store.get_ranges(&self.path, &ranges).await;
            parts.map_err(|error| ParquetError::External(Box::new(error)))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let size = self.size;
            let reader = ParquetMetaDataReader::new().with_arrow_reader_options(options);
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}
