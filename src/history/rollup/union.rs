//! Pieces of a grain that has users in it as one, row by row, whatever their size and number: only a batch of each is held.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use super::order::Rows;
use crate::history::HistoryError;
use crate::history::read_fault::FileFault;
use crate::history::scan::{self, ScanFile};

/// Pieces that are fetched at a time.
const FETCHED_AT_ONCE: usize = 4;

/// A row of a piece.
pub(super) struct Row<R> {
    pub(super) rows: Arc<R>,
    pub(super) at: usize,
}

/// Calls `each` with the rows of each key, those of all pieces together, keys in no order that means anything.
///
/// # Errors
/// [`HistoryError`] where a piece cannot be read, or is not in its order.
pub(super) async fn unite<R: Rows>(pieces: Vec<ScanFile>, mut each: impl FnMut(&[Row<R>])) -> Result<(), HistoryError> {
    let opened = stream::iter(pieces).map(Cursor::<R>::open).buffered(FETCHED_AT_ONCE);
    let opened: Vec<Option<Cursor<R>>> = opened.try_collect().await.map_err(|fault| HistoryError::from(&fault))?;
    let mut cursors: Vec<Cursor<R>> = opened.into_iter().flatten().collect();
    let mut next: BinaryHeap<_> = (cursors.iter().enumerate())
        .map(|(place, cursor)| Reverse((cursor.key(), place)))
        .collect();
    let mut alike: Vec<Row<R>> = Vec::new();
    let mut key = 0;
    while let Some(mut least) = next.peek_mut() {
        let Reverse((least_key, place)) = *least;
        if least_key != key {
            tell(&mut alike, &mut each);
            key = least_key;
        }
        let cursor = &mut cursors[place];
        alike.push(cursor.row());
        match cursor.advance().await.map_err(|fault| HistoryError::from(&fault))? {
            true => *least = Reverse((cursor.key(), place)),
            false => drop(PeekMut::pop(least)),
        }
    }
    tell(&mut alike, &mut each);
    Ok(())
}

/// Tells rows with the same number, key by key, and forgets them.
fn tell<R: Rows>(alike: &mut Vec<Row<R>>, each: &mut impl FnMut(&[Row<R>])) {
    while let Some(first) = alike.first() {
        if alike.iter().skip(1).all(|row| first.same(row)) {
            each(alike);
            return alike.clear();
        }
        // Keys that only have their hashes in common.
        let first = first.clone();
        let (same, others): (Vec<_>, Vec<_>) = alike.drain(..).partition(|row| first.same(row));
        each(&same);
        *alike = others;
    }
}

impl<R: Rows> Row<R> {
    fn same(&self, other: &Row<R>) -> bool {
        self.rows.same(self.at, &other.rows, other.at)
    }
}

impl<R> Clone for Row<R> {
    fn clone(&self) -> Row<R> {
        Row {
            rows: Arc::clone(&self.rows),
            at: self.at,
        }
    }
}

/// A place in a piece, at a row that is there.
struct Cursor<R> {
    name: String,
    batches: BoxStream<'static, Result<RecordBatch, FileFault>>,
    rows: Arc<R>,
    keys: Vec<u128>,
    at: usize,
}

impl<R: Rows> Cursor<R> {
    /// The first row of a piece; none where it has none.
    async fn open(piece: ScanFile) -> Result<Option<Cursor<R>>, FileFault> {
        let name = piece.name.clone();
        let mut batches = scan::rows_of(R::columns(), piece).await?;
        let first = next_rows::<R>(&name, &mut batches).await?;
        Ok(first.map(|(rows, keys)| Cursor {
            name,
            batches,
            rows: Arc::new(rows),
            keys,
            at: 0,
        }))
    }

    fn key(&self) -> u128 {
        self.keys[self.at]
    }

    fn row(&self) -> Row<R> {
        Row {
            rows: Arc::clone(&self.rows),
            at: self.at,
        }
    }

    /// Goes on to the next row; false where there is none.
    async fn advance(&mut self) -> Result<bool, FileFault> {
        let before = self.key();
        self.at += 1;
        if self.at == self.keys.len() {
            match next_rows::<R>(&self.name, &mut self.batches).await? {
                Some((rows, keys)) => (self.rows, self.keys, self.at) = (Arc::new(rows), keys, 0),
                None => return Ok(false),
            }
        }
        if self.key() < before {
            return Err(FileFault::of_content(&self.name, "its rows are not in their order"));
        }
        Ok(true)
    }
}

