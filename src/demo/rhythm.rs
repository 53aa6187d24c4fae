//! When the events of a day happen: busy hours, quiet ones, and one without any.

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// How busy each hour of the day (UTC) is.
const BUSY: [u64; 24] = [
    5, 4, 4, 3, 3, 3, 4, 5, 7, 8, 9, 9, 9, 10, 11, 11, 11, 10, 10, 10, 9, 8, 7, 6,
];

/// Hours from the one in which the day begins to the one in which nothing happens, as if the feed had been down:
/// averages over 24 hours and over 24 rows then differ.
const HOURS_TO_OUTAGE: i64 = 9;

/// The 24 hours from a start, cut at the full hours.
pub struct Rhythm {
    spans: Vec<Span>,
    weight: u64,
    outage: i64,
}

struct Span {
    start: i64,
    busy: u64,
    /// The weight of this span and all before it.
    weight_to_end: u64,
}

impl Rhythm {
    /// The rhythm of the day that starts at these epoch seconds.
    pub fn new(start: i64) -> Rhythm {
        let end = start.saturating_add(DAY);
        let outage = (start.div_euclid(HOUR).saturating_add(HOURS_TO_OUTAGE)).saturating_mul(HOUR);
        let mut rhythm = Rhythm {
            spans: Vec::new(),
            weight: 0,
            outage,
        };
        let mut at = start;
        while at < end {
            let next = at.saturating_add(HOUR - at.rem_euclid(HOUR)).min(end);
            if at != outage {
                let busy = BUSY[at.div_euclid(HOUR).rem_euclid(24) as usize];
                rhythm.weight += (next - at) as u64 * busy;
                rhythm.spans.push(Span {
                    start: at,
                    busy,
                    weight_to_end: rhythm.weight,
                });
            }
            at = next;
        }
        rhythm
    }

    /// The time of one of `count` events, rising with its index; `jitter` is any number.
    pub fn time(&self, index: usize, count: usize, jitter: u64) -> i64 {
        let weight = u128::from(self.weight);
        let jitter = (weight * u128::from(jitter)) >> 64;
        let position = ((index as u128 * weight + jitter) / count.max(1) as u128) as u64;
        let after = self.spans.partition_point(|span| span.weight_to_end <= position);
        let Some(span) = self.spans.get(after) else {
            return self.outage;
        };
        let before = after.checked_sub(1).and_then(|last| self.spans.get(last));
        let within = position - before.map_or(0, |span| span.weight_to_end);
        span.start.saturating_add((within / span.busy) as i64)
    }

    /// Whether this time lies in the hour without events.
    pub fn is_outage(&self, time: i64) -> bool {
        (self.outage..self.outage.saturating_add(HOUR)).contains(&time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hour_but_one_has_events_in_order() {
        for start in [1_705_334_400, 1_705_334_400 + 1234, -7_201, 0, i64::MAX, i64::MIN] {
            let rhythm = Rhythm::new(start);
            let times: Vec<i64> = (0..2000)
                .map(|index| rhythm.time(index, 2000, index as u64 * 7919))
                .collect();
            assert!(times.is_sorted(), "{start}");
            if start == i64::MAX {
                continue;
            }
            assert!(
                times
                    .iter()
                    .all(|time| (start..start + DAY).contains(time) && !rhythm.is_outage(*time)),
                "{start}"
            );
            let mut hours: Vec<i64> = times.iter().map(|time| time.div_euclid(HOUR)).collect();
            hours.dedup();
            assert_eq!(hours.len(), if start % HOUR == 0 { 23 } else { 24 }, "{start}");
        }
    }
}
