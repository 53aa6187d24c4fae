//! The order of rows in pieces whose grain has users in it, so that any number of them can be united without being held.
//!
//! Rows ascend by a number made of their key's hashes. That is as good an order as that of the texts, and costs a fraction;
//! rows of different keys that have the same number are told apart where pieces are united ([`super::union`]).

use std::hash::Hasher;

use arrow::array::{Array, AsArray, BooleanArray, Decimal128Array, Int64Array, StringViewArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Decimal128Type, Int64Type, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use twox_hash::XxHash64;

use super::grain::Grain;

/// To be changed when the order is: pieces in another one cannot be united with those in this one.
pub(super) const VERSION: &str = "XXH64, each column's hash the next one's seed";

/// The rows in their order, where their grain has one.
pub(super) fn ordered(grain: Grain, rows: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let keys = match grain {
        Grain::Users => UserRows::of(&rows)?.keys(),
        Grain::ServerUsers => ServerUserRows::of(&rows)?.keys(),
        Grain::Detail | Grain::Places | Grain::Hours => return Ok(rows),
    };
    let mut order: Vec<(u128, u32)> = keys.into_iter().zip(0..).collect();
    order.sort_unstable();
    let order: UInt32Array = order.into_iter().map(|(_, row)| row).collect();
    take_record_batch(&rows, &order)
}

/// Rows of one grain, column by column.
pub(super) trait Rows: Sized + Send + Sync {
    /// The columns that are read.
    fn columns() -> SchemaRef;

    /// The rows of a batch.
    fn of(batch: &RecordBatch) -> Result<Self, ArrowError>;

    /// The number by which each row is ordered.
    fn keys(&self) -> Vec<u128>;

    /// Whether two rows have the same key.
    fn same(&self, row: usize, other: &Self, other_row: usize) -> bool;
}

/// Who did how much. Its key is user and is_bot.
pub(super) struct UserRows {
    pub(super) user: StringViewArray,
    pub(super) is_bot: BooleanArray,
    pub(super) events: Int64Array,
    pub(super) bytes_sum: Decimal128Array,
    pub(super) new_pages: Int64Array,
}

impl Rows for UserRows {
    fn columns() -> SchemaRef {
        Grain::Users.columns_but_bucket()
    }

    fn of(batch: &RecordBatch) -> Result<UserRows, ArrowError> {
        let numbers = |name: &str| typed(batch, name, |column| column.as_primitive_opt::<Int64Type>().cloned());
        Ok(UserRows {
            user: texts(batch, "user")?,
            is_bot: typed(batch, "is_bot", |column| column.as_boolean_opt().cloned())?,
            events: numbers("events")?,
            bytes_sum: typed(batch, "bytes_sum", |column| {
                column.as_primitive_opt::<Decimal128Type>().cloned()
            })?,
            new_pages: numbers("new_pages")?,
        })
    }

    fn keys(&self) -> Vec<u128> {
        let users = self.user.iter().map(|user| hash(0, user));
        let bots = self
            .is_bot
            .iter()
            .map(|is_bot| is_bot.map_or(0, |is_bot| 1 + u128::from(is_bot)));
        users
            .zip(bots)
            .map(|(user, bot)| u128::from(user) << 64 | bot)
            .collect()
    }

    fn same(&self, row: usize, other: &UserRows, other_row: usize) -> bool {
        same_text(&self.user, row, &other.user, other_row) && self.is_bot(row) == other.is_bot(other_row)
    }
}

impl UserRows {
    /// A row's is_bot.
    pub(super) fn is_bot(&self, row: usize) -> Option<bool> {
        self.is_bot.is_valid(row).then(|| self.is_bot.value(row))
    }
}

/// Who was where. Its key is all of its columns.
pub(super) struct ServerUserRows {
    server: [StringViewArray; 3],
    user: StringViewArray,
}

impl Rows for ServerUserRows {
    fn columns() -> SchemaRef {
        Grain::ServerUsers.columns_but_bucket()
    }

    fn of(batch: &RecordBatch) -> Result<ServerUserRows, ArrowError> {
        Ok(ServerUserRows {
            server: [
                texts(batch, "server_name")?,
                texts(batch, "language")?,
                texts(batch, "project")?,
            ],
            user: texts(batch, "user")?,
        })
    }

    fn keys(&self) -> Vec<u128> {
        // Rows that are in their order have the same server as the one before.
        let (mut views, mut server) = (None, 0);
        let number = |row: usize| {
            let here = self
                .server
                .each_ref()
                .map(|column| (column.is_valid(row), column.views()[row]));
            if views != Some(here) {
                views = Some(here);
                server = self.server(row).into_iter().fold(0, hash);
            }
            u128::from(server) << 64 | u128::from(hash(0, text(&self.user, row)))
        };
        (0..self.user.len()).map(number).collect()
    }

    fn same(&self, row: usize, other: &ServerUserRows, other_row: usize) -> bool {
        same_text(&self.user, row, &other.user, other_row) && self.same_server(row, other, other_row)
    }
}

impl ServerUserRows {
    /// Whether two rows have the same server_name, language and project.
    pub(super) fn same_server(&self, row: usize, other: &ServerUserRows, other_row: usize) -> bool {
        let mut columns = self.server.iter().zip(&other.server);
        columns.all(|(one, another)| same_text(one, row, another, other_row))
    }

    /// A row's server_name, language and project.
    pub(super) fn server(&self, row: usize) -> [Option<&str>; 3] {
        self.server.each_ref().map(|column| text(column, row))
    }
}

/// Whether the texts of two rows are the same.
fn same_text(column: &StringViewArray, row: usize, other: &StringViewArray, other_row: usize) -> bool {
    /// What a view says of its text by itself: the length, and the first bytes. Of a short text that is everything.
    const OWN: u128 = u64::MAX as u128;
    /// The longest text that a view holds within itself, bytes.
    const INLINE: u128 = 12;
    match (column.is_valid(row), other.is_valid(other_row)) {
        (true, true) => {
            let (view, other_view) = (column.views()[row], other.views()[other_row]);
            let is_short = view & u128::from(u32::MAX) <= INLINE;
            view == other_view && is_short
                || !is_short && (view ^ other_view) & OWN == 0 && column.value(row) == other.value(other_row)
        }
        (one, another) => one == another,
    }
}

/// A row's text.
pub(super) fn text(column: &StringViewArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row))
}

