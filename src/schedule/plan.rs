//! When to run. Pure: clocks and chance come in as arguments.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;

use crate::config::duration::shown;
use crate::config::{ScheduleSettings, SettingsError};

/// Times that pass unused are counted up to so many.
const MOST_MISSED: u64 = 10_000;

/// When runs are due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    timetable: Timetable,
    jitter: Duration,
}

/// What the times are derived from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Timetable {
    /// So long after the end of a run.
    Every(Duration),
    /// The times of a cron expression in a time zone.
    Cron(Box<Cron>, Tz),
}

/// A moment on both clocks: the one on the wall, which may be set, and the one that only goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time of day.
    pub wall: DateTime<Utc>,
    /// The steady clock.
    pub steady: Instant,
}

impl Moment {
    /// This moment.
    pub fn now() -> Moment {
        Moment {
            wall: Utc::now(),
            steady: Instant::now(),
        }
    }
}

/// When the next run is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The time as the clock on the wall will show it, jitter included, unless it is set meanwhile.
    pub time: DateTime<Utc>,
    /// The time that the cron expression names; none where the interval counts.
    named: Option<DateTime<Utc>>,
    /// The moment on the steady clock; none where the clock on the wall decides.
    steady: Option<Instant>,
}

impl Due {
    /// How long to wait from now on; nothing once it is due.
    pub fn wait(&self, now: Moment) -> Duration {
        match self.steady {
            Some(steady) => steady.saturating_duration_since(now.steady),
            None => (self.time - now.wall).to_std().unwrap_or_default(),
        }
    }
}

/// What made a run begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It was due.
    Schedule,
    /// Somebody asked for it.
    Trigger,
}

impl Cause {
    /// The cause as it is logged.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Schedule => "schedule",
            Cause::Trigger => "trigger",
        }
    }
}

/// When the next run is due, and how many times were left out because a run was at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Following {
    /// The next run.
    pub due: Due,
    /// Times that passed.
    pub missed: u64,
}

impl Plan {
    /// The plan that the settings ask for; none where there is one run only.
    ///
    /// # Errors
    /// [`SettingsError::Value`] where a setting stands without the other that it belongs to.
    pub fn of(settings: &ScheduleSettings) -> Result<Option<Plan>, SettingsError> {
        let alone = |name, reason: &str| {
            Err(SettingsError::Value {
                name,
                reason: reason.to_owned(),
            })
        };
        if settings.cron.is_none() && settings.time_zone != Tz::UTC {
            return alone(
                "--time-zone",
                "it is the zone of --cron, which is not there; leave it out",
            );
        }
        let timetable = match (&settings.every, &settings.cron) {
            (Some(every), _) => {
                let interval = Duration::from_secs(u64::from(settings.interval_seconds));
                Timetable::Every(every.unwrap_or(interval))
            }
            (None, Some(cron)) => Timetable::Cron(Box::new(cron.clone()), settings.time_zone),
            (None, None) if settings.jitter.is_some() => {
                return alone(
                    "--jitter",
                    "there is one run only, at once; add --every or --cron, or leave it out",
                );
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(Plan {
            timetable,
            jitter: settings.jitter.unwrap_or_default(),
        }))
    }

    /// When the first run is due, where it is `now`: at once where an interval counts. `chance` is drawn from 0 to 1.
    ///
    /// None where the cron expression names no time any more.
    pub fn first(&self, now: Moment, chance: f64) -> Option<Due> {
        match &self.timetable {
            Timetable::Every(_) => Some(Due {
                time: now.wall,
                named: None,
                steady: Some(now.steady),
            }),
            Timetable::Cron(..) => self.named_after(now.wall, chance),
        }
    }

    /// When the next run is due, once one has ended, `now`, that began for this cause while `due` was the next.
    ///
    /// A run that somebody asked for leaves the next time as it was, unless that has passed meanwhile.
    pub fn following(&self, due: Due, cause: Cause, now: Moment, chance: f64) -> Option<Following> {
        let stands = cause == Cause::Trigger && due.wait(now) > Duration::ZERO;
        if stands {
            return Some(Following { due, missed: 0 });
        }
        match &self.timetable {
            Timetable::Every(interval) => {
                let wait = *interval + share(self.jitter, chance);
                let due = Due {
                    time: later(now.wall, wait),
                    named: None,
                    steady: now.steady.checked_add(wait),
                };
                Some(Following { due, missed: 0 })
            }
            Timetable::Cron(cron, zone) => {
                let named = due.named.unwrap_or(now.wall);
                // The time of the run that has ended was not missed; that of one which somebody asked for instead was.
                let passed = missed(cron, *zone, named, now.wall) + u64::from(cause == Cause::Trigger);
                let after = named.max(now.wall);
                let due = self.named_after(after, chance)?;
                Some(Following { due, missed: passed })
            }
        }
    }

    /// A time as people of the plan's zone read it.
    pub fn shown(&self, time: DateTime<Utc>) -> String {
        match &self.timetable {
            Timetable::Every(_) => time.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            Timetable::Cron(_, zone) => {
                let local = time.with_timezone(zone);
                format!("{} ({})", local.format("%Y-%m-%dT%H:%M:%S%:z"), zone.name())
            }
        }
    }

    /// The plan in words.
    pub fn described(&self) -> String {
        let jitter = match self.jitter {
            Duration::ZERO => String::new(),
            jitter => format!(", and up to {} more", shown(jitter)),
        };
        match &self.timetable {
            Timetable::Every(interval) => {
                format!("at once, and {} after the end of each run{jitter}", shown(*interval))
            }
            Timetable::Cron(cron, zone) => format!("at \"{}\" in {}{jitter}", cron.pattern.as_str(), zone.name()),
        }
    }

    /// The first named time after this one, with jitter.
    fn named_after(&self, after: DateTime<Utc>, chance: f64) -> Option<Due> {
        let Timetable::Cron(cron, zone) = &self.timetable else {
            return None;
        };
        let named = next(cron, *zone, after)?;
        Some(Due {
            time: later(named, share(self.jitter, chance)),
            named: Some(named),
            steady: None,
        })
    }
}

/// The first time after `after` that the expression names in the zone. Where the zone's clock is put forward, a time
/// that is left out comes at once behind the gap; where it is put back, a time of day comes once, and a step such as
/// every ten minutes goes on through both.
fn next(cron: &Cron, zone: Tz, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let found = cron.find_next_occurrence(&after.with_timezone(&zone), false).ok()?;
    Some(found.with_timezone(&Utc))
}

/// How many times the expression names after `from` and up to `until`.
fn missed(cron: &Cron, zone: Tz, from: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
    let mut time = from;
    let mut count = 0;
    while count < MOST_MISSED {
        match next(cron, zone, time) {
            Some(named) if named <= until => {
                count += 1;
                time = named;
            }
            _ => break,
        }
    }
    count
}

/// A share of the jitter, where `chance` is drawn from 0 to 1.
fn share(jitter: Duration, chance: f64) -> Duration {
    let share = if chance > 0.0 { chance.min(1.0) } else { 0.0 };
    jitter.mul_f64(share)
}

fn later(time: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(wait)
        .ok()
        .and_then(|wait| time.checked_add_signed(wait))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests;
