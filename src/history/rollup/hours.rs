//! The hours of the rollup: distinct users of parts do not add up, so an hour that several partials have is computed
//! from the finest rows of all of them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;

use super::batch::{Workshop, hours_of, spawned, sum_up_rows};
use super::columns::numbers;
use super::cut::Seconds;
use super::grain::Grain;
use super::piece::{Piece, micros};
use crate::history::HistoryError;
use crate::history::read_fault::query_fault;
use crate::history::scan::{Keep, Values};

/// Events of hours whose users are counted at once.
const EVENTS_AT_ONCE: i64 = 1_000_000;

/// The hours of parts as those of the whole; `pieces` are the partials of all parts.
pub(super) async fn combined(
    workshop: &Workshop,
    parts: Vec<RecordBatch>,
    pieces: &[Piece],
) -> Result<RecordBatch, HistoryError> {
    let mut seen: BTreeMap<i64, (usize, i64)> = BTreeMap::new();
    for (hour, events) in parts
        .iter()
        .flat_map(|part| starts(part).into_iter().zip(events_of(part)))
    {
        let seen = seen.entry(hour).or_default();
        *seen = (seen.0 + 1, seen.1 + events);
    }
    let several: Vec<(i64, i64)> = (seen.into_iter())
        .filter(|(_, (parts, _))| *parts > 1)
        .map(|(hour, (_, events))| (hour, events))
        .collect();
    if several.is_empty() {
        return together(&parts);
    }
    let hours: HashSet<i64> = several.iter().map(|(hour, _)| *hour).collect();
    let mut all: Vec<RecordBatch> = Vec::new();
    for part in &parts {
        all.push(filtered(part, |hour| !hours.contains(&hour))?);
    }
    for hours in groups(&several) {
        all.push(computed(workshop, hours, pieces).await?);
    }
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
    u64::try_from(events_of(hours).into_iter().sum::<i64>()).unwrap_or_default()
}

/// Batches of hours as one.
pub(super) fn together(parts: &[RecordBatch]) -> Result<RecordBatch, HistoryError> {
    concat_batches(&Grain::Hours.columns(), parts).map_err(|error| query_fault("the hours", &error.into()))
}

/// Hours, each with its events, in groups that are computed at a time: neighbours, as many as can be held.
fn groups(hours: &[(i64, i64)]) -> Vec<HashSet<i64>> {
    let mut groups: Vec<(HashSet<i64>, i64)> = Vec::new();
    for (hour, events) in hours {
        match groups.last_mut() {
            Some((group, held)) if *held + events <= EVENTS_AT_ONCE => {
                group.insert(*hour);
                *held += events;
            }
            _ => groups.push((HashSet::from([*hour]), *events)),
        }
    }
    groups.into_iter().map(|(group, _)| group).collect()
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
        let (sums, _) = sum_up_rows(&workshop, "the hours", Grain::columns_of_hours(), files).await?;
        hours_of(&sums)
    })
    .await
}

fn events_of(hours: &RecordBatch) -> Vec<i64> {
    let events = numbers::<Int64Type>(hours, "events");
    events.map(|events| events.values().to_vec()).unwrap_or_default()
}

fn starts(hours: &RecordBatch) -> Vec<i64> {
    let starts = hours.column(0).as_primitive_opt::<TimestampMicrosecondType>();
    starts.map(|starts| starts.values().to_vec()).unwrap_or_default()
}

fn filtered(hours: &RecordBatch, keep: impl Fn(i64) -> bool) -> Result<RecordBatch, HistoryError> {
    let kept: BooleanArray = starts(hours).into_iter().map(|hour| Some(keep(hour))).collect();
    filter_record_batch(hours, &kept).map_err(|error| query_fault("the hours", &error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_computed_together_as_far_as_they_can_be_held() {
        let (few, many) = (EVENTS_AT_ONCE / 2, EVENTS_AT_ONCE * 2);
        let hours = [(1, few), (2, few), (3, 1), (4, many), (5, 1), (6, 1)];
        let expected = [vec![1, 2], vec![3], vec![4], vec![5, 6]];
        assert_eq!(groups(&hours), expected.map(HashSet::from_iter));
        assert!(groups(&[]).is_empty());
    }
}
