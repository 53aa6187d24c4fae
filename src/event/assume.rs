//! What may be assumed of a timestamp that is none by the rules: its unit, its zone, or that it is missing.
//!
//! The rules come first: nothing is assumed of a message that is an event as it is. What an assumption leads to must
//! lie within the same bounds.

use chrono::{FixedOffset, NaiveDate, NaiveDateTime, NaiveTime};

use super::json::{Kind, Value};
use super::number::{integer, rfc3339, scaled};
use super::text::unescape;

/// What numbers for timestamps count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds; a fraction is cut off.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

impl TimeUnit {
    /// How many powers of ten a second has.
    fn digits(self) -> u32 {
        match self {
            TimeUnit::Seconds => 0,
            TimeUnit::Milliseconds => 3,
            TimeUnit::Microseconds => 6,
            TimeUnit::Nanoseconds => 9,
        }
    }
}

/// What to assume where a message has no timestamp that the rules accept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Assumptions {
    /// What numbers count.
    pub unit: Option<TimeUnit>,
    /// The zone of times that name none.
    pub zone: Option<FixedOffset>,
    /// The time of a message without any, epoch seconds.
    pub missing: Option<i64>,
}

impl Assumptions {
    /// The epoch seconds that a timestamp stands for under these assumptions; none where they do not help.
    pub(super) fn timestamp(&self, value: Option<Value>) -> Option<i64> {
        let Some(value) = value else {
            return self.missing;
        };
        let mut room = String::new();
        let text = match value.kind {
            Kind::Integer | Kind::Decimal => return self.number(value.text),
            Kind::Plain => value.inner(),
            Kind::Escaped => unescape(value.inner(), &mut room).then_some(room.as_str())?,
            _ => return None,
        };
        if integer(text).is_some() {
            return self.number(text);
        }
        let time = naive(text)?.and_local_timezone(self.zone?).single()?;
        Some(time.timestamp())
    }

    fn number(&self, number: &str) -> Option<i64> {
        scaled(number, self.unit?.digits())
    }
}

/// A time without a zone: `2024-01-15T16:00:00`, with a space for the T, with a fraction, or the date alone.
fn naive(text: &str) -> Option<NaiveDateTime> {
    if rfc3339(text).is_some() {
        return None;
    }
    [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%d %H:%M",
    ]
    .iter()
    .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
    .or_else(|| {
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        Some(date.and_time(NaiveTime::MIN))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventBuffer, EventSchema, Reason, TIMESTAMP};
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;

    const NOW: i64 = 1_768_000_000;

    fn decoded(timestamp: &str, assumptions: Assumptions) -> Result<i64, Reason> {
        let mut buffer = EventBuffer::new(EventSchema::new(200));
        let message = match timestamp {
            "" => "{}".to_owned(),
            _ => format!(r#"{{"timestamp": {timestamp}}}"#),
        };
        buffer.push_assuming(message.as_bytes(), 0, 0, NOW, assumptions)?;
        let batch = buffer.take();
        let times = batch.column_by_name(TIMESTAMP).expect("there");
        Ok(times.as_primitive::<Int64Type>().value(0))
    }

    #[test]
    fn units_zones_and_times_that_are_missing() {
        let none = Assumptions::default();
        let unit = |unit| Assumptions {
            unit: Some(unit),
            ..none
        };
        let zone = |seconds| Assumptions {
            zone: FixedOffset::east_opt(seconds),
            ..none
        };
        let missing = Assumptions {
            missing: Some(1_767_999_999),
            ..none
        };
        let table = [
            ("1705334400123", unit(TimeUnit::Milliseconds), Ok(1_705_334_400)),
            ("\"1705334400123\"", unit(TimeUnit::Milliseconds), Ok(1_705_334_400)),
            ("1705334400123.75", unit(TimeUnit::Milliseconds), Ok(1_705_334_400)),
            ("1.705334400123e12", unit(TimeUnit::Milliseconds), Ok(1_705_334_400)),
            ("1705334400123456", unit(TimeUnit::Microseconds), Ok(1_705_334_400)),
            ("1705334400123456789", unit(TimeUnit::Nanoseconds), Ok(1_705_334_400)),
            ("1705334400.5", unit(TimeUnit::Seconds), Ok(1_705_334_400)),
            // An event as it is; and what no assumption makes one.
            ("1705334400", unit(TimeUnit::Milliseconds), Ok(1_705_334_400)),
            ("1705334400123", none, Err(Reason::TimestampInFuture)),
            (
                "1705334400123",
                unit(TimeUnit::Microseconds),
                Err(Reason::TimestampInFuture),
            ),
            (
                "1705334400.5",
                unit(TimeUnit::Milliseconds),
                Err(Reason::TimestampInvalid),
            ),
            ("5", unit(TimeUnit::Milliseconds), Err(Reason::TimestampTooOld)),
            ("true", unit(TimeUnit::Milliseconds), Err(Reason::TimestampInvalid)),
            ("\"2024-01-15T16:00:00\"", zone(0), Ok(1_705_334_400)),
            ("\"2024-01-15 17:00:00.999\"", zone(3600), Ok(1_705_334_400)),
            ("\"2024-01-15 16:00\"", zone(0), Ok(1_705_334_400)),
            ("\"2024\\u002d01-15\"", zone(0), Ok(1_705_276_800)),
            ("\"2024-01-15T16:00:00Z\"", zone(3600), Ok(1_705_334_400)),
            ("\"2024-01-15T16:00:00\"", none, Err(Reason::TimestampInvalid)),
            ("\"2999-01-15T16:00:00\"", zone(0), Err(Reason::TimestampInvalid)),
            ("\"soon\"", zone(0), Err(Reason::TimestampInvalid)),
            ("", missing, Ok(1_767_999_999)),
            ("null", missing, Ok(1_767_999_999)),
            ("", none, Err(Reason::TimestampMissing)),
            ("\"soon\"", missing, Err(Reason::TimestampInvalid)),
        ];
        for (timestamp, assumptions, expected) in table {
            assert_eq!(
                decoded(timestamp, assumptions),
                expected,
                "{timestamp} under {assumptions:?}"
            );
        }
    }
}
