//! Where a window cuts hours and days: which of the rollup's buckets lie wholly inside, and what is left of others.

pub(super) const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Seconds from the first to the last, both included.
pub(in crate::history) type Seconds = (i64, i64);

/// A window, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cut {
    /// What of it lies in hours that also have events outside: for this, the events themselves are looked at.
    pub(super) events: Vec<Seconds>,
    /// The hours whose events are all inside; none where there is no such hour.
    pub(super) hours: Option<Seconds>,
    /// Of these hours, the days whose events are all inside.
    pub(super) days: Option<Seconds>,
}

impl Cut {
    /// Takes the window from `first` to `last` apart; `may_hold` says whether there may be events in a range.
    pub(super) fn of((first, last): Seconds, may_hold: impl Fn(Seconds) -> bool) -> Cut {
        if first > last {
            return Cut::default();
        }
        let may_hold = |range: Seconds| range.0 <= range.1 && may_hold(range);
        let (low, high) = (floor(first, HOUR), floor(last, HOUR) + HOUR - 1);
        let (low_cut, high_cut) = (may_hold((low, first - 1)), may_hold((last + 1, high)));
        if floor(first, HOUR) == floor(last, HOUR) && (low_cut || high_cut) {
            return Cut {
                events: vec![(first, last)],
                ..Cut::default()
            };
        }
        let mut cut = Cut::default();
        let mut hours = (low, high);
        if low_cut {
            cut.events.push((first, low + HOUR - 1));
            hours.0 = low + HOUR;
        }
        if high_cut {
            cut.events.push((high + 1 - HOUR, last));
            hours.1 = high - HOUR;
        }
        if hours.0 > hours.1 {
            return cut;
        }
        cut.hours = Some(hours);
        let (mut day, mut end) = (floor(hours.0, DAY), floor(hours.1, DAY) + DAY - 1);
        if may_hold((day, hours.0 - 1)) {
            day += DAY;
        }
        if may_hold((hours.1 + 1, end)) {
            end -= DAY;
        }
        cut.days = (day <= end).then_some((day, end));
        cut
    }

    /// The hours inside that are not in days inside.
    pub(super) fn hours_beside_days(&self) -> Vec<Seconds> {
        match (self.hours, self.days) {
            (None, _) => Vec::new(),
            (Some(hours), None) => vec![hours],
            (Some((first, last)), Some((day, end))) => [(first, day - 1), (end + 1, last)]
                .into_iter()
                .filter(|(first, last)| first <= last)
                .collect(),
        }
    }
}

/// The largest multiple of `unit` that is not larger.
pub(super) fn floor(second: i64, unit: i64) -> i64 {
    second - second.rem_euclid(unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inside(ranges: &[Seconds], second: i64) -> usize {
        ranges
            .iter()
            .filter(|(first, last)| (*first..=*last).contains(&second))
            .count()
    }

    proptest! {
        #[test]
        fn every_event_is_counted_once_at_each_grain(
            first in -3 * DAY..3 * DAY,
            length in prop_oneof![0..3 * HOUR, 0..4 * DAY],
            events in prop::collection::vec(-4 * DAY..8 * DAY, 0..30),
        ) {
            let window = (first, first + length);
            let cut = Cut::of(window, |(first, last)| events.iter().any(|event| (first..=last).contains(event)));
            let hours: Vec<Seconds> = cut.hours.into_iter().collect();
            let days: Vec<Seconds> = cut.days.into_iter().collect();
            let beside = cut.hours_beside_days();
            for event in &events {
                let wanted = usize::from(inside(&[window], *event) == 1);
                let by_hour = inside(&hours, floor(*event, HOUR));
                prop_assert_eq!(inside(&cut.events, *event) + by_hour, wanted);
                let by_day = inside(&days, floor(*event, DAY)) + inside(&beside, floor(*event, HOUR));
                prop_assert_eq!(inside(&cut.events, *event) + by_day, wanted);
            }
        }

        #[test]
        fn whole_hours_and_days_are_taken_whole(day in -5..5_i64, days in 1..5_i64) {
            let window = (day * DAY, (day + days) * DAY - 1);
            let cut = Cut::of(window, |_| true);
            prop_assert_eq!(cut, Cut { events: Vec::new(), hours: Some(window), days: Some(window) });
        }
    }

    #[test]
    fn a_window_that_ends_before_it_begins_holds_nothing() {
        assert_eq!(Cut::of((5, 4), |_| true), Cut::default());
    }
}
