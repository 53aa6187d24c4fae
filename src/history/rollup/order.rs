//! Users as numbers, and the order of rows in pieces whose grain has users in it, so that any number of them can be united
//! without being held.
//!
//! A row's key is a number made of its texts' hashes, by which the rows ascend. It has so many bits that different keys
//! have different numbers: among ten million users the chance that any two are taken for one is one in ten to the fifteenth.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Int32Array, Int64Array, StringViewArray, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Decimal128Type, Int32Type, Int64Type, SchemaRef, TimestampMicrosecondType, UInt32Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use twox_hash::XxHash64;

use super::columns::{flags, numbers, texts};
use super::cut::HOUR;
use super::grain::{Grain, KEY_HIGH, KEY_LOW, SERVER};
use super::piece::micros;
use crate::history::scan::Codes;

/// To be changed when the keys are: pieces that have others cannot be united with those that have these.
pub(super) const VERSION: &str = "XXH64 under two seeds for each column";

/// What the hashes of the columns that make a server begin with,
const SERVER_SEEDS: [u64; 3] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3];
/// and those of users.
const USER_SEED: u64 = 0x5896_5cc7_5374_cc3f;
const USER: &str = "user";
const HOUR_BUCKET: &str = "hour_bucket";
/// The bits of a key that tell the users of one hour or server apart.
const OF_USER: u128 = (1 << 96) - 1;

/// Coded rows with their keys and in their order, where their grain has one; each row of a set once.
pub(super) fn ordered(grain: Grain, rows: &RecordBatch, hashes: &Hashes) -> Result<RecordBatch, ArrowError> {
    match grain {
        Grain::Users => {
            let bots = flags(rows, "is_bot")?;
            let keys = hashes.of_users(rows)?.zip(0..);
            let keys = keys.map(|(user, row)| user_key(user, is_bot(bots, row)));
            take_record_batch(rows, &Order::of(keys.collect()).rows)
        }
        Grain::HourUsers => {
            let hours = numbers::<TimestampMicrosecondType>(rows, HOUR_BUCKET)?.values().iter();
            let keys = hours.zip(hashes.of_users(rows)?);
            let mut keys: Vec<u128> = keys.map(|(hour, user)| hour_user_key(*hour, user)).collect();
            keys.sort_unstable();
            keys.dedup();
            // All that there is to a row is in its key.
            let hours = TimestampMicrosecondArray::from_iter_values(keys.iter().map(|key| hour_of(*key)));
            let hours: ArrayRef = Arc::new(hours.with_timezone("UTC"));
            with_keys([(HOUR_BUCKET, hours)].into_iter(), keys.iter().copied())
        }
        Grain::ServerUsers => {
            let keys = hashes.of_servers(rows)?.zip(hashes.of_users(rows)?);
            let keys = keys.map(|(server, user)| server_user_key(server, user)).collect();
            let days = numbers::<TimestampMicrosecondType>(rows, "day_bucket")?.values();
            let mut order = Order::of(keys);
            order.once_each(|row| days[row]);
            let rows = rows.project(&columns_but(rows, USER))?;
            let rows = take_record_batch(&rows, &order.rows)?;
            let (schema, columns) = (rows.schema(), rows.columns().iter().cloned());
            let names = schema.fields().iter().map(|field| field.name().as_str());
            with_keys(names.zip(columns), order.keys())
        }
        _ => Ok(rows.clone()),
    }
}

