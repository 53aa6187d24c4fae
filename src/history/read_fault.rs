//! Errors of the query engine, told apart by what their reader must do; those of a data file name the file.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use super::HistoryError;

/// What the engine says, as an error of the run; `what` is what was being computed.
pub(crate) fn query_fault(what: &str, error: &DataFusionError) -> HistoryError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(known) = cause {
        if let Some(fault) = known.downcast_ref::<FileFault>() {
            return fault.into();
        }
        if let Some(DataFusionError::ResourcesExhausted(reason)) = known.downcast_ref() {
            return HistoryError::Memory {
                what: what.to_owned(),
                reason: reason.clone(),
            };
        }
        cause = known.source();
    }
    HistoryError::Query {
        what: what.to_owned(),
        reason: error.strip_backtrace(),
    }
}

/// A data file that could not be read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot read {file}: {reason}")]
pub(super) struct FileFault {
    pub(super) file: String,
    pub(super) reason: String,
    pub(super) store_failed: bool,
}

impl FileFault {
    /// What Parquet says of a file.
    pub(super) fn of_parquet(file: &str, error: &ParquetError) -> FileFault {
        let mut store_failed = false;
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(known) = cause {
            if let Some(store) = known.downcast_ref::<object_store::Error>() {
                store_failed = may_pass(store);
            }
            cause = known.source();
        }
        FileFault {
            file: file.to_owned(),
            reason: error.to_string(),
            store_failed,
        }
    }

    /// What the store says of a file.
    pub(super) fn of_store(file: &str, error: &object_store::Error) -> FileFault {
        FileFault {
            file: file.to_owned(),
            reason: error.to_string(),
            store_failed: may_pass(error),
        }
    }

    /// What is wrong with the content of a file.
    pub(super) fn of_content(file: &str, reason: impl Into<String>) -> FileFault {
        FileFault {
            file: file.to_owned(),
            reason: reason.into(),
            store_failed: false,
        }
    }
}

/// Whether the store's failure is one that may pass, and not the file's own.
fn may_pass(error: &object_store::Error) -> bool {
    // A local folder answers a range behind the end of a file with a generic error.
    matches!(error, object_store::Error::Generic { .. }) && !error.to_string().contains("range")
}

impl From<&FileFault> for HistoryError {
    fn from(fault: &FileFault) -> HistoryError {
        let (file, reason) = (fault.file.clone(), fault.reason.clone());
        if fault.store_failed {
            HistoryError::Store { file, reason }
        } else {
            HistoryError::File { file, reason }
        }
    }
}

/// Makes readers whose errors name the file.
#[derive(Debug)]
pub(super) struct NamingReaders(pub(super) Arc<dyn ParquetFileReaderFactory>);

impl ParquetFileReaderFactory for NamingReaders {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> datafusion::error::Result<Box<dyn AsyncFileReader + Send>> {
        let name = file.object_meta.location.to_string();
        let reader = self
            .0
            .create_reader(partition_index, file, metadata_size_hint, metrics)?;
        Ok(Box::new(NamingReader { name, reader }))
    }
}

struct NamingReader {
    name: String,
    reader: Box<dyn AsyncFileReader + Send>,
}

fn named(name: &str, error: &ParquetError) -> ParquetError {
    ParquetError::External(Box::new(FileFault::of_parquet(name, error)))
}

impl AsyncFileReader for NamingReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        let name = &self.name;
        self.reader
            .get_bytes(range)
            .map_err(move |error| named(name, &error))
            .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        let name = &self.name;
        self.reader
            .get_byte_ranges(ranges)
            .map_err(move |error| named(name, &error))
            .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        let name = &self.name;
        self.reader
            .get_metadata(options)
            .map_err(move |error| named(name, &error))
            .boxed()
    }
}
