//! Which events a run covers.

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::{HistorySettings, SettingsError};

/// The events with `start ≤ timestamp ≤ end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Where it begins; events of this very instant are inside.
    pub start: DateTime<Utc>,
    /// Where it ends; events of this very instant are inside.
    pub end: DateTime<Utc>,
}

impl Window {
    /// The window that the settings ask for, where the clock shows `now`.
    ///
    /// # Errors
    /// [`SettingsError::Value`] where it would end before it begins.
    pub fn of(settings: &HistorySettings, now: DateTime<Utc>) -> Result<Window, SettingsError> {
        let Some(start) = settings.from else {
            return Ok(Window::before(now, settings.days));
        };
        let (end, what) = settings.to.map_or((now, "now"), |to| (to, "--to"));
        if end < start {
            return Err(SettingsError::Value {
                name: "--from",
                reason: format!(
                    "{} is later than {what}, {}; a window begins with the earlier time",
                    start.to_rfc3339(),
                    end.to_rfc3339()
                ),
            });
        }
        Ok(Window { start, end })
    }

    /// The `days` before `now`.
    pub fn before(now: DateTime<Utc>, days: u32) -> Window {
        let start = TimeDelta::try_days(i64::from(days)).and_then(|days| now.checked_sub_signed(days));
        Window {
            start: start.unwrap_or(DateTime::<Utc>::MIN_UTC),
            end: now,
        }
    }

    /// The first whole second inside, since epoch.
    pub fn first_second(&self) -> i64 {
        let second = self.start.timestamp();
        if self.start.timestamp_subsec_nanos() == 0 {
            second
        } else {
            second + 1
        }
    }

    /// The last whole second inside, since epoch.
    pub fn last_second(&self) -> i64 {
        self.end.timestamp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn holds_exactly_the_seconds_from_start_to_end(
            second in -4_000_000_000_i64..20_000_000_000,
            nanos in prop_oneof![Just(0_u32), 0..1_000_000_000_u32],
            days in 1..=3650_u32,
            near in -2_i64..=2,
        ) {
            let now = DateTime::from_timestamp(second, nanos).unwrap();
            let window = Window::before(now, days);
            let length = i64::from(days) * 86_400;
            for event in [second + near, second - length + near] {
                let time = DateTime::from_timestamp(event, 0).unwrap();
                let inside = now - TimeDelta::days(i64::from(days)) <= time && time <= now;
                prop_assert_eq!(window.first_second() <= event && event <= window.last_second(), inside);
            }
        }
    }

    #[test]
    fn reaches_no_further_back_than_time_itself() {
        assert_eq!(
            Window::before(DateTime::<Utc>::MIN_UTC, 1).start,
            DateTime::<Utc>::MIN_UTC
        );
    }
}
