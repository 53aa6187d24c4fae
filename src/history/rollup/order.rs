//! Users as numbers, and the order of rows in pieces whose grain has users in it, so that any number of them can be united
//! without being held.
//!
//! A row's key is a number made of its texts' hashes, by which the rows ascend. It has so many bits that different keys
//! have different numbers: among ten million users the chance that any two are taken for one is one in ten to the fifteenth.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Int32Array, Int64Array, StringViewArray, UInt32Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Decimal128Type, Int32Type, Int64Type, SchemaRef, UInt32Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use twox_hash::XxHash64;

use super::columns::{flags, numbers, texts};
use super::grain::{Grain, KEY_HIGH, KEY_LOW, SERVER};
use crate::history::scan::Codes;

/// To be changed when the keys are: pieces that have others cannot be united with those that have these.
pub(super) const VERSION: &str = "XXH64 under two seeds for each column";

/// What the hashes of the columns that make a server begin with,
const SERVER_SEEDS: [u64; 3] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3];
/// and those of users.
const USER_SEED: u64 = 0x5896_5cc7_5374_cc3f;
const USER: &str = "user";
/// The bits of a key that tell the users of one server apart.
const OF_USER: u128 = (1 << 96) - 1;

/// Coded rows with their keys and in their order, where their grain has one.
pub(super) fn ordered(grain: Grain, rows: &RecordBatch, codes: &Codes) -> Result<RecordBatch, ArrowError> {
    match grain {
        Grain::Users => {
            let users = Hashes::of(rows, USER, USER_SEED, codes)?;
            let bots = flags(rows, "is_bot")?;
            let keys = (0..rows.num_rows()).map(|row| user_key(users.at(row), is_bot(bots, row)));
            take_record_batch(rows, &Order::of(keys).rows)
        }
        Grain::ServerUsers => {
            let [name, language, project] =
                [0, 1, 2].map(|column| Hashes::of(rows, SERVER[column], SERVER_SEEDS[column], codes));
            let (name, language, project) = (name?, language?, project?);
            let users = Hashes::of(rows, USER, USER_SEED, codes)?;
            let keys = (0..rows.num_rows()).map(|row| {
                let server = server_hash([name.at(row), language.at(row), project.at(row)]);
                server_user_key(server, users.at(row))
            });
            let order = Order::of(keys);
            let rows = rows.project(&columns_but(rows, USER))?;
            with_keys(&take_record_batch(&rows, &order.rows)?, order.keys())
        }
        _ => Ok(rows.clone()),
    }
}

/// Rows of one grain, column by column.
pub(super) trait Rows: Sized + Send + Sync {
    /// The columns that are read.
    fn columns() -> SchemaRef;

    /// The rows of a batch.
    fn of(batch: &RecordBatch) -> Result<Self, ArrowError>;

    /// The number by which each row is ordered, and told from those of other keys.
    fn keys(&self) -> Vec<u128>;
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
        let counts = |name: &str| numbers::<Int64Type>(batch, name).cloned();
        Ok(UserRows {
            user: texts(batch, USER)?.clone(),
            is_bot: flags(batch, "is_bot")?.clone(),
            events: counts("events")?,
            bytes_sum: numbers::<Decimal128Type>(batch, "bytes_sum")?.clone(),
            new_pages: counts("new_pages")?,
        })
    }

    fn keys(&self) -> Vec<u128> {
        (0..self.user.len())
            .map(|row| user_key(hash(USER_SEED, text(&self.user, row)), is_bot(&self.is_bot, row)))
            .collect()
    }
}

/// Who was where. Its key is all of its columns.
pub(super) struct ServerUserRows {
    server: [StringViewArray; 3],
    /// Rows that have another server than the row before.
    turns: Vec<usize>,
    key_high: Int64Array,
    key_low: Int32Array,
}

impl Rows for ServerUserRows {
    fn columns() -> SchemaRef {
        Grain::ServerUsers.columns_but_bucket()
    }

    fn of(batch: &RecordBatch) -> Result<ServerUserRows, ArrowError> {
        let [name, language, project] = SERVER.map(|column| texts(batch, column).cloned());
        let server = [name?, language?, project?];
        Ok(ServerUserRows {
            turns: turns(&server),
            server,
            key_high: numbers::<Int64Type>(batch, KEY_HIGH)?.clone(),
            key_low: numbers::<Int32Type>(batch, KEY_LOW)?.clone(),
        })
    }

