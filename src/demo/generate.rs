//! A plausible day of edits, from a seed.

#[cfg(test)]
mod tests;

use super::event::ordinary;
use super::oddity::{BROKEN, CYCLE};
use super::random::Random;
use super::rhythm::Rhythm;

/// A message for the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its key; the producer gives none, other writers of the topic do.
    pub key: Option<Vec<u8>>,
    /// Its value; a tombstone has none.
    pub value: Option<Vec<u8>>,
}

/// With so many messages every oddity comes at least once.
const COUNT_OF_ALL_ODDITIES: usize = 2000;
/// Broken messages in a thousand, where there are many.
const BROKEN_PER_MILLE: usize = 3;
/// How late an event may come, in seconds.
const LATEST: u64 = 900;

/// `count` messages of the 24 hours from `start` (epoch seconds), in the order of their times but for a few that are
/// late. One full hour has none.
///
/// About 0.3 % are broken, among them events of 1970, of a week after the day's end and with milliseconds for seconds;
/// twice as many are odd but valid, a few are tombstones. Each kind comes at least once where `count` is 2000 or more.
/// An event of a week after the end is broken only while that is still to come.
pub fn day(seed: u64, count: usize, start: i64) -> impl ExactSizeIterator<Item = Message> {
    let mut random = Random::new(seed);
    let rhythm = Rhythm::new(start);
    let end = start.saturating_add(86_400);
    let oddities = oddities(count);
    let mut placed = 0;
    let mut next_odd = place_of(0, oddities, count, &mut random);
    (0..count).map(move |index| {
        let due = rhythm.time(index, count, random.next());
        let time = delayed(due, start, &rhythm, &mut random);
        let event = ordinary(&mut random, index, time);
        if next_odd != Some(index) {
            return Message {
                key: None,
                value: Some(event.json("").into_bytes()),
            };
        }
        let oddity = CYCLE[placed % CYCLE.len()];
        placed += 1;
        next_odd = place_of(placed, oddities, count, &mut random);
        oddity.message(event, time, end)
    })
}

/// How many of the messages are odd, broken or tombstones.
fn oddities(count: usize) -> usize {
    let sparse = (count / 1000).saturating_mul(BROKEN_PER_MILLE * CYCLE.len() / BROKEN);
    if count < COUNT_OF_ALL_ODDITIES {
        return count * CYCLE.len() / COUNT_OF_ALL_ODDITIES;
    }
    sparse.max(CYCLE.len())
}

/// The index of one of the oddities: each somewhere in its own stretch of the day.
fn place_of(oddity: usize, oddities: usize, count: usize, random: &mut Random) -> Option<usize> {
    if oddity >= oddities {
        return None;
    }
    let border = |oddity: usize| (oddity as u128 * count as u128 / oddities as u128) as usize;
    let (first, after) = (border(oddity), border(oddity + 1));
    Some(first + random.below((after - first) as u64) as usize)
}

/// One event in fifty happened up to a quarter of an hour before those around it.
fn delayed(due: i64, start: i64, rhythm: &Rhythm, random: &mut Random) -> i64 {
    if !random.percent(2) {
        return due;
    }
    let earlier = due.saturating_sub(random.below(LATEST) as i64);
    if earlier < start || rhythm.is_outage(earlier) {
        due
    } else {
        earlier
    }
}
