//! What parts of the rollup add up to over a window, as far as the views need it: computed by one pass over rows that are
//! in their order, in memory that does not grow with the number of users.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Decimal128Array, Int64Array, StringViewArray, StringViewBuilder};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;

use super::batch::spawned;
use super::columns::{numbers, texts};
use super::grain::{Grain, SERVER};
use super::order::{ServerUserRows, UserRows, is_bot, text};
use super::union::{ByKey, Part, unite};
use crate::history::HistoryError;
use crate::history::read_fault::query_fault;
use crate::history::scan::ScanFile;

/// Rows of historical_top_contributors at most.
const CONTRIBUTORS: usize = 100;
/// What [`Servers`] computes.
#[cfg(test)]
pub(in crate::history) const SERVER_UNIQUE_USERS_SQL: &str =
    include_str!("../../../views/window_server_unique_users.sql");

/// Those users' totals that are among the contributors: the first in the order of that table.
pub(super) async fn contributors(users: Vec<ScanFile>) -> Result<RecordBatch, HistoryError> {
    spawned("the contributors of the window", async move {
        let mut most = Most::of(CONTRIBUTORS);
        unite::<UserRows>(users, |parts, end| most.add(parts, end)).await?;
        most.batch()
            .map_err(|error| query_fault("the contributors of the window", &error.into()))
    })
    .await
}

/// The users with the most events so far.
#[derive(Default)]
pub(super) struct Most {
    /// How many of them there are to be.
    size: usize,
    best: BinaryHeap<Reverse<Contributor>>,
    /// The events of each user in a round.
    events: ByKey<i64>,
    /// The user whom the last round ended with, and whom the next may have more rows of.
    last: Option<(u128, Contributor)>,
    /// Users who are told from others.
    known: Option<ByKey<()>>,
    most_of_others: Option<i64>,
}

/// What a user has done, under the order of contributors: the greater comes first.
#[derive(Debug, PartialEq, Eq)]
struct Contributor {
    events: i64,
    user: Option<String>,
    is_bot: Option<bool>,
    bytes_sum: Option<i128>,
    new_pages: i64,
}

/// What contributors are ordered by: their events, and where these are equal the user and is_bot, the smaller first.
type Rank<'a> = (i64, Reverse<(Option<&'a str>, Option<bool>)>);

impl Contributor {
    /// The user of a row, who has done nothing so far.
    fn named(rows: &UserRows, row: usize) -> Contributor {
        Contributor {
            events: 0,
            user: text(&rows.user, row).map(str::to_owned),
            is_bot: is_bot(&rows.is_bot, row),
            bytes_sum: None,
            new_pages: 0,
        }
    }

    fn add(&mut self, rows: &UserRows, row: usize) {
        self.events += rows.events.value(row);
        self.new_pages += rows.new_pages.value(row);
        if rows.bytes_sum.is_valid(row) {
            self.bytes_sum = Some(self.bytes_sum.unwrap_or_default() + rows.bytes_sum.value(row));
        }
    }

    fn rank(&self) -> Rank<'_> {
        (self.events, Reverse((self.user.as_deref(), self.is_bot)))
    }
}

