//! Events into partials: a batch of files summed up, as many partials as that takes.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use datafusion::common::runtime::SpawnedTask;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use super::grain::{Grain, SERVER};
use super::piece::{self, Holder, Piece, ROWS};
use super::sums::Sums;
use crate::history::HistoryError;
use crate::history::read_fault::query_fault;
use crate::history::scan::{self, Codes, LeftOut, ScanFile};
use crate::history::session::{Engine, cores};

/// Rows, batch by batch.
type Rows = BoxStream<'static, datafusion::error::Result<RecordBatch>>;

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
    let seconds = (batch.first, batch.last);
    let mut events = rows_to_code(workshop, &event_columns(), batch.files);
    let mut partials = Vec::new();
    while let Some((sums, codes)) = next_sums("the rollup of the events", &mut events, ROWS, |sums, events| {
        sums.add_events(events, seconds)
    })
    .await?
    {
        partials.push(partial_of(workshop, &sums, &codes).await?);
    }
    Ok(partials)
}

/// What rows of the finest grain add up to, those of all pieces together.
pub(super) async fn sum_up_rows(
    workshop: &Workshop,
    what: &'static str,
    columns: SchemaRef,
    pieces: Vec<ScanFile>,
) -> Result<(Sums, Codes), HistoryError> {
    let mut rows = rows_to_code(workshop, &columns, pieces);
    let sums = next_sums(what, &mut rows, usize::MAX, Sums::add_rows).await?;
    Ok(sums.unwrap_or_default())
}

/// Adds up rows until there are `most` sums of the finest grain, or a few more; none where no row is left.
pub(super) async fn next_sums(
    what: &'static str,
    rows: &mut Rows,
    most: usize,
    add: impl Fn(&mut Sums, &RecordBatch) -> Result<(), ArrowError>,
) -> Result<Option<(Sums, Codes)>, HistoryError> {
    let fault = |error| query_fault(what, &error);
    let (mut sums, codes) = (Sums::default(), Codes::default());
    while sums.len() < most
        && let Some(rows) = rows.try_next().await.map_err(fault)?
    {
        let added = codes.encoded(&rows).and_then(|rows| add(&mut sums, &rows));
        added.map_err(|error| fault(error.into()))?;
    }
    Ok((sums.len() > 0).then_some((sums, codes)))
}

/// Sums as a partial.
pub(super) async fn partial_of(workshop: &Workshop, sums: &Sums, codes: &Codes) -> Result<Partial, HistoryError> {
    let name = uuid::Uuid::new_v4().to_string();
    let mut pieces = Vec::new();
    for grain in Grain::OF_PARTIALS {
        pieces.push(piece_of(workshop, grain, &name, sums, codes).await?);
    }
    let hours = hours_of(sums)?;
    Ok(Partial { pieces, hours })
}

/// A grain of sums, as a piece of a partial.
pub(super) async fn piece_of(
    workshop: &Workshop,
    grain: Grain,
    partial: &str,
    sums: &Sums,
    codes: &Codes,
) -> Result<Piece, HistoryError> {
    let rows = sums
        .rows_of(grain)
        .map_err(|error| query_fault(grain.name(), &error.into()))?;
    piece::encode(&workshop.holder, grain, partial, &rows, codes).await
}

/// The hours of sums, as far as these go.
pub(super) fn hours_of(sums: &Sums) -> Result<RecordBatch, HistoryError> {
    let hours = sums.rows_of(Grain::Hours);
    piece::conformed(
        Grain::Hours,
        &hours.map_err(|error| query_fault(Grain::Hours.name(), &error.into()))?,
    )
}

/// Rows of events or of the finest grain as they are read to be coded: servers come as dictionaries.
pub(super) fn rows_to_code(workshop: &Workshop, columns: &SchemaRef, files: Vec<ScanFile>) -> Rows {
    let fields = columns.fields().iter().map(|field| match field.name().as_str() {
        name if SERVER.contains(&name) => Field::new(name, Codes::few_texts(), true),
        _ => field.as_ref().clone(),
    });
    let columns = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    scan::rows(columns, files, workshop.left_out.clone())
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