fn hash(seed: u64, text: Option<&str>) -> u64 {
    match text {
        Some(text) => XxHash64::oneshot(seed, text.as_bytes()),
        None => XxHash64::with_seed(!seed).finish(),
    }
}

fn texts(batch: &RecordBatch, name: &str) -> Result<StringViewArray, ArrowError> {
    typed(batch, name, |column| column.as_string_view_opt().cloned())
}

fn typed<T>(batch: &RecordBatch, name: &str, column: impl Fn(&dyn Array) -> Option<T>) -> Result<T, ArrowError> {
    let found = batch.column_by_name(name).and_then(|found| column(found.as_ref()));
    found.ok_or_else(|| ArrowError::SchemaError(format!("there is no {name} of its type")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_the_same_where_they_are_equal(
            one in prop::option::of("[ab]{0,3}|a{10,14}[ab]?"),
            another in prop::option::of("[ab]{0,3}|a{10,14}[ab]?"),
        ) {
            // Long texts lie at different places of their columns.
            let columns = [vec![one.as_deref()], vec![Some("another text of more than twelve bytes"), another.as_deref()]];
            let [first, second] = columns.map(StringViewArray::from);
            prop_assert_eq!(same_text(&first, 0, &second, 1), one == another);
            prop_assert!(same_text(&first, 0, &first, 0));
        }
    }
}
