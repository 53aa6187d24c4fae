//! What parts of the rollup add up to over a window, as far as the views need it: computed by one pass over rows that are
//! in their order, in memory that does not grow with the number of users.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Decimal128Array, Int64Array, StringViewArray, StringViewBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;

use super::batch::spawned;
use super::grain::Grain;
use super::order::{ServerUserRows, UserRows, text};
use super::union::{Row, unite};
use crate::history::HistoryError;
use crate::history::read_fault::query_fault;
use crate::history::scan::ScanFile;

/// Rows of historical_top_contributors at most.
const CONTRIBUTORS: usize = 100;
/// What [`server_unique_users`] computes.
#[cfg(test)]
pub(in crate::history) const SERVER_UNIQUE_USERS_SQL: &str =
    include_str!("../../../views/window_server_unique_users.sql");

/// Those users' totals that are among the contributors: the first in the order of that table.
pub(super) async fn contributors(users: Vec<ScanFile>) -> Result<RecordBatch, HistoryError> {
    spawned("the contributors of the window", async move {
        let mut most = Most::default();
        unite::<UserRows>(users, |rows| most.add(rows)).await?;
        most.batch()
            .map_err(|error| query_fault("the contributors of the window", &error.into()))
    })
    .await
}

/// The number of unique users of each server.
pub(super) async fn server_unique_users(server_users: Vec<ScanFile>) -> Result<RecordBatch, HistoryError> {
    spawned("the unique users of servers", async move {
        let mut servers = Servers::default();
        unite::<ServerUserRows>(server_users, |rows| servers.add(rows)).await?;
        servers
            .batch()
            .map_err(|error| query_fault("the unique users of servers", &error.into()))
    })
    .await
}

/// The users with the most events so far.
#[derive(Default)]
struct Most(BinaryHeap<Reverse<Contributor>>);

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
    /// Takes in one user's rows.
    fn add(&mut self, rows: &[Row<UserRows>]) {
        let Some(first) = rows.first() else { return };
        let events: i64 = rows.iter().map(|row| row.rows.events.value(row.at)).sum();
        let (user, is_bot) = (text(&first.rows.user, first.at), first.rows.is_bot(first.at));
        let full = self.0.len() == CONTRIBUTORS;
        let last = self.0.peek().filter(|_| full);
        if last.is_some_and(|Reverse(last)| last.rank() > (events, Reverse((user, is_bot)))) {
            return;
        }
        if full {
            self.0.pop();
        }
        let sums = rows.iter().filter_map(|row| {
            let column = &row.rows.bytes_sum;
            column.is_valid(row.at).then(|| column.value(row.at))
        });
        self.0.push(Reverse(Contributor {
            events,
            user: user.map(str::to_owned),
            is_bot,
            bytes_sum: sums.reduce(|sum, more| sum + more),
            new_pages: rows.iter().map(|row| row.rows.new_pages.value(row.at)).sum(),
        }));
    }

    fn batch(self) -> Result<RecordBatch, arrow::error::ArrowError> {
        let rows: Vec<Contributor> = self.0.into_iter().map(|Reverse(row)| row).collect();
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
        RecordBatch::try_new(Grain::Users.columns_but_bucket(), columns.into())
    }
}

/// How many users each server has so far.
#[derive(Default)]
struct Servers {
    counts: BTreeMap<[Option<String>; 3], i64>,
    /// A row of the server that the last rows were of, and its users so far, who are not among the others yet.
    last: Option<(Row<ServerUserRows>, i64)>,
}

impl Servers {
    /// Takes in the rows of one server and user.
    fn add(&mut self, rows: &[Row<ServerUserRows>]) {
        let Some(first) = rows.first() else { return };
        match &mut self.last {
            Some((row, users)) if first.rows.same_server(first.at, &row.rows, row.at) => *users += 1,
            _ => {
                self.count();
                self.last = Some((first.clone(), 1));
            }
        }
    }

    fn count(&mut self) {
        if let Some((row, users)) = self.last.take() {
            let server = row.rows.server(row.at).map(|text| text.map(str::to_owned));
            *self.counts.entry(server).or_default() += users;
        }
    }

    fn batch(mut self) -> Result<RecordBatch, arrow::error::ArrowError> {
        self.count();
        let mut keys = [(); 3].map(|()| StringViewBuilder::new());
        for server in self.counts.keys() {
            for (column, text) in keys.iter_mut().zip(server) {
                column.append_option(text.as_deref());
            }
        }
        let names = ["server_name", "language", "project"];
        let mut fields = names.map(|name| Field::new(name, DataType::Utf8View, true)).to_vec();
        fields.push(Field::new("unique_users", DataType::Int64, true));
        let mut columns: Vec<ArrayRef> = keys.map(|mut column| Arc::new(column.finish()) as ArrayRef).to_vec();
        columns.push(Arc::new(Int64Array::from_iter_values(self.counts.into_values())));
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
    }
}
