//! Sums as the rows of each grain, coded.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBuilder, Decimal128Builder, Int64Array, TimestampMicrosecondArray, UInt32Array};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::{Day, HOURS_OF_A_DAY, Hour, NULL, Place, Sums, Tally};
use crate::history::rollup::cut::HOUR;
use crate::history::rollup::grain::{Grain, SERVER};
use crate::history::rollup::piece::micros;

impl Sums {
    /// The rows of a grain, coded, as far as what was added goes. Of hour_users and server_users, which are sets, some may
    /// be there twice.
    ///
    /// # Errors
    /// Arrow's, which is a bug.
    pub(in crate::history) fn rows_of(&self, grain: Grain) -> Result<RecordBatch, ArrowError> {
        match grain {
            Grain::HourUsers => self.hour_users(),
            Grain::Users => self.users(),
            Grain::ServerUsers => self.server_users(),
            Grain::Places => self.places(),
            Grain::Hours => self.of_hours(),
            Grain::TopUsers | Grain::Servers | Grain::Pairs | Grain::PlacesOfDays => Err(
                ArrowError::InvalidArgumentError(format!("{} are not made of sums", grain.name())),
            ),
        }
    }

    fn hour_users(&self) -> Result<RecordBatch, ArrowError> {
        let count = self.hours.iter().map(|hour| hour.users.len()).sum();
        let rows = || {
            self.hours()
                .flat_map(|(hour, sums)| sums.users.iter().map(move |user| (hour, *user)))
        };
        batch([
            ("hour_bucket", instants(count, rows().map(|(hour, _)| hour * HOUR))),
            ("user", coded(count, rows().map(|(_, user)| user))),
        ])
    }

    fn users(&self) -> Result<RecordBatch, ArrowError> {
        let count = self.days.iter().map(|day| day.users.len()).sum();
        let rows = || {
            self.days().flat_map(|(day, sums)| {
                sums.users
                    .iter()
                    .zip(&sums.tallies)
                    .map(move |(who, tally)| (day, who, tally))
            })
        };
        let tallies = || rows().map(|(.., tally)| tally);
        batch([
            (
                "day_bucket",
                instants(count, rows().map(|(day, ..)| day * HOURS_OF_A_DAY * HOUR)),
            ),
            ("user", coded(count, rows().map(|(_, who, _)| who.user))),
            ("is_bot", bots(count, rows().map(|(_, who, _)| who.is_bot))),
            ("events", counts(count, tallies().map(|tally| tally.events))),
            ("bytes_sum", sums(count, tallies())?),
            ("new_pages", counts(count, tallies().map(|tally| tally.new_pages))),
        ])
    }

    fn server_users(&self) -> Result<RecordBatch, ArrowError> {
        let count = self.days.iter().map(|day| day.server_users.len()).sum();
        let rows = || {
            self.days()
                .flat_map(|(day, sums)| sums.server_users.iter().map(move |pair| (day, *pair)))
        };
        let [server_name, language, project] = self.server_columns(count, || rows().map(|(_, (server, _))| server));
        batch([
            (
                "day_bucket",
                instants(count, rows().map(|(day, _)| day * HOURS_OF_A_DAY * HOUR)),
            ),
            server_name,
            language,
            project,
            ("user", coded(count, rows().map(|(_, (_, user))| user))),
        ])
    }

    fn places(&self) -> Result<RecordBatch, ArrowError> {
        let count = self.hours.iter().map(|hour| hour.places.len()).sum();
        let rows = || {
            self.hours()
                .flat_map(|(hour, sums)| sums.places.iter().map(move |(server, place)| (hour, *server, place)))
        };
        let [server_name, language, project] = self.server_columns(count, || rows().map(|(_, server, _)| server));
        let tallies = || rows().map(|(.., place)| &place.tally);
        batch([
            ("hour_bucket", instants(count, rows().map(|(hour, ..)| hour * HOUR))),
            server_name,
            language,
            project,
            ("events", counts(count, tallies().map(|tally| tally.events))),
            ("bytes_sum", sums(count, tallies())?),
            ("bot_events", counts(count, rows().map(|(.., place)| place.bot_events))),
            ("new_pages", counts(count, tallies().map(|tally| tally.new_pages))),
        ])
    }

    fn of_hours(&self) -> Result<RecordBatch, ArrowError> {
        let hours: Vec<(i64, Place, &Hour)> = self.hours().map(|(hour, sums)| (hour, sums.all(), sums)).collect();
        let count = hours.len();
        let tallies = || hours.iter().map(|(_, all, _)| &all.tally);
        batch([
            (
                "hour_bucket",
                instants(count, hours.iter().map(|(hour, ..)| hour * HOUR)),
            ),
            ("events", counts(count, tallies().map(|tally| tally.events))),
            ("bytes_sum", sums(count, tallies())?),
            ("bytes_known", counts(count, tallies().map(|tally| tally.bytes_known))),
            (
                "bot_events",
                counts(count, hours.iter().map(|(_, all, _)| all.bot_events)),
            ),
            (
                "human_events",
                counts(count, hours.iter().map(|(.., sums)| sums.human_events)),
            ),
            (
                "unique_users",
                counts(count, hours.iter().map(|(.., sums)| sums.unique_users())),
            ),
        ])
    }

    /// The columns of the servers of these numbers.
    fn server_columns<I: Iterator<Item = u32>>(
        &self,
        count: usize,
        servers: impl Fn() -> I,
    ) -> [(&'static str, ArrayRef); 3] {
        let texts = |column: usize| servers().map(move |server| self.servers.texts[server as usize][column]);
        [0, 1, 2].map(|column| (SERVER[column], coded(count, texts(column))))
    }

    /// The days, by their numbers since the epoch.
    fn days(&self) -> impl Iterator<Item = (i64, &Day)> {
        self.places_of_days
            .iter()
            .map(|(day, place)| (*day, &self.days[*place as usize]))
    }

    /// The hours, by their numbers since the epoch.
    fn hours(&self) -> impl Iterator<Item = (i64, &Hour)> {
        self.places_of_hours
            .iter()
            .map(|(hour, place)| (*hour, &self.hours[*place as usize]))
    }
}

impl Hour {
    fn unique_users(&self) -> i64 {
        if !self.is_mixed {
            return self.users.len() as i64;
        }
        let mut users = self.users.clone();
        users.sort_unstable();
        users.dedup();
        users.len() as i64
    }

    /// What all servers add up to.
    fn all(&self) -> Place {
        self.places.iter().fold(Place::default(), |mut all, (_, place)| {
            all.tally.add(&place.tally);
            all.bot_events += place.bot_events;
            all
        })
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
