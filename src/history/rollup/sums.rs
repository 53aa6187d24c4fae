//! Events, or rows of the finest grain, added up: what `views/rollup.sql` and the coarser `views/rollup_*.sql` define, in
//! one pass.
//!
//! Texts come as numbers. Rows of one hour are added up in a table of their own, which stays in a core's cache while
//! events come as they mostly do, in the order of their time; the coarser grains are made of these tables.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, BooleanBuilder, Decimal128Builder, Int64Array, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::datatypes::{Decimal128Type, Int64Type, TimestampMicrosecondType, UInt32Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::columns::{flags, numbers};
use super::cut::{HOUR, Seconds};
use super::grain::{Grain, SERVER};
use super::piece::micros;
use crate::history::mixed::Mixed;

const HOURS_OF_A_DAY: i64 = 24;
/// In the place of a number: there is no text. No column has so many texts.
const NULL: u32 = u32::MAX;

/// What rows add up to.
#[derive(Default)]
pub(in crate::history) struct Sums {
    servers: Servers,
    tables: Vec<Table>,
    /// The place of each hour's table.
    hours: BTreeMap<i64, usize>,
    /// The hour of the last row, and its table.
    last: Option<(i64, usize)>,
    rows: usize,
}

/// What the rows of one key add up to.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    events: i64,
    /// Events whose bytes_changed is known.
    bytes_known: i64,
    new_pages: i64,
    bytes_sum: i128,
}

/// Tallies by keys.
#[derive(Default)]
struct Table {
    places: HashMap<u64, u32, BuildHasherDefault<Mixed>>,
    rows: Vec<(u64, Tally)>,
}

/// Servers by their numbers: what the texts of server_name, language and project are in their columns.
#[derive(Default)]
struct Servers {
    numbers: HashMap<u128, u32, BuildHasherDefault<Mixed>>,
    texts: Vec<[u32; 3]>,
}

impl Sums {
    /// Adds coded events, those from the first second to the last, both included.
    ///
    /// # Errors
    /// Arrow's, where a column is missing or of another type, or there are too many servers.
    pub(in crate::history) fn add_events(
        &mut self,
        events: &RecordBatch,
        (first, last): Seconds,
    ) -> Result<(), ArrowError> {
        let times = numbers::<Int64Type>(events, "timestamp")?;
        let keys = Keys::of(events)?;
        let bytes = numbers::<Int64Type>(events, "bytes_changed")?;
        let new_pages = flags(events, "is_new_page")?;
        for row in 0..events.num_rows() {
            let time = times.value(row);
            if times.is_null(row) || time < first || last < time {
                continue;
            }
            let known = bytes.is_valid(row);
            let tally = Tally {
                events: 1,
                bytes_known: i64::from(known),
                new_pages: i64::from(new_pages.is_valid(row) && new_pages.value(row)),
                bytes_sum: if known { i128::from(bytes.value(row)) } else { 0 },
            };
            let key = keys.at(row, &mut self.servers)?;
            self.add(time.div_euclid(HOUR), key, &tally);
        }
        Ok(())
    }

    /// Adds coded rows of the finest grain; columns of servers and new pages may be left out where nobody asks for them.
    ///
    /// # Errors
    /// As [`Sums::add_events`].
    pub(in crate::history) fn add_rows(&mut self, rows: &RecordBatch) -> Result<(), ArrowError> {
        let hours = numbers::<TimestampMicrosecondType>(rows, "hour_bucket")?;
        let keys = Keys::of(rows)?;
        let [events, known] = ["events", "bytes_known"].map(|name| numbers::<Int64Type>(rows, name));
        let (events, known) = (events?, known?);
        let new_pages = numbers::<Int64Type>(rows, "new_pages").ok();
        let bytes = numbers::<Decimal128Type>(rows, "bytes_sum")?;
        for row in 0..rows.num_rows() {
            let tally = Tally {
                events: events.value(row),
                bytes_known: known.value(row),
                new_pages: new_pages.as_ref().map_or(0, |new_pages| new_pages.value(row)),
                bytes_sum: if bytes.is_valid(row) { bytes.value(row) } else { 0 },
            };
            let key = keys.at(row, &mut self.servers)?;
            self.add(hours.value(row).div_euclid(micros(HOUR)), key, &tally);
        }
        Ok(())
    }