/// The next rows of a piece and the numbers by which they are ordered; none at its end.
async fn next_rows<R: Rows>(
    name: &str,
    batches: &mut BoxStream<'static, Result<RecordBatch, FileFault>>,
) -> Result<Option<(R, Vec<u128>)>, FileFault> {
    while let Some(batch) = batches.next().await.transpose()? {
        let rows = R::of(&batch).map_err(|error| FileFault::of_content(name, error.to_string()))?;
        let keys = rows.keys();
        if !keys.is_empty() {
            return Ok(Some((rows, keys)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{
        ArrayRef, BooleanArray, Decimal128Array, Int64Array, StringViewArray, TimestampMicrosecondArray,
    };
    use arrow::error::ArrowError;
    use proptest::prelude::*;

    use super::*;
    use crate::history::rollup::grain::Grain;
    use crate::history::rollup::order::{UserRows, ordered, text};
    use crate::history::rollup::piece::{Holder, PieceWriter};

    type User = (Option<String>, Option<bool>, i64);

    fn batch(users: &[User]) -> RecordBatch {
        let texts: StringViewArray = users.iter().map(|(user, ..)| user.as_deref()).collect();
        let bots: BooleanArray = users.iter().map(|(_, is_bot, _)| *is_bot).collect();
        let events = || Arc::new(Int64Array::from_iter_values(users.iter().map(|(.., events)| *events)));
        let sums: Decimal128Array = users.iter().map(|_| None::<i128>).collect();
        let days = TimestampMicrosecondArray::from(vec![0; users.len()]).with_timezone("UTC");
        let columns: [ArrayRef; 6] = [
            Arc::new(days),
            Arc::new(texts),
            Arc::new(bots),
            events(),
            Arc::new(sums.with_precision_and_scale(38, 0).unwrap()),
            events(),
        ];
        RecordBatch::try_new(Grain::Users.columns(), columns.into()).unwrap()
    }

    async fn piece(rows: &RecordBatch) -> ScanFile {
        let mut writer = PieceWriter::new(Grain::Users).unwrap();
        writer.write(rows).unwrap();
        writer.finish(&Holder::default(), "a").await.unwrap().scan()
    }

    fn users() -> impl Strategy<Value = Vec<User>> {
        let name = prop::option::of(prop_oneof!["[ab]{0,2}", "a name that is too long for a view [ab]"]);
        prop::collection::vec((name, any::<Option<bool>>(), 0..9_i64), 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn each_key_comes_once_with_all_its_rows(pieces in prop::collection::vec(users(), 0..5)) {
            let mut expected: BTreeMap<(Option<String>, Option<bool>), Vec<i64>> = BTreeMap::new();
            for (user, is_bot, events) in pieces.iter().flatten().cloned() {
                expected.entry((user, is_bot)).or_default().push(events);
            }
            expected.values_mut().for_each(|events| events.sort_unstable());
            let mut found = Vec::new();
            futures::executor::block_on(async {
                let mut files = Vec::new();
                for users in &pieces {
                    files.push(piece(&ordered(Grain::Users, batch(users)).unwrap()).await);
                }
                unite::<UserRows>(files, |rows| {
                    let first = &rows[0];
                    let mut events: Vec<i64> = rows.iter().map(|row| row.rows.events.value(row.at)).collect();
                    events.sort_unstable();
                    let key = (text(&first.rows.user, first.at).map(str::to_owned), first.rows.is_bot(first.at));
                    found.push((key, events));
                })
                .await
                .unwrap();
            });
            found.sort();
            prop_assert_eq!(found, Vec::from_iter(expected));
        }
    }

    #[tokio::test]
    async fn a_piece_that_is_not_in_its_order_is_damaged() {
        let rows = ordered(
            Grain::Users,
            batch(&["a", "b", "c"].map(|user| (Some(user.to_owned()), None, 1))),
        )
        .unwrap();
        let reversed =
            arrow::compute::concat_batches(rows.schema_ref(), &[rows.slice(2, 1), rows.slice(0, 2)]).unwrap();
        let united = unite::<UserRows>(vec![piece(&reversed).await], |_| ()).await;
        assert!(
            matches!(&united, Err(HistoryError::File { reason, .. }) if reason.contains("order")),
            "{united:?}"
        );
    }

    /// Rows that all have the same number.
    struct Alike(Vec<char>);

    impl Rows for Alike {
        fn columns() -> arrow::datatypes::SchemaRef {
            Grain::Users.columns()
        }

        fn of(_: &RecordBatch) -> Result<Alike, ArrowError> {
            Ok(Alike(Vec::new()))
        }

        fn keys(&self) -> Vec<u128> {
            vec![0; self.0.len()]
        }

        fn same(&self, row: usize, other: &Alike, other_row: usize) -> bool {
            self.0[row] == other.0[other_row]
        }
    }

    #[test]
    fn keys_that_have_only_their_number_in_common_are_told_apart() {
        let rows = Arc::new(Alike(vec!['a', 'b', 'a', 'c', 'b']));
        let mut alike: Vec<_> = (0..5)
            .map(|at| Row {
                rows: Arc::clone(&rows),
                at,
            })
            .collect();
        let mut told = Vec::new();
        tell(&mut alike, &mut |rows: &[Row<Alike>]| {
            told.push(rows.iter().map(|row| row.rows.0[row.at]).collect::<String>());
        });
        assert_eq!(told, ["aa", "bb", "c"]);
        assert!(alike.is_empty());
    }
}