/// Rows as a piece has them, of one or of several, in their order, where their grain has one.
pub(super) fn reordered(grain: Grain, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let keys = match grain {
        Grain::Users => UserRows::of(rows)?.keys(),
        Grain::HourUsers => HourUserRows::of(rows)?.keys(),
        Grain::ServerUsers => ServerUserRows::of(rows)?.keys(),
        _ => return Ok(rows.clone()),
    };
    take_record_batch(rows, &Order::of(keys).rows)
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

/// Who was there when. Its key is all of its columns.
pub(super) struct HourUserRows {
    pub(super) hours: TimestampMicrosecondArray,
    key_high: Int64Array,
    key_low: Int32Array,
}

impl Rows for HourUserRows {
    fn columns() -> SchemaRef {
        Grain::HourUsers.columns()
    }

    fn of(batch: &RecordBatch) -> Result<HourUserRows, ArrowError> {
        Ok(HourUserRows {
            hours: numbers::<TimestampMicrosecondType>(batch, HOUR_BUCKET)?.clone(),
            key_high: numbers::<Int64Type>(batch, KEY_HIGH)?.clone(),
            key_low: numbers::<Int32Type>(batch, KEY_LOW)?.clone(),
        })
    }

    fn keys(&self) -> Vec<u128> {
        let halves = self.key_high.values().iter().zip(self.key_low.values());
        let rows = self.hours.values().iter().zip(halves);
        rows.map(|(hour, (high, low))| hour_user_key(*hour, user_bits(*high, *low)))
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
            keys.extend(halves.map(|(high, low)| server & !OF_USER | user_bits(*high, *low)));
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

/// An hour's users come one after the other, and the hours in their order.
fn hour_user_key(hour: i64, user: u128) -> u128 {
    let number = hour.div_euclid(micros(HOUR)) - i64::from(i32::MIN);
    (number as u128) << 96 | user & OF_USER
}

/// The hour of such a key, microseconds since the epoch.
fn hour_of(key: u128) -> i64 {
    ((key >> 96) as i64 + i64::from(i32::MIN)) * micros(HOUR)
}

/// The bits of a key that two columns hold.
fn user_bits(high: i64, low: i32) -> u128 {
    u128::from(high.cast_unsigned()) << 32 | u128::from(low.cast_unsigned())
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

/// The hashes of all texts, each computed once.
pub(super) struct Hashes {
    users: Vec<u128>,
    server: [Vec<u128>; 3],
}

impl Hashes {
    /// Those of these codes' texts.
    ///
    /// # Errors
    /// As [`Codes::texts`].
    pub(super) fn of(codes: &Codes) -> Result<Hashes, ArrowError> {
        let hashes = |column: &str, seed: u64| -> Result<Vec<u128>, ArrowError> {
            Ok(codes.texts(column)?.iter().map(|text| hash(seed, text)).collect())
        };
        let [name, language, project] = [0, 1, 2].map(|column| hashes(SERVER[column], SERVER_SEEDS[column]));
        Ok(Hashes {
            users: hashes(USER, USER_SEED)?,
            server: [name?, language?, project?],
        })
    }

    fn of_users<'a>(&'a self, rows: &'a RecordBatch) -> Result<impl Iterator<Item = u128> + 'a, ArrowError> {
        of_column(rows, USER, USER_SEED, &self.users)
    }

    fn of_servers<'a>(&'a self, rows: &'a RecordBatch) -> Result<impl Iterator<Item = u128> + 'a, ArrowError> {
        let [name, language, project] =
            [0, 1, 2].map(|column| of_column(rows, SERVER[column], SERVER_SEEDS[column], &self.server[column]));
        let columns = name?.zip(language?).zip(project?);
        Ok(columns.map(|((name, language), project)| server_hash([name, language, project])))
    }
}

fn of_column<'a>(
    rows: &'a RecordBatch,
    name: &str,
    seed: u64,
    known: &'a [u128],
) -> Result<impl Iterator<Item = u128> + 'a, ArrowError> {
    let null = hash(seed, None);
    let numbers = numbers::<UInt32Type>(rows, name)?;
    Ok(numbers
        .iter()
        .map(move |number| number.map_or(null, |number| known[number as usize])))
}

/// Keys, and the rows that have them as the keys ascend; rows of one key in their own order.
struct Order {
    keys: Vec<u128>,
    rows: UInt32Array,
}

impl Order {
    fn of(keys: Vec<u128>) -> Order {
        // The upper half of a key tells nearly all of them apart, and is half the work to sort.
        let mut order: Vec<(u64, u32)> = keys.iter().map(|key| (key >> 64) as u64).zip(0..).collect();
        order.sort_unstable();
        for alike in order.chunk_by_mut(|(one, _), (another, _)| one == another) {
            if alike.len() > 1 {
                alike.sort_unstable_by_key(|(_, row)| (keys[*row as usize], *row));
            }
        }
        let rows = order.into_iter().map(|(_, row)| row).collect();
        Order { keys, rows }
    }

    /// Leaves out rows that are the same as the one before: of the same key and, where rows ascend by it, of the same day.
    fn once_each(&mut self, day: impl Fn(usize) -> i64) {
        let mut rows = self.rows.values().to_vec();
        rows.dedup_by_key(|row| (self.keys[*row as usize], day(*row as usize)));
        self.rows = rows.into();
    }

    fn keys(&self) -> impl Iterator<Item = u128> + Clone {
        self.rows.values().iter().map(|row| self.keys[*row as usize])
    }
}

/// Columns with the users' bits of their rows' keys.
fn with_keys<'a>(
    columns: impl Iterator<Item = (&'a str, ArrayRef)>,
    keys: impl Iterator<Item = u128> + Clone,
) -> Result<RecordBatch, ArrowError> {
    let high = Int64Array::from_iter_values(keys.clone().map(|key| (key >> 32) as i64));
    let low = Int32Array::from_iter_values(keys.map(|key| key as i32));
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
        let times = |every: i64| -> ArrayRef {
            let times = (0..rows.len() as i64).map(|row| row / 8 * micros(every));
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
        };
        let bots: BooleanArray = rows.iter().map(|(_, is_bot)| *is_bot).collect();
        let others = [
            ("is_bot", Arc::new(bots) as ArrayRef, true),
            ("hour_bucket", times(HOUR), true),
            ("day_bucket", times(24 * HOUR), true),
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
        let rows = ordered(grain, &rows, &Hashes::of(&codes).unwrap()).unwrap();
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

            // A row of a set is there once for each hour.
            let of_hours = keys::<HourUserRows>(Grain::HourUsers, &rows);
            prop_assert!(of_hours.is_sorted());
            let rows = rows.iter().enumerate().map(|(row, (texts, _))| (row / 8, &texts[3]));
            prop_assert_eq!(of_hours.len(), rows.collect::<BTreeSet<_>>().len());
        }

        #[test]
        fn pieces_that_become_one_are_in_their_order(rows in rows()) {
            let (rows, codes) = coded(&rows);
            for grain in [Grain::Users, Grain::ServerUsers, Grain::HourUsers] {
                let rows = ordered(grain, &rows, &Hashes::of(&codes).unwrap()).unwrap();
                let rows = conformed(grain, &codes.decoded(&rows).unwrap()).unwrap();
                let backwards: UInt32Array = (0..rows.num_rows() as u32).rev().collect();
                let backwards = take_record_batch(&rows, &backwards).unwrap();
                let again = reordered(grain, &backwards).unwrap();
                let keys = |rows: &RecordBatch| match grain {
                    Grain::Users => UserRows::of(rows).unwrap().keys(),
                    Grain::ServerUsers => ServerUserRows::of(rows).unwrap().keys(),
                    _ => HourUserRows::of(rows).unwrap().keys(),
                };
                prop_assert_eq!(keys(&again), keys(&rows));
            }
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