    fn keys(&self) -> Vec<u128> {
        let mut keys = Vec::with_capacity(self.key_high.len());
        for rows in self.servers(0..self.key_high.len()) {
            let texts = self.server(rows.start);
            let server = server_hash([0, 1, 2].map(|column| hash(SERVER_SEEDS[column], texts[column])));
            let halves = self.key_high.values()[rows.clone()]
                .iter()
                .zip(&self.key_low.values()[rows]);
            keys.extend(halves.map(|(high, low)| {
                server & !OF_USER | u128::from(high.cast_unsigned()) << 32 | u128::from(low.cast_unsigned())
            }));
        }
        keys
    }
}

impl ServerUserRows {
    /// The rows, taken apart where their server changes.
    pub(super) fn servers(&self, rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let first = self.turns.partition_point(|turn| *turn <= rows.start);
        let behind = self.turns.partition_point(|turn| *turn < rows.end).max(first);
        let ends = self.turns[first..behind].iter().copied().chain([rows.end]);
        ends.scan(rows.start, |start, end| Some(std::mem::replace(start, end)..end))
            .filter(|rows| !rows.is_empty())
    }

    /// A row's server_name, language and project.
    pub(super) fn server(&self, row: usize) -> [Option<&str>; 3] {
        self.server.each_ref().map(|column| text(column, row))
    }
}

/// The rows behind the first that have another server than the row before, as far as can be seen at a glance; some that
/// have the same may be among them.
fn turns(server: &[StringViewArray; 3]) -> Vec<usize> {
    let mut turns: Vec<usize> = Vec::new();
    for column in server {
        let views = column.views().windows(2).enumerate();
        let known = views.filter(|(row, pair)| {
            pair[0] != pair[1] || column.null_count() > 0 && column.is_valid(*row) != column.is_valid(row + 1)
        });
        turns.extend(known.map(|(row, _)| row + 1));
    }
    turns.sort_unstable();
    turns.dedup();
    turns
}

/// A row's is_bot.
pub(super) fn is_bot(column: &BooleanArray, row: usize) -> Option<bool> {
    column.is_valid(row).then(|| column.value(row))
}

/// A row's text.
pub(super) fn text(column: &StringViewArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row))
}

fn user_key(user: u128, is_bot: Option<bool>) -> u128 {
    user << 2 | is_bot.map_or(0, |is_bot| 1 + u128::from(is_bot))
}

/// A server's users come one after the other, since its own bits are the first.
fn server_user_key(server: u128, user: u128) -> u128 {
    server ^ user & OF_USER
}

fn server_hash(columns: [u128; 3]) -> u128 {
    const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    columns
        .into_iter()
        .fold(0, |hash, column| (hash ^ column).wrapping_mul(ODD).rotate_left(64))
}

fn hash(seed: u64, text: Option<&str>) -> u128 {
    match text {
        Some(text) => {
            let [high, low] = [seed, !seed].map(|seed| XxHash64::oneshot(seed, text.as_bytes()));
            u128::from(high) << 64 | u128::from(low)
        }
        None => u128::from(seed),
    }
}

/// The hashes of a column's texts, each computed once.
struct Hashes {
    numbers: UInt32Array,
    known: Vec<u128>,
    null: u128,
}

impl Hashes {
    fn of(rows: &RecordBatch, column: &str, seed: u64, codes: &Codes) -> Result<Hashes, ArrowError> {
        let known = codes.texts(column)?;
        Ok(Hashes {
            numbers: numbers::<UInt32Type>(rows, column)?.clone(),
            known: known.iter().map(|text| hash(seed, text)).collect(),
            null: hash(seed, None),
        })
    }

    fn at(&self, row: usize) -> u128 {
        match self.numbers.is_valid(row) {
            true => self.known[self.numbers.value(row) as usize],
            false => self.null,
        }
    }
}

/// Keys, and the rows that have them as the keys ascend.
struct Order {
    keys: Vec<u128>,
    rows: UInt32Array,
}

impl Order {
    fn of(keys: impl Iterator<Item = u128>) -> Order {
        let keys: Vec<u128> = keys.collect();
        // The upper half of a key tells nearly all of them apart, and is half the work to sort.
        let mut order: Vec<(u64, u32)> = keys.iter().map(|key| (key >> 64) as u64).zip(0..).collect();
        order.sort_unstable();
        for alike in order.chunk_by_mut(|(one, _), (another, _)| one == another) {
            if alike.len() > 1 {
                alike.sort_unstable_by_key(|(_, row)| keys[*row as usize]);
            }
        }
        let rows = order.into_iter().map(|(_, row)| row).collect();
        Order { keys, rows }
    }

