//! Pieces of a grain that has users in it as one, key by key, whatever their size and number: only a batch of each is held.
//!
//! The rows of all pieces up to the least of their batches' last keys are one *round*: behind it no piece has a key that is
//! less. The next round may begin with the key that ended the one before, and has none of the others.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use arrow::record_batch::RecordBatch;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use super::order::Rows;
use crate::history::HistoryError;
use crate::history::read_fault::FileFault;
use crate::history::scan::{self, ScanFile};

/// Pieces that are fetched at a time.
const FETCHED_AT_ONCE: usize = 4;
/// Rows of each piece that are decoded at a time: those of all pieces should fit into a core's cache.
const BATCH_ROWS: usize = 2048;

/// Something by keys.
pub(super) type ByKey<T> = HashMap<u128, T, BuildHasherDefault<OfKey>>;

/// Rows of one piece in a round.
pub(super) struct Part<'a, R> {
    pub(super) rows: &'a R,
    /// The keys of all of the piece's rows.
    keys: &'a [u128],
    /// Those of the rows that are in this round.
    range: Range<usize>,
}

impl<R> Part<'_, R> {
    /// The places of the rows in this round.
    pub(super) fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// The keys of some of them.
    pub(super) fn keys_of(&self, rows: Range<usize>) -> impl Iterator<Item = u128> {
        self.keys[rows].iter().copied()
    }

    /// The places of all of them, and their keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = (usize, u128)> {
        self.range().zip(self.keys_of(self.range()))
    }
}

