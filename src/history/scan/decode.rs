//! One file's bytes into batches.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use object_store::ObjectStoreExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{
    ArrowReaderBuilder, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::errors::ParquetError;

use super::conform::conform;
use super::ranges::Ranges;
use super::{Keep, Place, ScanFile};
use crate::event::TIMESTAMP;
use crate::history::read_fault::FileFault;

/// Files up to this size are fetched whole, by one request.
const WHOLE: u64 = 4 * 1024 * 1024;

/// A file, ready to be decoded.
#[derive(Debug, Clone)]
pub(super) enum Fetched {
    /// All its bytes.
    Whole(Bytes),
    /// To be read by and by.
    Large(Ranges),
}

impl Fetched {
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Fetched::Whole(_))
    }
}

/// Fetches a file, or makes ready to where it is large.
pub(super) async fn fetch(file: ScanFile) -> (ScanFile, Result<Fetched, FileFault>) {
    let fetched = bytes_of(&file).await.and_then(|fetched| match (&fetched, file.crc32) {
        (Fetched::Whole(bytes), Some(expected)) if crc32fast::hash(bytes) != expected => Err(FileFault::of_content(
            &file.name,
            "its bytes are not those that were written",
        )),
        _ => Ok(fetched),
    });
    (file, fetched)
}

async fn bytes_of(file: &ScanFile) -> Result<Fetched, FileFault> {
    match &file.place {
        Place::Memory(bytes) => Ok(Fetched::Whole(bytes.clone())),
        Place::Temporary(temporary) => {
            let read = tokio::fs::read(temporary.path()).await;
            let bytes = read.map_err(|error| FileFault::of_content(&file.name, error.to_string()))?;
            Ok(Fetched::Whole(bytes.into()))
        }
        // What has a check sum is read whole, to be compared with it.
        Place::Store(store, path) if file.size <= WHOLE || file.crc32.is_some() => {
            let fault = |error| FileFault::of_store(&file.name, &error);
            let bytes = store.get(path).await.map_err(fault)?.bytes().await.map_err(fault)?;
            Ok(Fetched::Whole(bytes))
        }
        Place::Store(store, path) => Ok(Fetched::Large(Ranges::new(Arc::clone(store), path.clone(), file.size))),
    }
}

/// The wanted rows of a file, under these columns, so many at a time.
pub(super) async fn rows(
    columns: SchemaRef,
    file: &ScanFile,
    fetched: Fetched,
    batch_rows: usize,
) -> Result<BoxStream<'static, Result<RecordBatch, FileFault>>, FileFault> {
    let name = file.name.clone();
    let fault = move |error: ParquetError| FileFault::of_parquet(&name, &error);
    let wanted = wanted_columns(&columns, file.keep.as_ref());
    let asked = Arc::clone(&columns);
    let viewed = move |metadata| viewed(metadata, &asked);
    let (name, keep) = (file.name.clone(), file.keep.clone());
    let finish = move |batch: RecordBatch| {
        finished(&batch, &columns, keep.as_ref()).map_err(|error| FileFault::of_content(&name, error.to_string()))
    };
    match fetched {
        Fetched::Whole(bytes) => {
            let metadata = ArrowReaderMetadata::load(&bytes, options()).and_then(viewed);
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata.map_err(&fault)?);
            let reader = narrowed(builder, &wanted, file.prune, batch_rows)
                .map_err(&fault)?
                .build()
                .map_err(&fault)?;
            let batches = reader.map(move |batch| batch.map_err(|error| fault(error.into())).and_then(&finish));
            Ok(stream::iter(batches).boxed())
        }
        Fetched::Large(mut reader) => {
            let metadata = ArrowReaderMetadata::load_async(&mut reader, options())
                .await
                .and_then(viewed);
            let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata.map_err(&fault)?);
            let reader = narrowed(builder, &wanted, file.prune, batch_rows)
                .map_err(&fault)?
                .build()
                .map_err(&fault)?;
            Ok(reader.map(move |batch| batch.map_err(&fault).and_then(&finish)).boxed())
        }
    }
}

