//! An outage of Kafka as one state: said when it begins, again from time to time, and when it has passed.

use std::time::Instant;

use super::outage::{OutageClock, Word};
use crate::monitor::{self, Peer};

/// Whether Kafka is away at present.
#[derive(Debug, Default)]
pub struct Trouble(OutageClock);

impl Trouble {
    /// Notes a failure that passes by itself.
    pub fn note(&mut self, reason: &str, now: Instant) {
        monitor::archiver().failed(Peer::Kafka);
        let since = self.0.since().unwrap_or(now);
        if let Some(Word::Away(lasting)) = self.0.look(Some(since), now) {
            let seconds = lasting.as_secs();
            tracing::warn!(
                reason,
                seconds,
                "Kafka has trouble; reading goes on by itself when it has passed"
            );
        }
    }

    /// Notes that Kafka answers.
    pub fn passed(&mut self, now: Instant) {
        if let Some(Word::Over(lasted)) = self.0.look(None, now) {
            monitor::archiver().answers(Peer::Kafka);
            tracing::info!(seconds = lasted.as_secs(), "Kafka answers again");
        }
    }
}