impl Ord for Contributor {
    fn cmp(&self, other: &Contributor) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Contributor {
    fn partial_cmp(&self, other: &Contributor) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Most {
    /// So many users.
    pub(super) fn of(size: usize) -> Most {
        Most {
            size,
            ..Most::default()
        }
    }

    /// The contributors, where the users with these keys are told from others.
    pub(super) fn contributors_among(known: Vec<u128>) -> Most {
        Most {
            known: Some(known.into_iter().map(|key| (key, ())).collect()),
            ..Most::of(CONTRIBUTORS)
        }
    }

    /// The most events of a user who is none of the known; none where all are.
    pub(super) fn most_of_others(&self) -> Option<i64> {
        self.most_of_others
    }

    /// Takes in the rows of a round.
    pub(super) fn add(&mut self, parts: &[Part<'_, UserRows>], end: u128) {
        self.events.clear();
        if let Some((key, last)) = &self.last {
            self.events.insert(*key, last.events);
        }
        for part in parts {
            let events = part.rows.events.values();
            for (row, key) in part.keys() {
                *self.events.entry(key).or_default() += events[row];
            }
        }
        if let Some(known) = &self.known {
            let others = self.events.iter().filter(|(key, _)| !known.contains_key(*key));
            self.most_of_others = self.most_of_others.max(others.map(|(_, events)| *events).max());
        }
        // Few users come so far that all that they have done is of interest.
        let least = self.least();
        let full = self.best.len() == self.size;
        let mut wanted: ByKey<Option<Contributor>> = (self.events.iter())
            .filter(|(key, events)| **events > least || !full && **events == least || **key == end)
            .map(|(key, _)| (*key, None))
            .collect();
        // Of those who have as many as the last of them, there may be very many; their names decide.
        let ties = full && self.events.values().any(|events| *events == least);
        if let Some((key, last)) = self.last.take()
            && (wanted.contains_key(&key) || ties && self.events.get(&key) == Some(&least))
        {
            wanted.insert(key, Some(last));
        }
        for part in parts {
            for (row, key) in part.keys() {
                if let Some(contributor) = wanted.get_mut(&key) {
                    let contributor = contributor.get_or_insert_with(|| Contributor::named(part.rows, row));
                    contributor.add(part.rows, row);
                } else if ties && self.events.get(&key) == Some(&least) && self.is_before_last(part.rows, row) {
                    let mut contributor = Contributor::named(part.rows, row);
                    contributor.add(part.rows, row);
                    wanted.insert(key, Some(contributor));
                }
            }
        }
        for (key, contributor) in wanted {
            match contributor {
                Some(contributor) if key == end => self.last = Some((key, contributor)),
                Some(contributor) => self.place(contributor),
                None => {}
            }
        }
    }

    /// The fewest events of anybody who may be among the contributors.
    fn least(&self) -> i64 {
        match self.best.peek() {
            Some(Reverse(least)) if self.best.len() == self.size => least.events,
            _ => {
                let mut events: Vec<i64> = self.events.values().copied().collect();
                match events.len().checked_sub(self.size) {
                    Some(place) => *events.select_nth_unstable(place).1,
                    None => i64::MIN,
                }
            }
        }
    }

    /// Whether the user of a row would come before the last of the contributors, if they have equally many events.
    fn is_before_last(&self, rows: &UserRows, row: usize) -> bool {
        let user = (text(&rows.user, row), is_bot(&rows.is_bot, row));
        self.best
            .peek()
            .is_none_or(|Reverse(last)| user < (last.user.as_deref(), last.is_bot))
    }

    fn place(&mut self, contributor: Contributor) {
        self.best.push(Reverse(contributor));
        if self.best.len() > self.size {
            self.best.pop();
        }
    }

    /// Their rows, in no order.
    pub(super) fn batch(mut self) -> Result<RecordBatch, arrow::error::ArrowError> {
        if let Some((_, last)) = self.last.take() {
            self.place(last);
        }
        let rows: Vec<Contributor> = self.best.into_iter().map(|Reverse(row)| row).collect();
        let texts: StringViewArray = rows.iter().map(|row| row.user.as_deref()).collect();
        let bots: BooleanArray = rows.iter().map(|row| row.is_bot).collect();
        let sums: Decimal128Array = rows.iter().map(|row| row.bytes_sum).collect();
        let columns: [ArrayRef; 5] = [
            Arc::new(texts),
            Arc::new(bots),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.events))),
            Arc::new(sums.with_precision_and_scale(38, 0)?),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.new_pages))),
        ];
        RecordBatch::try_new(Grain::TopUsers.columns(), columns.into())
    }
}

/// How many users each server has so far.
#[derive(Default)]
pub(super) struct Servers {
    /// The number of each server, in the order in which they came.
    numbers: BTreeMap<[Option<String>; 3], usize>,
    counts: Vec<i64>,
    /// The users of a round.
    seen: ByKey<()>,
    /// The key that the last round ended with.
    last: Option<u128>,
}