    fn keys(&self) -> impl Iterator<Item = u128> + Clone {
        self.rows.values().iter().map(|row| self.keys[*row as usize])
    }
}

/// The rows with the users' bits of their keys.
fn with_keys(rows: &RecordBatch, keys: impl Iterator<Item = u128> + Clone) -> Result<RecordBatch, ArrowError> {
    let high = Int64Array::from_iter_values(keys.clone().map(|key| (key >> 32) as i64));
    let low = Int32Array::from_iter_values(keys.map(|key| key as i32));
    let (schema, columns) = (rows.schema(), rows.columns().iter().cloned());
    let columns = schema.fields().iter().map(|field| field.name().as_str()).zip(columns);
    let keys: [(&str, ArrayRef); 2] = [(KEY_HIGH, Arc::new(high)), (KEY_LOW, Arc::new(low))];
    RecordBatch::try_from_iter_with_nullable(columns.chain(keys).map(|(name, column)| (name, column, true)))
}

fn columns_but(rows: &RecordBatch, name: &str) -> Vec<usize> {
    let schema = rows.schema();
    (0..rows.num_columns())
        .filter(|column| schema.field(*column).name() != name)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::history::rollup::piece::conformed;

    type Row = ([Option<String>; 4], Option<bool>);

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let text = || prop::option::of(prop_oneof!["[ab]{0,2}", "a text that is too long for a view [ab]"]);
        prop::collection::vec(([text(), text(), text(), text()], any::<Option<bool>>()), 1..60)
    }

    /// Coded rows with the columns of both grains, and their codes.
    fn coded(rows: &[Row]) -> (RecordBatch, Codes) {
        let names = [SERVER[0], SERVER[1], SERVER[2], USER];
        let texts = (0..4).map(|column| {
            let texts: StringViewArray = rows.iter().map(|(texts, _)| texts[column].as_deref()).collect();
            (names[column], Arc::new(texts) as ArrayRef, true)
        });
        let numbers = || Arc::new(Int64Array::from(vec![1; rows.len()])) as ArrayRef;
        let bots: BooleanArray = rows.iter().map(|(_, is_bot)| *is_bot).collect();
        let others = [
            ("is_bot", Arc::new(bots) as ArrayRef, true),
            ("day_bucket", numbers(), true),
            ("events", numbers(), true),
            ("bytes_sum", numbers(), true),
            ("new_pages", numbers(), true),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(texts.chain(others)).unwrap();
        let codes = Codes::default();
        (codes.encoded(&batch).unwrap(), codes)
    }

    fn keys<R: Rows>(grain: Grain, rows: &[Row]) -> Vec<u128> {
        let (rows, codes) = coded(rows);
        let rows = ordered(grain, &rows, &codes).unwrap();
        let written = conformed(grain, &codes.decoded(&rows).unwrap()).unwrap();
        R::of(&written).unwrap().keys()
    }

    proptest! {
        #[test]
        fn keys_ascend_and_tell_apart_what_is_not_the_same(rows in rows()) {
            let users = keys::<UserRows>(Grain::Users, &rows);
            prop_assert!(users.is_sorted());
            let different: BTreeSet<_> = rows.iter().map(|(texts, is_bot)| (&texts[3], is_bot)).collect();
            prop_assert_eq!(BTreeSet::from_iter(users).len(), different.len());

            let of_servers = keys::<ServerUserRows>(Grain::ServerUsers, &rows);
            prop_assert!(of_servers.is_sorted());
            let different: BTreeSet<_> = rows.iter().map(|(texts, _)| texts).collect();
            prop_assert_eq!(BTreeSet::from_iter(of_servers).len(), different.len());
        }

        #[test]
        fn a_row_has_its_key_wherever_it_stands(rows in rows(), others in rows()) {
            let all = [rows.clone(), others].concat();
            for (alone, among) in [
                (keys::<UserRows>(Grain::Users, &rows), keys::<UserRows>(Grain::Users, &all)),
                (keys::<ServerUserRows>(Grain::ServerUsers, &rows), keys::<ServerUserRows>(Grain::ServerUsers, &all)),
            ] {
                prop_assert!(BTreeSet::from_iter(among).is_superset(&BTreeSet::from_iter(alone)));
            }
        }
    }
}
