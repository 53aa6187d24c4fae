//! Events added up: what `views/rollup.sql` and the coarser `views/rollup_*.sql` define, in one pass.
//!
//! Texts come as numbers. What an event adds to is looked up by where its user was last met: events come mostly in the order
//! of their time, so that this is nearly always the day and the hour at hand. A batch is gone through several times, each
//! time for one thing: a core then waits for the memory of many events at once.

mod rows;

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;

use arrow::array::{Array, BooleanArray, Int64Array, UInt32Array};
use arrow::datatypes::{Int64Type, UInt32Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::columns::{flags, numbers};
use super::cut::{HOUR, Seconds};
use super::grain::SERVER;
use super::order::is_bot;
use crate::history::mixed::Mixed;

const HOURS_OF_A_DAY: i64 = 24;
/// In the place of a number: there is no text. No column has so many texts.
const NULL: u32 = u32::MAX;
/// In the place of a place: there is none.
const NOWHERE: u32 = u32::MAX;

/// What events add up to.
#[derive(Default)]
pub(in crate::history) struct Sums {
    servers: Servers,
    days: Vec<Day>,
    hours: Vec<Hour>,
    /// The places of days and hours, by their numbers since the epoch.
    places_of_days: BTreeMap<i64, u32>,
    places_of_hours: BTreeMap<i64, u32>,
    /// The hour of the last event, with its own place and that of its day.
    last: Option<(i64, u32, u32)>,
    /// Where each user was last met. The first is nobody; the others are in the order of their numbers.
    latest: Vec<Latest>,
}

/// What the events of one key add up to.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    events: i64,
    /// Events whose bytes_changed is known.
    bytes_known: i64,
    new_pages: i64,
    bytes_sum: i128,
}

#[derive(Default)]
struct Day {
    users: Vec<Who>,
    /// What each of them adds up to.
    tallies: Vec<Tally>,
    /// The places of those users who have been met elsewhere since.
    users_before: HashMap<u64, u32, BuildHasherDefault<Mixed>>,
    /// Who was on which server, by numbers; some stand twice.
    server_users: Vec<(u32, u32)>,
}

#[derive(Default)]
struct Hour {
    /// By the numbers of servers.
    places: Vec<(u32, Place)>,
    places_of_servers: HashMap<u32, u32, BuildHasherDefault<Mixed>>,
    human_events: i64,
    /// Those who have a name, by number.
    users: Vec<u32>,
    /// Whether other hours came between its events, so that users may stand twice.
    is_mixed: bool,
}

/// A user's number, and is_bot.
#[derive(Debug, Clone, Copy)]
struct Who {
    user: u32,
    is_bot: Option<bool>,
}

impl Who {
    fn key(self) -> u64 {
        u64::from(self.user) << 2 | self.is_bot.map_or(0, |is_bot| 1 + u64::from(is_bot))
    }
}

/// An event of the batch at hand.
struct Met {
    /// Its row in the batch.
    row: usize,
    /// The places of its hour and of its day.
    hour: u32,
    day: u32,
    who: Who,
    /// The place of the user among those of the day.
    place: u32,
    server: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    tally: Tally,
    bot_events: i64,
}

/// Where a user was last met.
#[derive(Clone, Copy)]
struct Latest {
    /// The places of the hour and of the day, among those of the sums,
    hour: u32,
    day: u32,
    /// and among the day's users, with this is_bot.
    place: u32,
    is_bot: Option<bool>,
    /// The server of that day.
    server: u32,
}

