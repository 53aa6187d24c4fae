//! A folder of Hive-partitioned Parquet files without a Delta log, read as a table.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use tokio::task::spawn_blocking;

use super::footer;
use super::snapshot::store_fault;
use super::walk;
use super::{DataFile, Lake, LakeError, NullCounts, TableSnapshot};
use crate::event::{OFFSET, PARTITION, TIMESTAMP};

/// Footers that are read at a time.
const PARALLEL_FOOTERS: usize = 16;

/// Reads the folder as a table; none where it holds no Parquet file.
pub(super) async fn load(lake: &Lake, table: &str) -> Result<Option<TableSnapshot>, LakeError> {
    let folder = lake.path(table);
    let mut objects = list(lake, table).await?;
    if objects.is_empty() {
        return Ok(None);
    }
    objects.sort_by(|a, b| a.location.cmp(&b.location));
    let footers: Vec<Footer> = stream::iter(objects.iter().cloned())
        .map(|object| footer_of(lake, object))
        .buffered(PARALLEL_FOOTERS)
        .try_collect()
        .await?;
    let files: Vec<DataFile> = objects
        .iter()
        .zip(&footers)
        .map(|(object, footer)| DataFile {
            path: object.location.clone(),
            size: object.size,
            rows: Some(footer.rows),
            timestamps: footer.timestamps,
            nulls: footer.nulls,
            partition_values: partition_values(&folder, &object.location),
            tags: BTreeMap::new(),
        })
        .collect();
    let partition_columns: BTreeSet<String> = files
        .iter()
        .flat_map(|file| file.partition_values.keys().cloned())
        .collect();
    let partition_columns: Vec<String> = partition_columns.into_iter().collect();
    let mut fields: Vec<Field> = Vec::new();
    for footer in &footers {
        merge(&mut fields, &footer.schema);
    }
    let temporal = fields
        .iter()
        .find(|field| field.name() == TIMESTAMP && field.data_type().is_temporal());
    if let Some(field) = temporal {
        return Err(LakeError::Table {
            place: lake.shown(table),
            reason: format!(
                "its column {TIMESTAMP} is of type {}, and lakebed reads epoch seconds as integers; write it anew so",
                field.data_type()
            ),
        });
    }
    fields.retain(|field| !partition_columns.contains(field.name()));
    fields.extend(
        partition_columns
            .iter()
            .map(|name| Field::new(name, DataType::Int32, true)),
    );
    Ok(Some(TableSnapshot {
        version: None,
        id: String::new(),
        schema: Arc::new(Schema::new(fields)),
        partition_columns,
        files,
    }))
}

/// The Parquet files below a table's folder, whether or not its log names them.
pub(super) async fn list(lake: &Lake, table: &str) -> Result<Vec<ObjectMeta>, LakeError> {
    let objects = match lake.folder(table) {
        Some(folder) => walked(folder).await,
        None => listed(lake, &lake.path(table)).await,
    };
    objects.map_err(|error| store_fault(&lake.shown(table), &error))
}

async fn walked(folder: PathBuf) -> Result<Vec<ObjectMeta>, object_store::Error> {
    let walk = spawn_blocking(move || walk::files(&folder, |name| name.ends_with(PARQUET)));
    walk.await.map_err(|source| object_store::Error::JoinError { source })?
}

async fn listed(lake: &Lake, folder: &Path) -> Result<Vec<ObjectMeta>, object_store::Error> {
    let objects = lake.store().list(Some(folder));
    let is_data = |object: &ObjectMeta| ready(is_data(folder, &object.location));
    objects.try_filter(is_data).try_collect().await
}

const PARQUET: &str = ".parquet";

fn is_data(folder: &Path, location: &Path) -> bool {
    let hidden = location
        .prefix_match(folder)
        .is_some_and(|mut parts| parts.any(|part| walk::is_hidden(part.as_ref())));
    location.as_ref().ends_with(PARQUET) && !hidden
}

/// What a file's footer says of it.
struct Footer {
    schema: Schema,
    rows: u64,
    timestamps: Option<(i64, i64)>,
    nulls: NullCounts,
}

async fn footer_of(lake: &Lake, object: ObjectMeta) -> Result<Footer, LakeError> {
    let metadata = footer::read(lake, &object).await?;
    let file = metadata.file_metadata();
    let schema =
        parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata()).map_err(|error| LakeError::Table {
            place: object.location.to_string(),
            reason: format!("its Parquet schema cannot be read: {error}"),
        })?;
    Ok(Footer {
        schema,
        rows: u64::try_from(file.num_rows()).unwrap_or_default(),
        timestamps: timestamps(&metadata),
        nulls: NullCounts {
            timestamp: nulls(&metadata, TIMESTAMP),
            partition: nulls(&metadata, PARTITION),
            offset: nulls(&metadata, OFFSET),
        },
    })
}

/// The rows without a value in a column; none where not all groups of rows tell.
fn nulls(metadata: &ParquetMetaData, column: &str) -> Option<u64> {
    let index = column_index(metadata, column)?;
    let groups = metadata.row_groups().iter();
    groups
        .map(|group| group.column(index).statistics()?.null_count_opt())
        .sum()
}

fn column_index(metadata: &ParquetMetaData, column: &str) -> Option<usize> {
    let schema = metadata.file_metadata().schema_descr();
    (0..schema.num_columns()).find(|index| schema.column(*index).path().string() == column)
}

/// The smallest and largest timestamp; none where not all groups of rows tell.
fn timestamps(metadata: &ParquetMetaData) -> Option<(i64, i64)> {
    let index = column_index(metadata, TIMESTAMP)?;
    let bounds = metadata
        .row_groups()
        .iter()
        .map(|group| match group.column(index).statistics()? {
            Statistics::Int64(known) => Some((*known.min_opt()?, *known.max_opt()?)),
            Statistics::Int32(known) => Some((i64::from(*known.min_opt()?), i64::from(*known.max_opt()?))),
            _ => None,
        });
    let bounds = bounds.collect::<Option<Vec<_>>>()?;
    Some((
        bounds.iter().map(|bound| bound.0).min()?,
        bounds.iter().map(|bound| bound.1).max()?,
    ))
}

fn partition_values(folder: &Path, location: &Path) -> BTreeMap<String, Option<String>> {
    location
        .prefix_match(folder)
        .into_iter()
        .flatten()
        .filter_map(|part| {
            let (name, value) = part.as_ref().split_once('=')?;
            Some((name.to_owned(), Some(value.to_owned())))
        })
        .collect()
}

/// Adds a file's columns: one that is new comes last, one of two types takes the wider of them.
fn merge(fields: &mut Vec<Field>, schema: &Schema) {
    for new in schema.fields() {
        match fields.iter_mut().find(|known| known.name() == new.name()) {
            None => fields.push(new.as_ref().clone().with_nullable(true)),
            Some(known) => {
                let wider = wider(known.data_type(), new.data_type());
                *known = known.clone().with_data_type(wider);
            }
        }
    }
}

fn wider(a: &DataType, b: &DataType) -> DataType {
    match (a, b) {
        _ if a == b => a.clone(),
        (DataType::Null, other) | (other, DataType::Null) => other.clone(),
        _ if a.is_integer() && b.is_integer() => DataType::Int64,
        _ if a.is_numeric() && b.is_numeric() => DataType::Float64,
        _ => DataType::Utf8,
    }
}