impl Servers {
    /// Takes in the rows of a round, and calls `first` with each key that has not come before and its server's number.
    pub(super) fn add(&mut self, parts: &[Part<'_, ServerUserRows>], end: u128, mut first: impl FnMut(u128, usize)) {
        self.seen.clear();
        self.seen.extend(self.last.map(|key| (key, ())));
        for part in parts {
            for rows in part.rows.servers(part.range()) {
                let server = self.number(part.rows.server(rows.start));
                for key in part.keys_of(rows) {
                    if self.seen.insert(key, ()).is_none() {
                        self.counts[server] += 1;
                        first(key, server);
                    }
                }
            }
        }
        self.last = Some(end);
    }

    /// Takes back one user of the server of this number.
    pub(super) fn uncount(&mut self, server: usize) {
        self.counts[server] -= 1;
    }

    /// Adds what [`Servers::batch`] gave.
    pub(super) fn add_counts(&mut self, rows: &RecordBatch) -> Result<(), arrow::error::ArrowError> {
        let [name, language, project] = SERVER.map(|column| texts(rows, column));
        let columns = [name?, language?, project?];
        let counts = numbers::<Int64Type>(rows, "unique_users")?;
        for (row, count) in counts.values().iter().enumerate() {
            let server = self.number(columns.map(|column| text(column, row)));
            self.counts[server] += count;
        }
        Ok(())
    }

    fn number(&mut self, server: [Option<&str>; 3]) -> usize {
        let next = self.counts.len();
        let number = *self
            .numbers
            .entry(server.map(|text| text.map(str::to_owned)))
            .or_insert(next);
        if number == next {
            self.counts.push(0);
        }
        number
    }

    /// A row for each server that has users.
    pub(super) fn batch(self) -> Result<RecordBatch, arrow::error::ArrowError> {
        let mut keys = [(); 3].map(|()| StringViewBuilder::new());
        let mut counts = Vec::new();
        for (server, number) in self.numbers {
            for (column, text) in keys.iter_mut().zip(&server) {
                column.append_option(text.as_deref());
            }
            counts.push(self.counts[number]);
        }
        let mut columns: Vec<ArrayRef> = keys.map(|mut column| Arc::new(column.finish()) as ArrayRef).to_vec();
        columns.push(Arc::new(Int64Array::from(counts)));
        RecordBatch::try_new(Grain::Servers.columns(), columns)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use arrow::array::TimestampMicrosecondArray;
    use arrow::datatypes::Decimal128Type;
    use proptest::prelude::*;

    use super::*;
    use crate::history::rollup::cut::HOUR;
    use crate::history::rollup::order::Hashes;
    use crate::history::rollup::piece::{Holder, Piece, encode, micros};
    use crate::history::scan::Codes;

    /// A user, the number of the server, which is that of the hour as well, and events.
    pub type Done = (u32, u8, i64);

    /// What a row of the contributors says: events, bytes and new pages.
    type Sum = (i64, i64, i64);

    /// So many rows that a piece has several rounds.
    pub fn pieces() -> impl Strategy<Value = Vec<Vec<Done>>> {
        let done = (0..20_000_u32, 0..3_u8, 0..4_i64);
        prop::collection::vec(prop::collection::vec(done, 0..9000), 0..4)
    }

    pub async fn piece(grain: Grain, partial: &str, done: &[Done]) -> Piece {
        let texts = |text: &dyn Fn(&Done) -> String| {
            let texts = StringViewArray::from_iter_values(done.iter().map(text));
            (Arc::new(texts) as ArrayRef, true)
        };
        let numbers = |number: &dyn Fn(&Done) -> i64| {
            let numbers = Int64Array::from_iter_values(done.iter().map(number));
            (Arc::new(numbers) as ArrayRef, true)
        };
        let day = TimestampMicrosecondArray::from(vec![0; done.len()]).with_timezone("UTC");
        let day = Arc::new(day) as ArrayRef;
        let hour = done.iter().map(|done| i64::from(done.1) * micros(HOUR));
        let hour = TimestampMicrosecondArray::from_iter_values(hour).with_timezone("UTC");
        let hour = Arc::new(hour) as ArrayRef;
        let columns = [
            ("day_bucket", (day, true)),
            ("hour_bucket", (hour, true)),
            ("user", texts(&|done| format!("the user with number {}", done.0))),
            (
                "is_bot",
                (Arc::new(BooleanArray::new_null(done.len())) as ArrayRef, true),
            ),
            ("server_name", texts(&|done| done.1.to_string())),
            ("language", texts(&|_| "a language".to_owned())),
            ("project", texts(&|_| String::new())),
            ("events", numbers(&|done| done.2)),
            ("bytes_sum", numbers(&|done| done.2 * 3)),
            ("new_pages", numbers(&|_| 1)),
        ];
        let columns = columns.map(|(name, (column, nullable))| (name, column, nullable));
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let codes = Codes::default();
        let rows = codes.encoded(&batch).unwrap();
        let hashes = Hashes::of(&codes).unwrap();
        encode(&Holder::default(), grain, partial, &rows, (&codes, &hashes))
            .await
            .unwrap()
    }

    /// The contributors as they should be.
    pub fn expected_contributors(pieces: &[Vec<Done>]) -> Vec<(String, Sum)> {
        let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
        for (user, _, events) in pieces.iter().flatten() {
            let sum = sums.entry(format!("the user with number {user}")).or_default();
            *sum = (sum.0 + events, sum.1 + events * 3, sum.2 + 1);
        }
        ranked(sums.into_iter().collect())
    }

    /// The contributors as they were computed.
    pub fn found_contributors(rows: &RecordBatch) -> Vec<(String, Sum)> {
        let number = |name, row: usize| numbers::<Int64Type>(rows, name).unwrap().value(row);
        let users = texts(rows, "user").unwrap();
        let bytes = numbers::<Decimal128Type>(rows, "bytes_sum").unwrap();
        let row = |row| {
            let bytes = i64::try_from(bytes.value(row)).unwrap();
            (
                users.value(row).to_owned(),
                (number("events", row), bytes, number("new_pages", row)),
            )
        };
        ranked((0..rows.num_rows()).map(row).collect())
    }

    fn ranked(mut rows: Vec<(String, Sum)>) -> Vec<(String, Sum)> {
        rows.sort_by_key(|(user, sum)| (Reverse(sum.0), user.clone()));
        rows.truncate(CONTRIBUTORS);
        rows
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn contributors_are_those_with_the_most_events(pieces in pieces()) {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let rows = runtime.block_on(async {
                let mut files = Vec::new();
                for done in &pieces {
                    files.push(piece(Grain::Users, "a", done).await.scan());
                }
                contributors(files).await.unwrap()
            });
            prop_assert_eq!(rows.num_rows(), expected_contributors(&pieces).len());
            prop_assert_eq!(found_contributors(&rows), expected_contributors(&pieces));
        }
    }
}
