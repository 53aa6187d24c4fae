//! The event: a Kafka message's bytes in, columns out.
//!
//! One message is one JSON object and becomes one row of `raw_events`, or the [`Reason`] why it belongs in quarantine.
//! Nothing here does I/O or reads a clock, and no bytes whatever make it panic.
//!
//! A message is read once: `json` checks the syntax while `walk` hands on each top-level value, `fit` decides whether it
//! suits its column in the `table`, and `columns` appends it. A message that cannot be read so, in nearly every case because
//! it brings something new, is read with care: `fields` notes where each value lies before anything is appended, and what
//! suits no column is kept by `rescue`. [`EventBuffer`] ties these together; [`conform()`] brings rows made under one schema
//! to another.

mod assume;
mod columns;
mod conform;
mod decode;
mod fields;
mod fit;
mod json;
mod key;
mod number;
mod rescue;
mod schema;
mod table;
mod text;
mod walk;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

pub use assume::{Assumptions, TimeUnit};
pub use conform::conform;
pub use decode::{DAY as MOST_AHEAD, EventBuffer, OLDEST};
pub use schema::{ColumnType, EventSchema, OFFSET, PARTITION, TIMESTAMP};

/// Why a message makes no row and belongs in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// Not JSON (RFC 8259) in UTF-8; an empty message too.
    #[error("the message is not JSON")]
    NotJson,
    /// JSON, but a list, a string, a number, a boolean or null.
    #[error("the message is not a JSON object")]
    NotAnObject,
    /// No `timestamp`, or null.
    #[error("the event has no timestamp")]
    TimestampMissing,
    /// A `timestamp` that is no point in time.
    #[error("the event's timestamp is not a time")]
    TimestampInvalid,
    /// Before 2001-01-15, the day when Wikipedia began.
    #[error("the event's timestamp lies before 2001-01-15")]
    TimestampTooOld,
    /// More than a day ahead of the clock.
    #[error("the event's timestamp lies more than a day ahead")]
    TimestampInFuture,
    /// The buffer cannot hold the message's text: a column of strings ends at 2 GiB. Never seen by a caller that flushes
    /// as [`EventBuffer::push`] asks.
    #[error("the message does not fit in the buffer")]
    TooLarge,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 7] = [
        Reason::NotJson,
        Reason::NotAnObject,
        Reason::TimestampMissing,
        Reason::TimestampInvalid,
        Reason::TimestampTooOld,
        Reason::TimestampInFuture,
        Reason::TooLarge,
    ];

    /// The reason as the quarantine table and the metrics write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::NotJson => "not_json",
            Reason::NotAnObject => "not_an_object",
            Reason::TimestampMissing => "timestamp_missing",
            Reason::TimestampInvalid => "timestamp_invalid",
            Reason::TimestampTooOld => "timestamp_too_old",
            Reason::TimestampInFuture => "timestamp_in_future",
            Reason::TooLarge => "too_large",
        }
    }
}