    /// Rows of the finest grain.
    pub(in crate::history) fn len(&self) -> usize {
        self.rows
    }

    /// The rows of a grain, coded, as far as what was added goes.
    ///
    /// # Errors
    /// Arrow's, which is a bug.
    pub(in crate::history) fn rows_of(&self, grain: Grain) -> Result<RecordBatch, ArrowError> {
        match grain {
            Grain::Detail => self.detail(),
            Grain::Users => self.users(),
            Grain::ServerUsers => self.server_users(),
            Grain::Places => self.places(),
            Grain::Hours => self.of_hours(),
            Grain::TopUsers | Grain::Servers | Grain::Pairs => Err(ArrowError::InvalidArgumentError(format!(
                "{} are not made of sums",
                grain.name()
            ))),
        }
    }

    fn detail(&self) -> Result<RecordBatch, ArrowError> {
        let count = self.rows;
        let rows = || {
            self.hours()
                .flat_map(|(hour, table)| table.rows.iter().map(move |row| (hour, row)))
        };
        let [server_name, language, project] = self.server_columns(count, || rows().map(|(_, (key, _))| *key));
        let tallies = || rows().map(|(_, (_, tally))| tally);
        batch([
            ("hour_bucket", instants(count, rows().map(|(hour, _)| hour * HOUR))),
            ("user", coded(count, rows().map(|(_, (key, _))| user_of(*key)))),
            ("is_bot", bots(count, rows().map(|(_, (key, _))| bot_of(*key)))),
            server_name,
            language,
            project,
            ("events", counts(count, tallies().map(|tally| tally.events))),
            ("bytes_sum", sums(count, tallies())?),
            ("bytes_known", counts(count, tallies().map(|tally| tally.bytes_known))),
            ("new_pages", counts(count, tallies().map(|tally| tally.new_pages))),
        ])
    }

    fn users(&self) -> Result<RecordBatch, ArrowError> {
        const SERVER: u64 = (u32::MAX as u64) & !BOT;
        let mut days: BTreeMap<i64, Table> = BTreeMap::new();
        for (hour, table) in self.hours() {
            let day = days.entry(hour.div_euclid(HOURS_OF_A_DAY)).or_default();
            for (key, tally) in &table.rows {
                day.at(key & !SERVER).add(tally);
            }
        }
        let count = days.values().map(|day| day.rows.len()).sum();
        let rows = || {
            days.iter()
                .flat_map(|(day, table)| table.rows.iter().map(move |row| (*day, row)))
        };
        let tallies = || rows().map(|(_, (_, tally))| tally);
        batch([
            (
                "day_bucket",
                instants(count, rows().map(|(day, _)| day * HOURS_OF_A_DAY * HOUR)),
            ),
            ("user", coded(count, rows().map(|(_, (key, _))| user_of(*key)))),
            ("is_bot", bots(count, rows().map(|(_, (key, _))| bot_of(*key)))),
            ("events", counts(count, tallies().map(|tally| tally.events))),
            ("bytes_sum", sums(count, tallies())?),
            ("new_pages", counts(count, tallies().map(|tally| tally.new_pages))),
        ])
    }

    fn server_users(&self) -> Result<RecordBatch, ArrowError> {
        let mut days: BTreeMap<i64, HashSet<u64, BuildHasherDefault<Mixed>>> = BTreeMap::new();
        for (hour, table) in self.hours() {
            let named = table
                .rows
                .iter()
                .map(|(key, _)| *key)
                .filter(|key| user_of(*key) != NULL);
            let day = days.entry(hour.div_euclid(HOURS_OF_A_DAY)).or_default();
            day.extend(named.map(|key| key & !BOT));
        }
        let count = days.values().map(HashSet::len).sum();
        let rows = || days.iter().flat_map(|(day, keys)| keys.iter().map(|key| (*day, *key)));
        let [server_name, language, project] = self.server_columns(count, || rows().map(|(_, key)| key));
        batch([
            (
                "day_bucket",
                instants(count, rows().map(|(day, _)| day * HOURS_OF_A_DAY * HOUR)),
            ),
            server_name,
            language,
            project,
            ("user", coded(count, rows().map(|(_, key)| user_of(key)))),
        ])
    }

