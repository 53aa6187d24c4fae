//! The hours of the rollup: distinct users of parts do not add up, so an hour that several partials have is computed
//! from the finest rows of all of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;

use super::batch::{Workshop, hours_of, spawned};
use super::cut::Seconds;
use super::grain::Grain;
use super::piece::{Piece, micros};
use crate::history::HistoryError;
use crate::history::read_fault::query_fault;
use crate::history::scan::{self, Keep, Values};

/// The hours of parts as those of the whole; `pieces` are the partials of all parts.
pub(super) async fn combined(
    workshop: &Workshop,
    parts: Vec<RecordBatch>,
    pieces: &[Piece],
) -> Result<RecordBatch, HistoryError> {
    let mut seen: HashMap<i64, usize> = HashMap::new();
    for hour in parts.iter().flat_map(starts) {
        *seen.entry(hour).or_default() += 1;
    }
    let several: HashSet<i64> = seen
        .into_iter()
        .filter(|(_, parts)| *parts > 1)
        .map(|(hour, _)| hour)
        .collect();
    if several.is_empty() {
        return together(&parts);
    }
    let mut all: Vec<RecordBatch> = Vec::new();
    for part in &parts {
        all.push(filtered(part, |hour| !several.contains(&hour))?);
    }
    all.push(computed(workshop, several, pieces).await?);
    together(&all)
}

/// The hours that begin in these seconds.
pub(super) fn within(hours: &RecordBatch, seconds: Option<Seconds>) -> Result<RecordBatch, HistoryError> {
    filtered(hours, |hour| {
        seconds.is_some_and(|(first, last)| (micros(first)..=micros(last)).contains(&hour))
    })
}

/// Their events.
pub(super) fn events(hours: &RecordBatch) -> u64 {
    let counts = hours.column_by_name("events");
    let sum = counts.and_then(|counts| arrow::compute::sum(counts.as_primitive_opt::<Int64Type>()?));
    sum.and_then(|sum| u64::try_from(sum).ok()).unwrap_or_default()
}

/// Batches of hours as one.
pub(super) fn together(parts: &[RecordBatch]) -> Result<RecordBatch, HistoryError> {
    concat_batches(&Grain::Hours.columns(), parts).map_err(|error| query_fault("the hours", &error.into()))
}

async fn computed(workshop: &Workshop, hours: HashSet<i64>, pieces: &[Piece]) -> Result<RecordBatch, HistoryError> {
    let (first, last) = (hours.iter().min(), hours.iter().max());
    let range = first
        .zip(last)
        .map(|(first, last)| (first.div_euclid(1_000_000), last.div_euclid(1_000_000)));
    let ranges: Vec<Seconds> = range.into_iter().collect();
    let hours = Arc::new(hours);
    let files = pieces
        .iter()
        .filter(|piece| piece.grain == Grain::Detail && piece.overlaps(&ranges))
        .map(|piece| {
            let mut file = piece.scan();
            file.keep = Some(Keep {
                column: Grain::Detail.bucket(),
                values: Values::Among(Arc::clone(&hours)),
            });
            file
        })
        .collect();
    let workshop = workshop.clone();
    spawned("the hours", async move {
        let ctx = workshop.engine.session();
        scan::register(&ctx, "rollup", &Grain::Hours.reads(), files, &workshop.left_out)
            .map_err(|error| query_fault("the hours", &error))?;
        hours_of(&ctx).await
    })
    .await
}

fn starts(hours: &RecordBatch) -> Vec<i64> {
    let starts = hours.column(0).as_primitive_opt::<TimestampMicrosecondType>();
    starts.map(|starts| starts.values().to_vec()).unwrap_or_default()
}

fn filtered(hours: &RecordBatch, keep: impl Fn(i64) -> bool) -> Result<RecordBatch, HistoryError> {
    let kept: BooleanArray = starts(hours).into_iter().map(|hour| Some(keep(hour))).collect();
    filter_record_batch(hours, &kept).map_err(|error| query_fault("the hours", &error.into()))
}
