//! The hours of the rollup: what several partials have of an hour adds up, but for its users, who are counted over the
//! pieces of all of them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array, TimestampMicrosecondArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt, stream};

use super::batch::spawned;
use super::columns::numbers;
use super::cut::Seconds;
use super::grain::Grain;
use super::order::HourUserRows;
use super::piece::{MICROS, Piece, micros};
use super::union::{ByKey, Part, unite};
use crate::history::HistoryError;
use crate::history::read_fault::query_fault;
use crate::history::scan::{Keep, ScanFile, Values};
use crate::history::session::cores;

const HOURS: &str = "the hours";

/// The hours of parts as those of the whole; `pieces` are the partials of all parts.
pub(super) async fn combined(parts: Vec<RecordBatch>, pieces: &[Piece]) -> Result<RecordBatch, HistoryError> {
    let mut seen = HashSet::new();
    let several: HashSet<i64> = parts
        .iter()
        .flat_map(starts)
        .filter(|hour| !seen.insert(*hour))
        .collect();
    if several.is_empty() {
        return together(&parts);
    }
    let users = unique_users(&several, pieces).await?;
    let mut all = vec![summed(&parts, &users).map_err(|error| query_fault(HOURS, &error.into()))?];
    for part in &parts {
        all.push(filtered(part, |hour| !several.contains(&hour))?);
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
    concat_batches(&Grain::Hours.columns(), parts).map_err(|error| query_fault(HOURS, &error.into()))
}

/// The number of each of these hours' users, over all pieces.
async fn unique_users(hours: &HashSet<i64>, pieces: &[Piece]) -> Result<BTreeMap<i64, i64>, HistoryError> {
    let mut ascending: Vec<i64> = hours.iter().copied().collect();
    ascending.sort_unstable();
    let tasks: Vec<_> = ascending
        .chunks(ascending.len().div_ceil(cores()))
        .map(|hours| {
            let files = pieces_of(hours, pieces);
            let mut counts = Counts {
                users: hours.iter().map(|hour| (*hour, 0)).collect(),
                ..Counts::default()
            };
            spawned("the users of hours", async move {
                unite::<HourUserRows>(files, |parts, end| counts.add(parts, end)).await?;
                Ok(counts.users)
            })
        })
        .collect();
    let counts: Vec<BTreeMap<i64, i64>> = stream::iter(tasks).buffered(cores()).try_collect().await?;
    Ok(counts.into_iter().flatten().collect())
}

/// What pieces have of these hours, which ascend.
fn pieces_of(hours: &[i64], pieces: &[Piece]) -> Vec<ScanFile> {
    let range = hours.first().zip(hours.last());
    let range: Vec<Seconds> = range
        .map(|(first, last)| (first.div_euclid(MICROS), last.div_euclid(MICROS)))
        .into_iter()
        .collect();
    let hours: Arc<HashSet<i64>> = Arc::new(hours.iter().copied().collect());
    let pieces = pieces.iter().filter(|piece| piece.grain == Grain::HourUsers);
    pieces
        .filter(|piece| piece.overlaps(&range))
        .map(|piece| ScanFile {
            keep: Some(Keep {
                column: Grain::HourUsers.bucket(),
                values: Values::Among(Arc::clone(&hours)),
            }),
            ..piece.scan()
        })
        .collect()
}

/// The number of each hour's users so far.
#[derive(Default)]
struct Counts {
    users: BTreeMap<i64, i64>,
    /// The users of a round.
    seen: ByKey<()>,
    /// The key that the last round ended with.
    last: Option<u128>,
}

impl Counts {
    /// Takes in the rows of a round.
    fn add(&mut self, parts: &[Part<'_, HourUserRows>], end: u128) {
        self.seen.clear();
        self.seen.extend(self.last.map(|key| (key, ())));
        for part in parts {
            let hours = &part.rows.hours.values()[part.range()];
            let mut keys = part.keys_of(part.range());
            for hour in hours.chunk_by(|one, another| one == another) {
                let new = keys.by_ref().take(hour.len());
                let new = new.filter(|key| self.seen.insert(*key, ()).is_none()).count();
                *self.users.entry(hour[0]).or_default() += new as i64;
            }
        }
        self.last = Some(end);
    }
}

/// What parts have of those hours whose users are known.
fn summed(parts: &[RecordBatch], users: &BTreeMap<i64, i64>) -> Result<RecordBatch, ArrowError> {
    let rows = users.len();
    let places: BTreeMap<i64, usize> = users.keys().copied().zip(0..).collect();
    let mut bytes: Vec<Option<i128>> = vec![None; rows];
    let mut counts = COUNTS.map(|_| vec![0; rows]);
    for part in parts {
        let known = numbers::<Decimal128Type>(part, "bytes_sum")?;
        let [events, bytes_known, bot_events, human_events] = COUNTS.map(|name| numbers::<Int64Type>(part, name));
        let columns = [events?, bytes_known?, bot_events?, human_events?];
        for (row, hour) in starts(part).into_iter().enumerate() {
            let Some(place) = places.get(&hour).copied() else {
                continue;
            };
            if known.is_valid(row) {
                bytes[place] = Some(bytes[place].unwrap_or_default() + known.value(row));
            }
            for (count, column) in counts.iter_mut().zip(&columns) {
                count[place] += column.value(row);
            }
        }
    }
    let bytes = Decimal128Array::from(bytes).with_precision_and_scale(38, 0)?;
    let [events, bytes_known, bot_events, human_events] = counts.map(|count| Arc::new(Int64Array::from(count)));
    let hours = TimestampMicrosecondArray::from_iter_values(users.keys().copied()).with_timezone("UTC");
    let columns: [ArrayRef; 7] = [
        Arc::new(hours),
        events,
        Arc::new(bytes),
        bytes_known,
        bot_events,
        human_events,
        Arc::new(Int64Array::from_iter_values(users.values().copied())),
    ];
    RecordBatch::try_new(Grain::Hours.columns(), columns.into())
}

/// The columns of hours that are counts and add up.
const COUNTS: [&str; 4] = ["events", "bytes_known", "bot_events", "human_events"];

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
    filter_record_batch(hours, &kept).map_err(|error| query_fault(HOURS, &error.into()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::history::rollup::cut::HOUR;
    use crate::history::rollup::window::tests::{piece, pieces};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn each_user_of_an_hour_counts_once_whatever_pieces_he_is_in(
            parts in pieces(),
            wanted in prop::collection::hash_set(0..3_i64, 1..4),
        ) {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let mut expected: BTreeMap<i64, BTreeSet<u32>> =
                wanted.iter().map(|hour| (hour * micros(HOUR), BTreeSet::new())).collect();
            for (user, hour, _) in parts.iter().flatten() {
                if let Some(users) = expected.get_mut(&(i64::from(*hour) * micros(HOUR))) {
                    users.insert(*user);
                }
            }
            let found = runtime.block_on(async {
                let mut pieces = Vec::new();
                for (number, done) in parts.iter().enumerate() {
                    pieces.push(piece(Grain::HourUsers, &number.to_string(), done).await);
                }
                let hours = wanted.iter().map(|hour| hour * micros(HOUR)).collect();
                unique_users(&hours, &pieces).await.unwrap()
            });
            let expected: BTreeMap<i64, i64> =
                expected.into_iter().map(|(hour, users)| (hour, users.len() as i64)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
