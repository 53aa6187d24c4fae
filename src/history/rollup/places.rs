//! What places add up to: a row for each server, whatever the hours.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Decimal128Array, Int64Array, UInt32Array};
use arrow::datatypes::{Decimal128Type, Int64Type, UInt32Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;

use super::columns::numbers;
use super::grain::{Grain, SERVER, to_code};
use super::piece::conformed;
use crate::history::HistoryError;
use crate::history::mixed::Mixed;
use crate::history::read_fault::query_fault;
use crate::history::scan::{self, Codes, LeftOut, ScanFile};

/// The columns that are counts and add up.
const COUNTS: [&str; 3] = ["events", "bot_events", "new_pages"];

/// What the rows of files add up to, those of places or of servers.
pub(super) async fn by_server(files: Vec<ScanFile>) -> Result<RecordBatch, HistoryError> {
    let columns = to_code(&Grain::PlacesOfDays.columns());
    let mut rows = scan::rows(columns, files, LeftOut::default());
    let (mut sums, codes) = (Sums::default(), Codes::default());
    while let Some(rows) = rows.try_next().await.map_err(fault)? {
        let added = codes.encoded(&rows).and_then(|rows| sums.add(&rows));
        added.map_err(|error| fault(error.into()))?;
    }
    let rows = sums.rows().and_then(|rows| codes.decoded(&rows));
    conformed(Grain::PlacesOfDays, &rows.map_err(|error| fault(error.into()))?)
}

fn fault(error: datafusion::error::DataFusionError) -> HistoryError {
    query_fault(Grain::Places.name(), &error)
}

/// What the places of each server add up to, its texts being numbers.
#[derive(Default)]
struct Sums {
    /// The place of each server.
    servers: HashMap<[Option<u32>; 3], usize, BuildHasherDefault<Mixed>>,
    texts: [Vec<Option<u32>>; 3],
    bytes: Vec<Option<i128>>,
    counts: [Vec<i64>; COUNTS.len()],
}

impl Sums {
    fn add(&mut self, rows: &RecordBatch) -> Result<(), ArrowError> {
        let [name, language, project] = SERVER.map(|column| numbers::<UInt32Type>(rows, column));
        let texts = [name?, language?, project?];
        let bytes = numbers::<Decimal128Type>(rows, "bytes_sum")?;
        let [events, bot_events, new_pages] = COUNTS.map(|column| numbers::<Int64Type>(rows, column));
        let counts = [events?, bot_events?, new_pages?];
        for row in 0..rows.num_rows() {
            let server = texts.map(|column| column.is_valid(row).then(|| column.value(row)));
            let place = self.place_of(server);
            if bytes.is_valid(row) {
                self.bytes[place] = Some(self.bytes[place].unwrap_or_default() + bytes.value(row));
            }
            for (sums, column) in self.counts.iter_mut().zip(counts) {
                sums[place] += column.value(row);
            }
        }
        Ok(())
    }

    fn place_of(&mut self, server: [Option<u32>; 3]) -> usize {
        let next = self.bytes.len();
        let place = *self.servers.entry(server).or_insert(next);
        if place == next {
            for (texts, text) in self.texts.iter_mut().zip(server) {
                texts.push(text);
            }
            self.bytes.push(None);
            self.counts.iter_mut().for_each(|sums| sums.push(0));
        }
        place
    }

    /// A coded row for each server.
    fn rows(self) -> Result<RecordBatch, ArrowError> {
        let texts = self.texts.map(|texts| Arc::new(UInt32Array::from(texts)) as ArrayRef);
        let counts = self.counts.map(|sums| Arc::new(Int64Array::from(sums)) as ArrayRef);
        let bytes = Decimal128Array::from(self.bytes).with_precision_and_scale(38, 0)?;
        let columns = SERVER.into_iter().zip(texts).chain(COUNTS.into_iter().zip(counts));
        let columns = columns.chain([("bytes_sum", Arc::new(bytes) as ArrayRef)]);
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{StringViewArray, TimestampMicrosecondArray};
    use proptest::prelude::*;

    use super::*;
    use crate::history::rollup::columns::texts;
    use crate::history::rollup::piece::{Holder, written};

    /// A server's name, bytes and events.
    type Place = (Option<String>, Option<i64>, i64);

    fn rows(places: &[Place]) -> RecordBatch {
        let name: StringViewArray = places.iter().map(|(name, ..)| name.as_deref()).collect();
        let none = StringViewArray::new_null(places.len());
        let hours = TimestampMicrosecondArray::from(vec![0; places.len()]).with_timezone("UTC");
        let bytes: Decimal128Array = places.iter().map(|(_, bytes, _)| bytes.map(i128::from)).collect();
        let events = Int64Array::from_iter_values(places.iter().map(|(.., events)| *events));
        let columns: [(&str, ArrayRef); 8] = [
            ("hour_bucket", Arc::new(hours)),
            ("server_name", Arc::new(name)),
            ("language", Arc::new(none.clone())),
            ("project", Arc::new(none)),
            ("events", Arc::new(events.clone())),
            ("bytes_sum", Arc::new(bytes.with_precision_and_scale(38, 0).unwrap())),
            ("bot_events", Arc::new(events.clone())),
            ("new_pages", Arc::new(events)),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn each_server_has_the_sums_of_its_places(
            pieces in prop::collection::vec(
                prop::collection::vec((prop::option::of("[ab]{0,2}"), any::<Option<i64>>(), 0..9_i64), 0..40),
                0..4,
            ),
        ) {
            let mut expected: BTreeMap<Option<String>, (Option<i128>, i64)> = BTreeMap::new();
            for (name, bytes, events) in pieces.iter().flatten() {
                let sums = expected.entry(name.clone()).or_default();
                if let Some(bytes) = bytes {
                    sums.0 = Some(sums.0.unwrap_or_default() + i128::from(*bytes));
                }
                sums.1 += events;
            }
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let found = runtime.block_on(async {
                let mut files = Vec::new();
                for places in &pieces {
                    files.push(written(&Holder::default(), Grain::Places, &rows(places)).await.unwrap().scan());
                }
                let sums = by_server(files).await.unwrap();
                // Sums of sums are the same: that is what is kept.
                let sums = written(&Holder::default(), Grain::PlacesOfDays, &sums).await.unwrap();
                by_server(vec![sums.scan()]).await.unwrap()
            });
            let names = texts(&found, "server_name").unwrap().iter().map(|name| name.map(str::to_owned));
            let bytes = numbers::<Decimal128Type>(&found, "bytes_sum").unwrap().iter();
            let counts = COUNTS.map(|column| numbers::<Int64Type>(&found, column).unwrap());
            prop_assert!(counts[1..].iter().all(|count| *count == counts[0]));
            let found: BTreeMap<_, _> = names.zip(bytes.zip(counts[0].values().iter().copied())).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