    fn places(&self) -> Result<RecordBatch, ArrowError> {
        let mut places: Vec<(i64, u64, Tally, i64)> = Vec::new();
        for (hour, table) in self.hours() {
            let (mut all, mut of_bots) = (Table::default(), Table::default());
            for (key, tally) in &table.rows {
                let place = key & u64::from(u32::MAX) & !BOT;
                all.at(place).add(tally);
                if bot_of(*key) == Some(true) {
                    of_bots.at(place).add(tally);
                }
            }
            let bots = |place: u64| of_bots.get(place).map_or(0, |tally| tally.events);
            places.extend(
                all.rows
                    .iter()
                    .map(|(place, tally)| (hour, *place, *tally, bots(*place))),
            );
        }
        let count = places.len();
        let rows = || places.iter();
        let [server_name, language, project] = self.server_columns(count, || rows().map(|(_, place, ..)| *place));
        let tallies = || rows().map(|(_, _, tally, _)| tally);
        batch([
            ("hour_bucket", instants(count, rows().map(|(hour, ..)| hour * HOUR))),
            server_name,
            language,
            project,
            ("events", counts(count, tallies().map(|tally| tally.events))),
            ("bytes_sum", sums(count, tallies())?),
            ("bot_events", counts(count, rows().map(|(.., bots)| *bots))),
            ("new_pages", counts(count, tallies().map(|tally| tally.new_pages))),
        ])
    }

    fn of_hours(&self) -> Result<RecordBatch, ArrowError> {
        let mut seen: HashMap<u32, i64, BuildHasherDefault<Mixed>> = HashMap::default();
        let hours: Vec<(i64, Tally, [i64; 3])> = self
            .hours()
            .map(|(hour, table)| {
                let (mut all, mut bots, mut humans, mut users) = (Tally::default(), 0, 0, 0);
                for (key, tally) in &table.rows {
                    all.add(tally);
                    match bot_of(*key) {
                        Some(true) => bots += tally.events,
                        Some(false) => humans += tally.events,
                        None => {}
                    }
                    let user = user_of(*key);
                    users += i64::from(user != NULL && seen.insert(user, hour) != Some(hour));
                }
                (hour, all, [bots, humans, users])
            })
            .collect();
        let count = hours.len();
        let column = |number: usize| counts(count, hours.iter().map(move |(.., numbers)| numbers[number]));
        batch([
            (
                "hour_bucket",
                instants(count, hours.iter().map(|(hour, ..)| hour * HOUR)),
            ),
            ("events", counts(count, hours.iter().map(|(_, all, _)| all.events))),
            ("bytes_sum", sums(count, hours.iter().map(|(_, all, _)| all))?),
            (
                "bytes_known",
                counts(count, hours.iter().map(|(_, all, _)| all.bytes_known)),
            ),
            ("bot_events", column(0)),
            ("human_events", column(1)),
            ("unique_users", column(2)),
        ])
    }

    /// The columns of the servers that keys have.
    fn server_columns<I: Iterator<Item = u64>>(
        &self,
        count: usize,
        keys: impl Fn() -> I,
    ) -> [(&'static str, ArrayRef); 3] {
        let texts = |column: usize| keys().map(move |key| self.servers.texts[server_of(key)][column]);
        [0, 1, 2].map(|column| (SERVER[column], coded(count, texts(column))))
    }

    fn add(&mut self, hour: i64, key: u64, tally: &Tally) {
        let place = match self.last {
            Some((last, place)) if last == hour => place,
            _ => *self.hours.entry(hour).or_insert_with(|| {
                self.tables.push(Table::default());
                self.tables.len() - 1
            }),
        };
        self.last = Some((hour, place));
        let table = &mut self.tables[place];
        let before = table.rows.len();
        table.at(key).add(tally);
        self.rows += table.rows.len() - before;
    }

    /// The hours' tables, by numbers of hours since the epoch.
    fn hours(&self) -> impl Iterator<Item = (i64, &Table)> {
        self.hours.iter().map(|(hour, place)| (*hour, &self.tables[*place]))
    }
}

impl Tally {
    fn add(&mut self, more: &Tally) {
        self.events += more.events;
        self.bytes_known += more.bytes_known;
        self.new_pages += more.new_pages;
        self.bytes_sum += more.bytes_sum;
    }
}

impl Table {
    fn get(&self, key: u64) -> Option<&Tally> {
        let place = self.places.get(&key)?;
        Some(&self.rows[*place as usize].1)
    }

