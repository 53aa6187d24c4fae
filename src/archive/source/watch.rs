//! What the reading thread tells of what waits for the lake: to the metrics all along, to the log in an outage.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::Source;
use crate::archive::buffer::older;
use crate::archive::outage::Word;
use crate::kafka::{Drops, Retention};
use crate::monitor;

/// Where Kafka drops what waits within so many hours, somebody must act.
const URGENT_HOURS: f64 = 12.0;

/// A flush that is not in the lake yet.
pub(super) struct Waiting {
    pub messages: u64,
    pub bytes: usize,
    /// Kafka's own time of the oldest message, milliseconds since the epoch.
    pub oldest: Option<i64>,
}

/// All that has been read and is not in the lake yet.
struct Unarchived {
    messages: u64,
    bytes: usize,
    drops: Drops,
    retention: Retention,
}

impl Source<'_> {
    /// Tells what waits, and says what there is to say of an outage of the store.
    pub(super) fn watch(&mut self) {
        let (now, time) = (Instant::now(), Utc::now());
        let waits = self.unarchived(time);
        monitor::archiver().buffered(waits.bytes);
        monitor::archiver().loses_data_in(match waits.drops {
            Drops::InHours(hours) => Duration::try_from_secs_f64(hours * 3600.0).ok(),
            Drops::Never | Drops::NotKnown => None,
        });
        let away = self.store.away();
        match self.outage.look(away.as_ref().map(|away| away.since), now) {
            None => {}
            Some(Word::Away(lasting)) => {
                let reason = away.map(|away| away.reason).unwrap_or_default();
                say_away(&waits, lasting, &reason, time);
            }
            Some(Word::Over(lasted)) => tracing::info!(
                seconds = lasted.as_secs(),
                waiting_messages = waits.messages,
                waiting_bytes = waits.bytes,
                "the lake's store answers again"
            ),
        }
    }

    fn unarchived(&self, now: DateTime<Utc>) -> Unarchived {
        let retention = *self.topic.retention.borrow();
        let waiting = self.waiting.iter();
        let oldest = waiting.fold(self.buffer.oldest(), |oldest, flush| older(oldest, flush.oldest));
        Unarchived {
            messages: self.buffer.messages() + self.waiting.iter().map(|flush| flush.messages).sum::<u64>(),
            bytes: self.buffer.bytes() + self.waiting.iter().map(|flush| flush.bytes).sum::<usize>(),
            drops: retention.drops(oldest, now.timestamp_millis()),
            retention,
        }
    }
}

fn say_away(waits: &Unarchived, lasting: Duration, reason: &str, now: DateTime<Utc>) {
    let since = now - TimeDelta::from_std(lasting).unwrap_or_default();
    let since = since.format("%Y-%m-%dT%H:%M:%SZ");
    // Both levels have the same fields, and the macro wants its level at compile time.
    macro_rules! say {
        ($level:expr, $message:literal) => {
            tracing::event!(
                $level,
                %since,
                seconds = lasting.as_secs(),
                waiting_messages = waits.messages,
                waiting_bytes = waits.bytes,
                kafka_drops_them_in_hours = %waits.drops,
                kafka_drops_by_size_too = waits.retention.by_size,
                reason,
                $message
            )
        };
    }
    match waits.drops {
        Drops::InHours(hours) if hours < URGENT_HOURS => say!(
            tracing::Level::ERROR,
            "the lake's store is away, and Kafka will soon drop what is not archived: mend the store, or raise the topic's retention.ms"
        ),
        _ => say!(
            tracing::Level::WARN,
            "the lake's store is away; what was read waits, and archiving goes on by itself when it answers"
        ),
    }
}
