//! Events into partials: a batch of files summed up by `views/rollup.sql`, and the coarser grains of that.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::common::runtime::SpawnedTask;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt, stream};

use super::grain::{Grain, ROLLUP_SQL};
use super::piece::{self, Holder, Piece, PieceWriter, ROWS};
use crate::history::HistoryError;
use crate::history::read_fault::query_fault;
use crate::history::scan::{self, Codes, LeftOut, ScanFile};
use crate::history::session::{Engine, cores};

/// Files to be summed up at once.
#[derive(Debug)]
pub(super) struct Batch {
    /// The files.
    pub(super) files: Vec<ScanFile>,
    /// The events from this second
    pub(super) first: i64,
    /// to this one, both included.
    pub(super) last: i64,
}

/// What some events add up to, at every grain.
#[derive(Debug)]
pub(super) struct Partial {
    /// Pieces of each grain but the hours'.
    pub(super) pieces: Vec<Piece>,
    /// The hours, as far as these events go.
    pub(super) hours: RecordBatch,
}

/// What a run computes with.
#[derive(Debug, Clone)]
pub(super) struct Workshop {
    pub(super) engine: Engine,
    pub(super) holder: Holder,
    pub(super) left_out: LeftOut,
}

impl Workshop {
    pub(super) fn new() -> Result<Workshop, HistoryError> {
        Ok(Workshop {
            engine: Engine::new()?,
            holder: Holder::default(),
            left_out: LeftOut::default(),
        })
    }
}

/// Sums up each batch, as many at a time as there are cores.
pub(super) async fn sum_up_all(workshop: &Workshop, batches: Vec<Batch>) -> Result<Vec<Partial>, HistoryError> {
    let tasks: Vec<_> = batches
        .into_iter()
        .map(|batch| {
            let workshop = workshop.clone();
            spawned(
                "the rollup of the events",
                async move { sum_up(&workshop, batch).await },
            )
        })
        .collect();
    let partials: Vec<Vec<Partial>> = stream::iter(tasks).buffered(cores()).try_collect().await?;
    Ok(partials.into_iter().flatten().collect())
}

/// Runs work beside others; it ends with the returned future.
pub(in crate::history) async fn spawned<T: Send + 'static>(
    what: &'static str,
    work: impl Future<Output = Result<T, HistoryError>> + Send + 'static,
) -> Result<T, HistoryError> {
    SpawnedTask::spawn(work)
        .join()
        .await
        .map_err(|error| HistoryError::Query {
            what: what.to_owned(),
            reason: error.to_string(),
        })?
}

async fn sum_up(workshop: &Workshop, batch: Batch) -> Result<Vec<Partial>, HistoryError> {
    let fault = |error| query_fault("the rollup of the events", &error);
    let (ctx, codes) = (workshop.engine.session(), Codes::default());
    scan::register_coded(
        &ctx,
        "events",
        &event_columns(),
        batch.files,
        &workshop.left_out,
        &codes,
    )
    .map_err(fault)?;
    let second = |second: i64| ScalarValue::Int64(Some(second));
    let edges = vec![("first", second(batch.first)), ("last", second(batch.last))];
    let frame = ctx
        .sql(ROLLUP_SQL)
        .await
        .and_then(|frame| frame.with_param_values(edges));
    let mut rows = frame.map_err(fault)?.execute_stream().await.map_err(fault)?;
    let (mut partials, mut chunk, mut chunk_rows) = (Vec::new(), Vec::new(), 0);
    while let Some(batch) = rows.try_next().await.map_err(fault)? {
        chunk_rows += batch.num_rows();
        chunk.push(batch);
        if chunk_rows >= ROWS {
            partials.push(partial_of(workshop, std::mem::take(&mut chunk), &codes).await?);
            chunk_rows = 0;
        }
    }
    if chunk_rows > 0 {
        partials.push(partial_of(workshop, chunk, &codes).await?);
    }
    Ok(partials)
}

/// Rows of the finest grain, coded, as a partial.
pub(super) async fn partial_of(
    workshop: &Workshop,
    rows: Vec<RecordBatch>,
    codes: &Codes,
) -> Result<Partial, HistoryError> {
    let name = uuid::Uuid::new_v4().to_string();
    let mut detail = PieceWriter::new(Grain::Detail)?;
    for batch in &rows {
        let batch = codes.decoded(batch);
        detail.write(&batch.map_err(|error| query_fault(Grain::Detail.name(), &error.into()))?)?;
    }
    let mut pieces = vec![detail.finish(&workshop.holder, &name).await?];
    let ctx = workshop.engine.session();
    let schema = rows
        .first()
        .map_or_else(|| Grain::Detail.columns(), RecordBatch::schema);
    let table = MemTable::try_new(schema, vec![rows]).and_then(|table| ctx.register_table("rollup", Arc::new(table)));
    table.map_err(|error| query_fault("the rollup of the events", &error))?;
    for grain in [Grain::Users, Grain::ServerUsers, Grain::Places] {
        pieces.extend(pieces_of(workshop, &ctx, grain, &name, codes).await?);
    }
    let hours = hours_of(&ctx).await?;
    Ok(Partial { pieces, hours })
}

/// A coarser grain of what is registered as `rollup`, coded.
pub(super) async fn pieces_of(
    workshop: &Workshop,
    ctx: &SessionContext,
    grain: Grain,
    partial: &str,
    codes: &Codes,
) -> Result<Vec<Piece>, HistoryError> {
    let fault = |error| query_fault(grain.name(), &error);
    let frame = ctx.sql(grain.sql()).await.map_err(fault)?;
    let rows = frame.execute_stream().await.map_err(fault)?;
    piece::encode(&workshop.holder, grain, partial, rows, codes).await
}

/// The hours of what is registered as `rollup`.
pub(super) async fn hours_of(ctx: &SessionContext) -> Result<RecordBatch, HistoryError> {
    let fault = |error| query_fault(Grain::Hours.name(), &error);
    let frame = ctx.sql(Grain::Hours.sql()).await.map_err(fault)?;
    let batches = frame.collect().await.map_err(fault)?;
    let columns = Grain::Hours.columns();
    let conformed: Result<Vec<_>, _> = batches
        .iter()
        .map(|batch| piece::conformed(Grain::Hours, batch))
        .collect();
    arrow::compute::concat_batches(&columns, &conformed?).map_err(|error| fault(error.into()))
}

/// The columns of an event that the tables are made of, under the types of the contract whatever a file holds.
fn event_columns() -> SchemaRef {
    let field = |name: &str, data_type: &DataType| Field::new(name, data_type.clone(), true);
    Arc::new(Schema::new(vec![
        field("timestamp", &DataType::Int64),
        field("user", &DataType::Utf8View),
        field("server_name", &DataType::Utf8View),
        field("bytes_changed", &DataType::Int64),
        field("is_bot", &DataType::Boolean),
        field("is_new_page", &DataType::Boolean),
        field("language", &DataType::Utf8View),
        field("project", &DataType::Utf8View),
    ]))
}