/// Calls `each` round by round with the rows of all pieces, and the key that the round ends with.
///
/// # Errors
/// [`HistoryError`] where a piece cannot be read, or is not in its order.
pub(super) async fn unite<R: Rows>(
    pieces: Vec<ScanFile>,
    mut each: impl FnMut(&[Part<'_, R>], u128),
) -> Result<(), HistoryError> {
    let mut union = Union::open(pieces).await?;
    while let Some(end) = union.round(&mut each) {
        union.go_behind(end).await?;
    }
    Ok(())
}

/// Pieces that are united, for whom has to wait for something between two rounds.
pub(super) struct Union<R> {
    /// Of the pieces that have rows left.
    cursors: Vec<Cursor<R>>,
}

impl<R: Rows> Union<R> {
    /// Opens pieces.
    ///
    /// # Errors
    /// As [`unite`].
    pub(super) async fn open(pieces: Vec<ScanFile>) -> Result<Union<R>, HistoryError> {
        let opened = stream::iter(pieces).map(Cursor::<R>::open).buffered(FETCHED_AT_ONCE);
        let opened: Vec<Option<Cursor<R>>> = opened.try_collect().await.map_err(|fault| HistoryError::from(&fault))?;
        Ok(Union {
            cursors: opened.into_iter().flatten().collect(),
        })
    }

    /// Calls `each` with the next round, and gives the key that it ends with; none where no row is left.
    pub(super) fn round(&self, each: impl FnOnce(&[Part<'_, R>], u128)) -> Option<u128> {
        let end = self
            .cursors
            .iter()
            .filter_map(|cursor| cursor.keys.last().copied())
            .min()?;
        let parts: Vec<Part<R>> = self.cursors.iter().map(|cursor| cursor.until(end)).collect();
        each(&parts, end);
        Some(end)
    }

    /// Goes on to the rows behind the key that a round ended with.
    ///
    /// # Errors
    /// As [`unite`].
    pub(super) async fn go_behind(&mut self, end: u128) -> Result<(), HistoryError> {
        let mut left = Vec::with_capacity(self.cursors.len());
        for mut cursor in std::mem::take(&mut self.cursors) {
            let row = cursor.until(end).range.end;
            if cursor.go_to(row).await.map_err(|fault| HistoryError::from(&fault))? {
                left.push(cursor);
            }
        }
        self.cursors = left;
        Ok(())
    }
}

/// A place in a piece, at a row that is there.
struct Cursor<R> {
    name: String,
    batches: BoxStream<'static, Result<RecordBatch, FileFault>>,
    rows: R,
    keys: Vec<u128>,
    at: usize,
}

impl<R: Rows> Cursor<R> {
    /// The first row of a piece; none where it has none.
    async fn open(piece: ScanFile) -> Result<Option<Cursor<R>>, FileFault> {
        let name = piece.name.clone();
        let mut batches = scan::rows_of(R::columns(), piece, BATCH_ROWS).await?;
        let first = next_rows::<R>(&name, &mut batches, 0).await?;
        Ok(first.map(|(rows, keys)| Cursor {
            name,
            batches,
            rows,
            keys,
            at: 0,
        }))
    }

    /// The rows from here to the last whose key is not greater.
    fn until(&self, end: u128) -> Part<'_, R> {
        let rows = self.keys[self.at..].partition_point(|key| *key <= end);
        Part {
            rows: &self.rows,
            keys: &self.keys,
            range: self.at..self.at + rows,
        }
    }

    /// Goes on to a row of this batch, or to the next batch where it has no such row; false where there is none.
    async fn go_to(&mut self, row: usize) -> Result<bool, FileFault> {
        self.at = row;
        let Some(last) = self.keys.last().filter(|_| row == self.keys.len()) else {
            return Ok(true);
        };
        match next_rows::<R>(&self.name, &mut self.batches, *last).await? {
            Some((rows, keys)) => (self.rows, self.keys, self.at) = (rows, keys, 0),
            None => return Ok(false),
        }
        Ok(true)
    }
}

/// The next rows of a piece, whose keys begin at this one or behind it, with their keys; none at its end.
async fn next_rows<R: Rows>(
    name: &str,
    batches: &mut BoxStream<'static, Result<RecordBatch, FileFault>>,
    least: u128,
) -> Result<Option<(R, Vec<u128>)>, FileFault> {
    while let Some(batch) = batches.next().await.transpose()? {
        let rows = R::of(&batch).map_err(|error| FileFault::of_content(name, error.to_string()))?;
        let keys = rows.keys();
        if keys.first().is_some_and(|first| *first < least) || !keys.is_sorted() {
            return Err(FileFault::of_content(name, "its rows are not in their order"));
        }
        if !keys.is_empty() {
            return Ok(Some((rows, keys)));
        }
    }
    Ok(None)
}

/// Hashes keys, which are as random as can be but for the lowest bits.
#[derive(Default)]
pub(super) struct OfKey(u64);

impl Hasher for OfKey {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u128(u128::from(*byte));
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 ^= (key >> 2) as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
    use arrow::error::ArrowError;
    use proptest::prelude::*;

    use super::*;
    use crate::history::scan::Place;

    /// Keys, and nothing else.
    struct Keys(Vec<u128>);

    impl Rows for Keys {
        fn columns() -> SchemaRef {
            Arc::new(Schema::new(vec![Field::new("key", DataType::Int64, true)]))
        }

        fn of(batch: &RecordBatch) -> Result<Keys, ArrowError> {
            let keys = arrow::array::AsArray::as_primitive::<Int64Type>(batch.column(0));
            Ok(Keys(keys.values().iter().map(|key| *key as u128).collect()))
        }

        fn keys(&self) -> Vec<u128> {
            self.0.clone()
        }
    }

    fn piece(keys: &[i64]) -> ScanFile {
        let column: ArrayRef = Arc::new(Int64Array::from(keys.to_vec()));
        let batch = RecordBatch::try_new(Keys::columns(), vec![column]).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), Keys::columns(), None).unwrap();
        writer.write(&batch).unwrap();
        ScanFile {
            name: "a".to_owned(),
            place: Place::Memory(writer.into_inner().unwrap().into()),
            size: 0,
            crc32: None,
            optional: false,
            keep: None,
            prune: None,
        }
    }

    async fn rounds(pieces: Vec<ScanFile>) -> Result<Vec<(Vec<u128>, u128)>, HistoryError> {
        let mut rounds = Vec::new();
        unite::<Keys>(pieces, |parts, end| {
            let keys = parts.iter().flat_map(|part| part.keys().map(|(_, key)| key));
            rounds.push((keys.collect(), end));
        })
        .await?;
        Ok(rounds)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn each_row_comes_once_and_no_key_after_its_round_but_the_last(
            pieces in prop::collection::vec(prop::collection::vec(0..3000_i64, 0..9000), 0..4),
        ) {
            let mut expected: BTreeMap<u128, usize> = BTreeMap::new();
            let mut files = Vec::new();
            for mut keys in pieces {
                keys.sort_unstable();
                keys.iter().for_each(|key| *expected.entry(*key as u128).or_default() += 1);
                files.push(piece(&keys));
            }
            let mut found: BTreeMap<u128, usize> = BTreeMap::new();
            let mut before = 0;
            for (keys, end) in futures::executor::block_on(rounds(files)).unwrap() {
                prop_assert!(keys.iter().all(|key| (before..=end).contains(key)));
                prop_assert!(keys.contains(&end));
                keys.iter().for_each(|key| *found.entry(*key).or_default() += 1);
                before = end;
            }
            prop_assert_eq!(found, expected);
        }
    }

    #[tokio::test]
    async fn a_piece_that_is_not_in_its_order_is_damaged() {
        let mut long: Vec<i64> = (0..3 * BATCH_ROWS as i64).collect();
        long[2 * BATCH_ROWS..].fill(5);
        for keys in [vec![3, 1, 2], long] {
            let united = rounds(vec![piece(&[1, 2]), piece(&keys)]).await;
            assert!(
                matches!(&united, Err(HistoryError::File { reason, .. }) if reason.contains("order")),
                "{united:?}"
            );
        }
    }
}