const NEVER_MET: Latest = Latest {
    hour: NOWHERE,
    day: NOWHERE,
    place: NOWHERE,
    is_bot: None,
    server: NOWHERE,
};

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
        let measures = Measures {
            bytes: numbers::<Int64Type>(events, "bytes_changed")?,
            new_pages: flags(events, "is_new_page")?,
        };
        let mut met = self.met(events, (first, last))?;
        self.meet(&mut met);
        for met in &met {
            self.days[met.day as usize].tallies[met.place as usize].add(&measures.of(met.row));
        }
        for met in &met {
            self.hours[met.hour as usize].add(met, &measures.of(met.row));
        }
        Ok(())
    }

    /// About as many rows as the grains have together.
    pub(in crate::history) fn len(&self) -> usize {
        let of_days = self.days.iter().map(|day| day.users.len() + day.server_users.len());
        let of_hours = self.hours.iter().map(|hour| hour.users.len() + hour.places.len());
        of_days.chain(of_hours).sum()
    }

    /// The events from the first second to the last, without the places of their users.
    fn met(&mut self, events: &RecordBatch, (first, last): Seconds) -> Result<Vec<Met>, ArrowError> {
        let times = numbers::<Int64Type>(events, "timestamp")?;
        let users = numbers::<UInt32Type>(events, "user")?;
        let bots = flags(events, "is_bot")?;
        let [name, language, project] = SERVER.map(|column| numbers::<UInt32Type>(events, column));
        let server = [name?, language?, project?];
        let mut met = Vec::with_capacity(events.num_rows());
        for row in 0..events.num_rows() {
            let time = times.value(row);
            if times.is_null(row) || time < first || last < time {
                continue;
            }
            let (hour, day) = self.places_of(time.div_euclid(HOUR));
            met.push(Met {
                row,
                hour,
                day,
                who: Who {
                    user: number(users, row),
                    is_bot: is_bot(bots, row),
                },
                place: NOWHERE,
                server: self.servers.number(server.map(|column| number(column, row)))?,
            });
        }
        Ok(met)
    }

    /// Finds or makes the places of the events' users, and notes who was there when and where.
    fn meet(&mut self, met: &mut [Met]) {
        for met in met {
            let user = met.who.user.wrapping_add(1) as usize;
            if user >= self.latest.len() {
                self.latest.resize(user + 1, NEVER_MET);
            }
            let latest = &mut self.latest[user];
            if (latest.day, latest.is_bot) != (met.day, met.who.is_bot) {
                if latest.day != NOWHERE {
                    let before = Who {
                        is_bot: latest.is_bot,
                        ..met.who
                    };
                    let users_before = &mut self.days[latest.day as usize].users_before;
                    users_before.insert(before.key(), latest.place);
                }
                if latest.day != met.day {
                    latest.server = NOWHERE;
                }
                latest.place = self.days[met.day as usize].place_of(met.who);
                (latest.day, latest.is_bot) = (met.day, met.who.is_bot);
            }
            met.place = latest.place;
            if met.who.user == NULL {
                continue;
            }
            if latest.hour != met.hour {
                latest.hour = met.hour;
                self.hours[met.hour as usize].users.push(met.who.user);
            }
            if latest.server != met.server {
                latest.server = met.server;
                let server_users = &mut self.days[met.day as usize].server_users;
                server_users.push((met.server, met.who.user));
            }
        }
    }

    /// The places of an hour and of its day.
    fn places_of(&mut self, hour: i64) -> (u32, u32) {
        if let Some((last, hour_place, day_place)) = self.last
            && last == hour
        {
            return (hour_place, day_place);
        }
        // There are fewer hours than that from the year 1 to 9999.
        let next = self.hours.len() as u32;
        let hour_place = *self.places_of_hours.entry(hour).or_insert(next);
        match self.hours.get_mut(hour_place as usize) {
            Some(hour) => hour.is_mixed = true,
            None => self.hours.push(Hour::default()),
        }
        let next = self.days.len() as u32;
        let day = hour.div_euclid(HOURS_OF_A_DAY);
        let day_place = *self.places_of_days.entry(day).or_insert(next);
        if day_place == next {
            self.days.push(Day::default());
        }
        self.last = Some((hour, hour_place, day_place));
        (hour_place, day_place)
    }
}

/// What is added up of an event.
struct Measures<'a> {
    bytes: &'a Int64Array,
    new_pages: &'a BooleanArray,
}

impl Measures<'_> {
    #[inline]
    fn of(&self, row: usize) -> Tally {
        let known = self.bytes.is_valid(row);
        Tally {
            events: 1,
            bytes_known: i64::from(known),
            new_pages: i64::from(self.new_pages.is_valid(row) && self.new_pages.value(row)),
            bytes_sum: if known { i128::from(self.bytes.value(row)) } else { 0 },
        }
    }
}

impl Tally {
    #[inline]
    fn add(&mut self, more: &Tally) {
        self.events += more.events;
        self.bytes_known += more.bytes_known;
        self.new_pages += more.new_pages;
        self.bytes_sum += more.bytes_sum;
    }
}

impl Day {
    /// The place of a user who was last met elsewhere, or never.
    fn place_of(&mut self, who: Who) -> u32 {
        if let Some(place) = self.users_before.get(&who.key()) {
            return *place;
        }
        self.users.push(who);
        self.tallies.push(Tally::default());
        // No batch has so many: they are taken out long before.
        (self.users.len() - 1) as u32
    }
}

impl Hour {
    fn add(&mut self, Met { who, server, .. }: &Met, tally: &Tally) {
        let next = self.places.len();
        let place = *self.places_of_servers.entry(*server).or_insert(next as u32) as usize;
        if place == next {
            self.places.push((*server, Place::default()));
        }
        let (_, sums) = &mut self.places[place];
        sums.tally.add(tally);
        match who.is_bot {
            Some(true) => sums.bot_events += tally.events,
            Some(false) => self.human_events += tally.events,
            None => {}
        }
    }
}

impl Servers {
    #[inline]
    fn number(&mut self, texts: [u32; 3]) -> Result<u32, ArrowError> {
        let packed = texts.iter().fold(0, |packed, text| packed << 32 | u128::from(*text));
        if let Some(number) = self.numbers.get(&packed) {
            return Ok(*number);
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(NOWHERE);
        if number == NOWHERE {
            return Err(ArrowError::ComputeError("too many different servers".to_owned()));
        }
        self.texts.push(texts);
        self.numbers.insert(packed, number);
        Ok(number)
    }
}

fn number(column: &UInt32Array, row: usize) -> u32 {
    if column.is_valid(row) { column.value(row) } else { NULL }
}