    fn at(&mut self, key: u64) -> &mut Tally {
        let next = self.rows.len();
        // No table has so many rows: they are taken out long before.
        let place = *self.places.entry(key).or_insert(next as u32) as usize;
        if place == next {
            self.rows.push((key, Tally::default()));
        }
        &mut self.rows[place].1
    }
}

/// The lowest bits of a key: is_bot. Above them stands the number of the server, and in the upper half that of the user.
const BOT: u64 = 3;

/// Servers that a key can tell apart.
const MOST_SERVERS: usize = 1 << 30;

fn user_of(key: u64) -> u32 {
    (key >> 32) as u32
}

fn server_of(key: u64) -> usize {
    (key as u32 >> 2) as usize
}

fn bot_of(key: u64) -> Option<bool> {
    match key & BOT {
        0 => None,
        bot => Some(bot == 2),
    }
}

/// The columns that make a row's key but for its hour.
struct Keys<'a> {
    user: &'a UInt32Array,
    is_bot: &'a BooleanArray,
    /// Those that are there.
    server: [Option<&'a UInt32Array>; 3],
}

impl Keys<'_> {
    fn of(rows: &RecordBatch) -> Result<Keys<'_>, ArrowError> {
        let server = SERVER.map(|name| numbers::<UInt32Type>(rows, name).ok());
        Ok(Keys {
            user: numbers(rows, "user")?,
            is_bot: flags(rows, "is_bot")?,
            server,
        })
    }

    #[inline]
    fn at(&self, row: usize, servers: &mut Servers) -> Result<u64, ArrowError> {
        let number = |column: &UInt32Array| if column.is_valid(row) { column.value(row) } else { NULL };
        let server = servers.number(self.server.map(|column| column.map_or(NULL, number)))?;
        let bot = if self.is_bot.is_valid(row) {
            1 + u64::from(self.is_bot.value(row))
        } else {
            0
        };
        Ok(u64::from(number(self.user)) << 32 | u64::from(server) << 2 | bot)
    }
}

impl Servers {
    #[inline]
    fn number(&mut self, texts: [u32; 3]) -> Result<u32, ArrowError> {
        let packed = texts.iter().fold(0, |packed, text| packed << 32 | u128::from(*text));
        if let Some(number) = self.numbers.get(&packed) {
            return Ok(*number);
        }
        if self.texts.len() == MOST_SERVERS {
            return Err(ArrowError::ComputeError("too many different servers".to_owned()));
        }
        let number = self.texts.len() as u32;
        self.texts.push(texts);
        self.numbers.insert(packed, number);
        Ok(number)
    }
}

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
}

fn instants(rows: usize, seconds: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(gathered(rows, seconds.map(micros))).with_timezone("UTC"))
}

fn coded(rows: usize, numbers: impl Iterator<Item = u32>) -> ArrayRef {
    let numbers = gathered(rows, numbers);
    let known = numbers
        .contains(&NULL)
        .then(|| numbers.iter().map(|number| *number != NULL).collect());
    Arc::new(UInt32Array::new(numbers.into(), known))
}

fn bots(rows: usize, bots: impl Iterator<Item = Option<bool>>) -> ArrayRef {
    let mut column = BooleanBuilder::with_capacity(rows);
    column.extend(bots);
    Arc::new(column.finish())
}

fn counts(rows: usize, counts: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from(gathered(rows, counts)))
}

/// Sums of bytes: null where there is nothing to sum.
fn sums<'a>(rows: usize, tallies: impl Iterator<Item = &'a Tally>) -> Result<ArrayRef, ArrowError> {
    let mut column = Decimal128Builder::with_capacity(rows);
    column.extend(tallies.map(|tally| (tally.bytes_known > 0).then_some(tally.bytes_sum)));
    Ok(Arc::new(column.finish().with_precision_and_scale(38, 0)?))
}

/// So many values, in room that is asked for once.
fn gathered<T>(rows: usize, values: impl Iterator<Item = T>) -> Vec<T> {
    let mut all = Vec::with_capacity(rows);
    all.extend(values);
    all
}