/// What types the writer had in memory does not matter: those of Parquet are fewer, and conform() knows them.
fn options() -> ArrowReaderOptions {
    ArrowReaderOptions::new().with_skip_arrow_metadata(true)
}

/// Strings as views, which the engine compares and groups faster, or as a dictionary where that is asked for.
fn viewed(metadata: ArrowReaderMetadata, columns: &SchemaRef) -> parquet::errors::Result<ArrowReaderMetadata> {
    let text = |name: &str| match columns.field_with_name(name).map(Field::data_type) {
        Ok(dictionary @ DataType::Dictionary(..)) => dictionary.clone(),
        _ => DataType::Utf8View,
    };
    let fields: Vec<_> = metadata
        .schema()
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(text(field.name()))),
            _ => Arc::clone(field),
        })
        .collect();
    let schema = Schema::new_with_metadata(fields, metadata.schema().metadata().clone());
    ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options().with_schema(Arc::new(schema)))
}

fn wanted_columns(columns: &SchemaRef, keep: Option<&Keep>) -> Vec<String> {
    let names = columns.fields().iter().map(|field| field.name().clone());
    names.chain(keep.map(|keep| keep.column.to_owned())).collect()
}

/// Reads the wanted columns only, and only the groups of rows that may hold wanted timestamps.
fn narrowed<T>(
    builder: ArrowReaderBuilder<T>,
    wanted: &[String],
    prune: Option<(i64, i64)>,
    batch_rows: usize,
) -> parquet::errors::Result<ArrowReaderBuilder<T>> {
    let fields = builder.schema().fields();
    let indices = (0..fields.len()).filter(|index| wanted.contains(fields[*index].name()));
    let mask = ProjectionMask::roots(builder.parquet_schema(), indices);
    let groups = prune.map(|range| groups_with(&builder, range)).transpose()?.flatten();
    let builder = builder.with_projection(mask).with_batch_size(batch_rows);
    Ok(match groups {
        Some(groups) => builder.with_row_groups(groups),
        None => builder,
    })
}

/// The groups of rows that may hold timestamps from first to last; none where their statistics do not tell.
fn groups_with<T>(
    builder: &ArrowReaderBuilder<T>,
    (first, last): (i64, i64),
) -> parquet::errors::Result<Option<Vec<usize>>> {
    if builder.schema().column_with_name(TIMESTAMP).is_none() {
        return Ok(None);
    }
    let statistics = StatisticsConverter::try_new(TIMESTAMP, builder.schema(), builder.parquet_schema())?;
    let groups = builder.metadata().row_groups();
    let whole = |bounds: ArrayRef| cast(&bounds, &DataType::Int64);
    let lows = whole(statistics.row_group_mins(groups)?)?;
    let highs = whole(statistics.row_group_maxes(groups)?)?;
    let (lows, highs) = (lows.as_primitive::<Int64Type>(), highs.as_primitive::<Int64Type>());
    let bounds = lows.iter().zip(highs.iter()).enumerate();
    let needed = bounds.filter(|(_, bounds)| match bounds {
        (Some(low), Some(high)) => *low <= last && first <= *high,
        _ => true,
    });
    Ok(Some(needed.map(|(group, _)| group).collect()))
}

/// The wanted rows of a batch, under the wanted columns.
fn finished(batch: &RecordBatch, columns: &SchemaRef, keep: Option<&Keep>) -> Result<RecordBatch, ArrowError> {
    let Some(keep) = keep else {
        return conform(batch, columns);
    };
    let values = batch
        .column_by_name(keep.column)
        .ok_or_else(|| ArrowError::SchemaError(format!("it has no column {}", keep.column)))?;
    let values = cast(values, &DataType::Int64)?;
    let kept: BooleanArray = values
        .as_primitive::<Int64Type>()
        .iter()
        .map(|value| Some(value.is_some_and(|value| keep.values.hold(value))))
        .collect();
    conform(&filter_record_batch(batch, &kept)?, columns)
}
