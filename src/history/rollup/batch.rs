//! Events into partials: a batch of files summed up, as many partials as that takes.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::runtime::SpawnedTask;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use super::cut::Seconds;
use super::grain::{Grain, to_code};
use super::order::Hashes;
use super::piece::{self, Holder, Piece, ROWS};
use super::plan::Work;
use super::sums::Sums;
use crate::history::HistoryError;
use crate::history::read_fault::query_fault;
use crate::history::scan::{self, Codes, LeftOut, ScanFile};
use crate::history::session::{Engine, cores};
use crate::lake::DataFile;

/// Events that are summed up at once, by each core.
const BATCH_EVENTS: u64 = 400_000;
/// Bytes of an event in a file whose number of rows is not known.
const BYTES_PER_EVENT: u64 = 50;

const EVENTS: &str = "the rollup of the events";

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
    /// The grains that are asked for.
    pub(super) grains: &'static [Grain],
}

/// Work in batches of files, each as a scan of it; these grains are asked for.
pub(super) fn batches(work: &Work, grains: &'static [Grain], scan: impl Fn(&DataFile) -> ScanFile) -> Vec<Batch> {
    let mut files: Vec<&DataFile> = work.files.iter().collect();
    // Neighbours in time have keys in common.
    files.sort_by_key(|file| file.timestamps);
    let (mut batches, mut events): (Vec<Batch>, u64) = (Vec::new(), 0);
    for file in files {
        match batches.last_mut() {
            Some(batch) if events < BATCH_EVENTS => batch.files.push(scan(file)),
            _ => {
                events = 0;
                batches.push(Batch {
                    files: vec![scan(file)],
                    first: work.seconds.0,
                    last: work.seconds.1,
                    grains,
                });
            }
        }
        events += file.rows.unwrap_or(file.size / BYTES_PER_EVENT);
    }
    batches
}

/// What some events add up to, at some grains.
#[derive(Debug)]
pub(super) struct Partial {
    /// A piece of each grain.
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
    /// One whose temporary files are in this folder, if they can be.
    pub(super) fn new(folder: Option<PathBuf>) -> Result<Workshop, HistoryError> {
        Ok(Workshop {
            engine: Engine::new()?,
            holder: Holder::new(folder),
            left_out: LeftOut::default(),
        })
    }
}

/// Sums up each batch, as many at a time as there are cores; cores that this leaves idle encode grains beside each other.
pub(super) async fn sum_up_all(workshop: &Workshop, batches: Vec<Batch>) -> Result<Vec<Partial>, HistoryError> {
    let grains_at_once = cores().checked_div(batches.len()).unwrap_or(1).max(1);
    let tasks: Vec<_> = batches
        .into_iter()
        .map(|batch| {
            let workshop = workshop.clone();
            spawned(EVENTS, async move { sum_up(&workshop, batch, grains_at_once).await })
        })
        .collect();
    let partials: Vec<Vec<Partial>> = stream::iter(tasks).buffered(cores()).try_collect().await?;
    Ok(partials.into_iter().flatten().collect())
}

/// The pieces of partials, and their hours.
pub(super) fn taken_apart(partials: Vec<Partial>) -> (Vec<Piece>, Vec<RecordBatch>) {
    let (pieces, hours): (Vec<_>, Vec<_>) = partials
        .into_iter()
        .map(|partial| (partial.pieces, partial.hours))
        .unzip();
    (pieces.into_iter().flatten().collect(), hours)
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

async fn sum_up(workshop: &Workshop, batch: Batch, grains_at_once: usize) -> Result<Vec<Partial>, HistoryError> {
    let seconds = (batch.first, batch.last);
    let mut events = scan::rows(to_code(&event_columns()), batch.files, workshop.left_out.clone());
    let mut partials = Vec::new();
    while let Some((sums, codes)) = next_sums(&mut events, seconds).await? {
        partials.push(partial_of(workshop, sums, codes, batch.grains, grains_at_once).await?);
    }
    Ok(partials)
}

/// Adds up events until there are as many rows as a partial has, or a few more; none where no event is left.
async fn next_sums(events: &mut Rows, seconds: Seconds) -> Result<Option<(Sums, Codes)>, HistoryError> {
    let fault = |error| query_fault(EVENTS, &error);
    let (mut sums, codes) = (Sums::default(), Codes::default());
    while sums.len() < ROWS
        && let Some(events) = events.try_next().await.map_err(fault)?
    {
        let added = codes
            .encoded(&events)
            .and_then(|events| sums.add_events(&events, seconds));
        added.map_err(|error| fault(error.into()))?;
    }
    Ok((sums.len() > 0).then_some((sums, codes)))
}

/// Sums as a partial.
async fn partial_of(
    workshop: &Workshop,
    sums: Sums,
    codes: Codes,
    grains: &[Grain],
    grains_at_once: usize,
) -> Result<Partial, HistoryError> {
    let hashes = Hashes::of(&codes).map_err(|error| query_fault(EVENTS, &error.into()))?;
    let hours = hours_of(&sums)?;
    let (name, of) = (uuid::Uuid::new_v4().to_string(), Arc::new((sums, codes, hashes)));
    let tasks: Vec<_> = grains
        .iter()
        .map(|grain| {
            let (grain, holder, name, of) = (*grain, workshop.holder.clone(), name.clone(), Arc::clone(&of));
            spawned(EVENTS, async move {
                let (sums, codes, hashes) = &*of;
                let rows = sums
                    .rows_of(grain)
                    .map_err(|error| query_fault(grain.name(), &error.into()))?;
                piece::encode(&holder, grain, &name, &rows, (codes, hashes)).await
            })
        })
        .collect();
    let pieces = stream::iter(tasks).buffered(grains_at_once).try_collect().await?;
    Ok(Partial { pieces, hours })
}

/// The hours of sums, as far as these go.
fn hours_of(sums: &Sums) -> Result<RecordBatch, HistoryError> {
    let hours = sums.rows_of(Grain::Hours);
    piece::conformed(
        Grain::Hours,
        &hours.map_err(|error| query_fault(Grain::Hours.name(), &error.into()))?,
    )
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
