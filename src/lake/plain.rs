//! A folder of Hive-partitioned Parquet files without a Delta log, read as a table.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use parquet::arrow::async_reader::MetadataFetch;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;

use super::snapshot::store_fault;
use super::{DataFile, Lake, LakeError, TableSnapshot};

/// Footers that are read at a time.
const PARALLEL_FOOTERS: usize = 16;

/// Reads the folder as a table; none where it holds no Parquet file.
pub(super) async fn load(lake: &Lake, table: &str) -> Result<Option<TableSnapshot>, LakeError> {
    let folder = lake.path(table);
    let mut objects: Vec<ObjectMeta> = lake
        .store()
        .list(Some(&folder))
        .try_filter(|object| futures::future::ready(is_data(&folder, &object.location)))
        .try_collect()
        .await
        .map_err(|error| store_fault(&lake.shown(table), &error))?;
    if objects.is_empty() {
        return Ok(None);
    }
    objects.sort_by(|a, b| a.location.cmp(&b.location));
    let schemas: Vec<(Schema, u64)> = stream::iter(objects.iter().cloned())
        .map(|object| footer(lake, object))
        .buffered(PARALLEL_FOOTERS)
        .try_collect()
        .await?;
    let files: Vec<DataFile> = objects
        .iter()
        .zip(&schemas)
        .map(|(object, (_, rows))| DataFile {
            path: object.location.clone(),
            size: object.size,
            rows: Some(*rows),
            timestamps: None,
            partition_values: partition_values(&folder, &object.location),
            tags: BTreeMap::new(),
        })
        .collect();
    let partition_columns: Vec<String> = files
        .first()
        .map(|file| file.partition_values.keys().cloned().collect())
        .unwrap_or_default();
    let mut fields: Vec<Field> = Vec::new();
    for (schema, _) in &schemas {
        merge(&mut fields, schema);
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

fn is_data(folder: &Path, location: &Path) -> bool {
    let hidden = location
        .prefix_match(folder)
        .is_some_and(|mut parts| parts.any(|part| part.as_ref().starts_with(['_', '.'])));
    location.as_ref().ends_with(".parquet") && !hidden
}

async fn footer(lake: &Lake, object: ObjectMeta) -> Result<(Schema, u64), LakeError> {
    let fault = |reason: String| LakeError::Table {
        place: object.location.to_string(),
        reason: format!("its Parquet footer cannot be read: {reason}"),
    };
    let metadata = ParquetMetaDataReader::new()
        .load_and_finish(
            Ranges {
                lake,
                location: &object.location,
            },
            object.size,
        )
        .await
        .map_err(|error| fault(error.to_string()))?;
    let file = metadata.file_metadata();
    let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())
        .map_err(|error| fault(error.to_string()))?;
    Ok((schema, u64::try_from(file.num_rows()).unwrap_or_default()))
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
