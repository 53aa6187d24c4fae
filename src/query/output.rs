//! The rows of a query as a table, CSV, JSON or Parquet.

use std::io::Write;

use arrow::csv;
use arrow::error::ArrowError;
use arrow::json::WriterBuilder;
use arrow::json::writer::JsonArray;
use arrow::record_batch::RecordBatch;
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;
use datafusion::execution::SendableRecordBatchStream;
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;

use super::QueryError;
use crate::lake::datafile::writer_properties;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum QueryFormat {
    /// A table for people.
    Table,
    /// CSV with a header.
    Csv,
    /// A JSON list with an object a row.
    Json,
    /// A Parquet file.
    Parquet,
}

/// Writes all rows.
///
/// # Errors
/// [`QueryError`] where the query fails on its way or `out` cannot be written to.
pub async fn write(
    mut rows: SendableRecordBatchStream,
    format: QueryFormat,
    out: &mut (dyn Write + Send),
) -> Result<(), QueryError> {
    let schema = rows.schema();
    match format {
        QueryFormat::Table => {
            let batches: Vec<RecordBatch> = rows.map_err(|error| super::failure(&error)).try_collect().await?;
            let batches = if batches.is_empty() {
                vec![RecordBatch::new_empty(schema)]
            } else {
                batches
            };
            let nulls = FormatOptions::default().with_null("NULL");
            let table = pretty_format_batches_with_options(&batches, &nulls).map_err(of_arrow)?;
            writeln!(out, "{table}")?;
        }
        QueryFormat::Csv => {
            let mut writer = csv::WriterBuilder::new().with_header(true).build(&mut *out);
            writer.write(&RecordBatch::new_empty(schema)).map_err(of_arrow)?;
            while let Some(batch) = next(&mut rows).await? {
                writer.write(&batch).map_err(of_arrow)?;
            }
        }
        QueryFormat::Json => {
            let mut writer = WriterBuilder::new()
                .with_explicit_nulls(true)
                .build::<_, JsonArray>(&mut *out);
            while let Some(batch) = next(&mut rows).await? {
                writer.write(&batch).map_err(of_arrow)?;
            }
            writer.finish().map_err(of_arrow)?;
            writeln!(out)?;
        }
        QueryFormat::Parquet => {
            let properties = writer_properties().build();
            let mut writer = ArrowWriter::try_new(&mut *out, schema, Some(properties)).map_err(of_parquet)?;
            while let Some(batch) = next(&mut rows).await? {
                writer.write(&batch).map_err(of_parquet)?;
            }
            writer.close().map_err(of_parquet)?;
        }
    }
    Ok(out.flush()?)
}

async fn next(rows: &mut SendableRecordBatchStream) -> Result<Option<RecordBatch>, QueryError> {
    rows.next().await.transpose().map_err(|error| super::failure(&error))
}

fn of_arrow(error: ArrowError) -> QueryError {
    match error {
        ArrowError::IoError(_, error) => QueryError::Output(error),
        other => QueryError::Failed(other.to_string()),
    }
}

fn of_parquet(error: ParquetError) -> QueryError {
    QueryError::Failed(error.to_string())
}
