//! Parquet files as a table of the query engine, read with as little work as many small files allow.
//!
//! The engine's own reader opens each file for itself: a request for its footer, a plan, one for its columns. That is
//! most of the cost where files hold some thousand rows. Here a small file is fetched whole by one request and
//! decoded from memory, the next ones being fetched meanwhile. It is known of each file what to call it when it cannot
//! be read, what its bytes should add up to, and whether the run may go on without it.

mod codes;
mod conform;
mod decode;
mod ranges;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::SessionContext;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use object_store::path::Path;

pub(super) use codes::Codes;

use super::read_fault::FileFault;
use super::temporary::TemporaryFile;
use crate::lake::{DataFile, Lake};

/// Files that are fetched ahead of the one being decoded.
const FETCHED_AHEAD: usize = 4;
/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 8192;

/// Where a file's bytes are.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// In the lake's store.
    Store(Arc<dyn ObjectStore>, Path),
    /// Held in memory.
    Memory(Bytes),
    /// In a temporary file of this machine.
    Temporary(Arc<TemporaryFile>),
}

/// Which rows of a file are wanted, by a column of whole numbers or times.
#[derive(Debug, Clone)]
pub(super) struct Keep {
    /// The column.
    pub(super) column: &'static str,
    /// Its values.
    pub(super) values: Values,
}

/// Values of a column, as whole numbers.
#[derive(Debug, Clone)]
pub(super) enum Values {
    /// In one of these, both ends included.
    Within(Vec<(i64, i64)>),
    /// One of these.
    Among(Arc<HashSet<i64>>),
}

impl Values {
    fn hold(&self, value: i64) -> bool {
        match self {
            Values::Within(ranges) => ranges.iter().any(|(first, last)| (*first..=*last).contains(&value)),
            Values::Among(values) => values.contains(&value),
        }
    }
}

/// A file to be read.
#[derive(Debug, Clone)]
pub(super) struct ScanFile {
    /// What it is called when it cannot be read.
    pub(super) name: String,
    /// Where it is.
    pub(super) place: Place,
    /// Bytes.
    pub(super) size: u64,
    /// The check sum that its bytes must have, where it is known.
    pub(super) crc32: Option<u32>,
    /// Whether the run may go on without it.
    pub(super) optional: bool,
    /// The rows that are wanted; without it all.
    pub(super) keep: Option<Keep>,
    /// Groups of rows without a timestamp from here to there are passed over.
    pub(super) prune: Option<(i64, i64)>,
}

impl ScanFile {
    /// A data file of the lake.
    pub(super) fn of_lake(lake: &Lake, file: &DataFile) -> ScanFile {
        ScanFile {
            name: file.path.to_string(),
            place: Place::Store(lake.store(), file.path.clone()),
            size: file.size,
            crc32: None,
            optional: false,
            keep: None,
            prune: None,
        }
    }
}

/// The files that a scan went on without.
#[derive(Debug, Clone, Default)]
pub(super) struct LeftOut(Arc<Mutex<HashSet<String>>>);

impl LeftOut {
    fn add(&self, fault: &FileFault) {
        let added = self.lock().insert(fault.file.clone());
        if added {
            tracing::warn!(file = %fault.file, reason = %fault.reason, "a data file that cannot be read is left out");
        }
    }

    /// Their names.
    pub(super) fn names(&self) -> HashSet<String> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Registers files as the table `name` with these columns, whichever of them a file has.
pub(super) fn register(
    ctx: &SessionContext,
    name: &str,
    columns: &SchemaRef,
    files: Vec<ScanFile>,
    left_out: &LeftOut,
) -> datafusion::error::Result<()> {
    let partition: Arc<dyn PartitionStream> = Arc::new(Scan {
        columns: Arc::clone(columns),
        files,
        left_out: left_out.clone(),
    });
    let table = StreamingTable::try_new(Arc::clone(columns), vec![partition])?;
    ctx.register_table(name, Arc::new(table))?;
    Ok(())
}

/// All rows of files with these columns.
pub(super) async fn read(columns: &SchemaRef, files: Vec<ScanFile>) -> datafusion::error::Result<RecordBatch> {
    let batches: Vec<RecordBatch> = rows(Arc::clone(columns), files, LeftOut::default())
        .try_collect()
        .await?;
    Ok(arrow::compute::concat_batches(columns, &batches)?)
}

/// The rows of one file with these columns, so many at a time.
pub(super) async fn rows_of(
    columns: SchemaRef,
    file: ScanFile,
    batch_rows: usize,
) -> Result<BoxStream<'static, Result<RecordBatch, FileFault>>, FileFault> {
    let (file, fetched) = decode::fetch(file).await;
    decode::rows(columns, &file, fetched?, batch_rows).await
}

#[derive(Debug)]
struct Scan {
    columns: SchemaRef,
    files: Vec<ScanFile>,
    left_out: LeftOut,
}

impl PartitionStream for Scan {
    fn schema(&self) -> &SchemaRef {
        &self.columns
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = rows(Arc::clone(&self.columns), self.files.clone(), self.left_out.clone());
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.columns), rows))
    }
}

/// The rows of files with these columns, whichever of them a file has, batch by batch.
pub(super) fn rows(
    columns: SchemaRef,
    files: Vec<ScanFile>,
    left_out: LeftOut,
) -> BoxStream<'static, datafusion::error::Result<RecordBatch>> {
    stream::iter(files)
        .map(decode::fetch)
        .buffered(FETCHED_AHEAD)
        .map(move |(file, fetched)| {
            let (columns, left_out) = (Arc::clone(&columns), left_out.clone());
            stream::once(rows_of_file(columns, file, fetched, left_out)).try_flatten()
        })
        .flatten()
        .map_err(|fault| DataFusionError::External(Box::new(fault)))
        .boxed()
}

/// The rows of one file; none of them where it is left out.
async fn rows_of_file(
    columns: SchemaRef,
    file: ScanFile,
    fetched: Result<decode::Fetched, FileFault>,
    left_out: LeftOut,
) -> Result<BoxStream<'static, Result<RecordBatch, FileFault>>, FileFault> {
    if !file.optional {
        return decode::rows(columns, &file, fetched?, BATCH_ROWS).await;
    }
    let whole = async {
        let fetched = fetched?;
        if fetched.is_whole() {
            let batches: Vec<_> = decode::rows(columns, &file, fetched, BATCH_ROWS)
                .await?
                .try_collect()
                .await?;
            return Ok(stream::iter(batches.into_iter().map(Ok)).boxed());
        }
        // Too large to be held: read once to see that it can be, and once more for its rows.
        let mut looked = decode::rows(Arc::clone(&columns), &file, fetched.clone(), BATCH_ROWS).await?;
        while looked.try_next().await?.is_some() {}
        decode::rows(columns, &file, fetched, BATCH_ROWS).await
    };
    match whole.await {
        Err(fault) if !fault.store_failed => {
            left_out.add(&fault);
            Ok(stream::empty().boxed())
        }
        done => done,
    }
}
