//! The files of a [`TableSnapshot`] as a table of the query engine.
//!
//! The files are those that the lake's log names, read as plain Parquet with the schema that the log gives: nothing
//! is listed and nothing is inferred. Columns that a file lacks are null, older types are cast. Files whose
//! statistics or partition values rule out a filter are not opened.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, ScalarValue, project_schema};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::prelude::SessionContext;

use super::HistoryError;
use super::read_fault::{NamingReaders, query_fault};
use crate::lake::{DataFile, Lake, TableSnapshot};

/// Registers a table of the lake under `name`: all its columns, partition columns last, as 32-bit integers.
///
/// # Errors
/// [`HistoryError::Query`] where the engine refuses it, such as a name that is taken.
pub fn register_table(
    ctx: &SessionContext,
    lake: &Lake,
    name: &str,
    snapshot: &TableSnapshot,
) -> Result<(), HistoryError> {
    register(ctx, lake, name, snapshot, &columns(snapshot))
}

/// Registers a table of the lake under `name` with these columns of its files, whichever of them the files have.
pub(super) fn register(
    ctx: &SessionContext,
    lake: &Lake,
    name: &str,
    snapshot: &TableSnapshot,
    file_schema: &SchemaRef,
) -> Result<(), HistoryError> {
    ctx.register_object_store(&lake.store_url(), lake.store());
    let table = SnapshotTable::new(lake, snapshot, file_schema).map_err(|error| query_fault(name, &error))?;
    ctx.register_table(name, Arc::new(table))
        .map_err(|error| query_fault(name, &error))?;
    Ok(())
}

/// The columns that the table's files may have; strings as views, which the engine compares and groups faster.
fn columns(snapshot: &TableSnapshot) -> SchemaRef {
    let fields = snapshot
        .schema
        .fields()
        .iter()
        .filter(|field| !snapshot.partition_columns.contains(field.name()))
        .map(|field| match field.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 => Field::new(field.name(), DataType::Utf8View, true),
            DataType::Null => Field::new(field.name(), DataType::Utf8View, true),
            other => Field::new(field.name(), other.clone(), true),
        });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[derive(Debug)]
struct SnapshotTable {
    schema: TableSchema,
    store: ObjectStoreUrl,
    partition_columns: Vec<String>,
    files: Vec<DataFile>,
}

impl SnapshotTable {
    fn new(lake: &Lake, snapshot: &TableSnapshot, file_schema: &SchemaRef) -> Result<SnapshotTable> {
        let partitions: Vec<_> = snapshot
            .partition_columns
            .iter()
            .map(|name| Arc::new(Field::new(name, partition_type(snapshot, name), true)))
            .collect();
        Ok(SnapshotTable {
            schema: TableSchema::builder(Arc::clone(file_schema))
                .with_table_partition_cols(partitions)
                .build(),
            store: ObjectStoreUrl::parse(lake.store_url())?,
            partition_columns: snapshot.partition_columns.clone(),
            files: snapshot.files.clone(),
        })
    }

    /// The files that may hold rows that pass the filters.
    fn needed(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<DataFile>> {
        let Some(filter) = conjunction(filters.iter().cloned()) else {
            return Ok(self.files.clone());
        };
        let schema = self.schema();
        let filter = state.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(&schema))?)?;
        // A filter that no statistics can decide keeps all files.
        let Ok(predicate) = PruningPredicateBuilder::new()
            .with_file_schema(schema)
            .try_build(filter)
        else {
            return Ok(self.files.clone());
        };
        let statistics = FileStatistics {
            schema: self.schema.table_schema(),
            files: &self.files,
            partition_columns: &self.partition_columns,
        };
        let needed = predicate.prune(&statistics)?;
        let kept = self.files.iter().zip(needed).filter(|(_, needed)| *needed);
        Ok(kept.map(|(file, _)| file.clone()).collect())
    }

    fn partitioned(&self, file: &DataFile) -> Result<PartitionedFile> {
        let values = self
            .partition_columns
            .iter()
            .map(|name| partition_value(self.schema.table_schema(), file, name));
        let mut partitioned = PartitionedFile::new(String::new(), file.size);
        // Not through the constructor, which would encode the path's characters once more.
        partitioned.object_meta.location = file.path.clone();
        Ok(partitioned.with_partition_values(values.collect::<Result<_>>()?))
    }
}

/// Text where the table's log says so, else 32-bit integers.
fn partition_type(snapshot: &TableSnapshot, name: &str) -> DataType {
    match snapshot.schema.field_with_name(name).map(|field| field.data_type()) {
        Ok(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => DataType::Utf8View,
        _ => DataType::Int32,
    }
}

fn partition_value(schema: &Schema, file: &DataFile, name: &str) -> Result<ScalarValue> {
    let text = match file.partition_values.get(name) {
        Some(Some(text)) if !text.is_empty() && text != "__HIVE_DEFAULT_PARTITION__" => Some(text),
        _ => None,
    };
    if schema.field_with_name(name)?.data_type() == &DataType::Utf8View {
        return Ok(ScalarValue::Utf8View(text.cloned()));
    }
    let number = text.map(|text| {
        text.parse().map_err(|_| {
            DataFusionError::Plan(format!(
                "the file {} has the value {text} in its partition column {name}, which is no 32-bit integer",
                file.path
            ))
        })
    });
    Ok(ScalarValue::Int32(number.transpose()?))
}

#[async_trait]
impl TableProvider for SnapshotTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files = self.needed(state, filters)?;
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(project_schema(&self.schema(), projection)?)));
        }
        let files = files
            .iter()
            .map(|file| self.partitioned(file))
            .collect::<Result<Vec<_>>>()?;
        let runtime = state.runtime_env();
        let readers = NamingReaders(Arc::new(CachedParquetFileReaderFactory::new(
            runtime.object_store(&self.store)?,
            runtime.cache_manager.get_file_metadata_cache(),
        )));
        let source = ParquetSource::new(self.schema.clone())
            .with_table_parquet_options(state.default_table_options().parquet)
            .with_parquet_file_reader_factory(Arc::new(readers));
        let config = FileScanConfigBuilder::new(self.store.clone(), Arc::new(source))
            .with_file_groups(FileGroup::new(files).split_files(state.config().target_partitions()))
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// What the lake's log says of each file, as the engine asks for it.
struct FileStatistics<'a> {
    schema: &'a Schema,
    files: &'a [DataFile],
    partition_columns: &'a [String],
}

impl FileStatistics<'_> {
    fn bounds(&self, column: &Column, bound: fn((i64, i64)) -> i64) -> Option<ArrayRef> {
        if self.partition_columns.contains(&column.name) {
            let values = self
                .files
                .iter()
                .map(|file| partition_value(self.schema, file, &column.name));
            return ScalarValue::iter_to_array(values.collect::<Result<Vec<_>>>().ok()?).ok();
        }
        if column.name != "timestamp" {
            return None;
        }
        let values: Int64Array = self.files.iter().map(|file| file.timestamps.map(bound)).collect();
        Some(Arc::new(values))
    }
}

impl PruningStatistics for FileStatistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |(min, _)| min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |(_, max)| max)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, _column: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let rows: UInt64Array = self.files.iter().map(|file| file.rows).collect();
        Some(Arc::new(rows))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
