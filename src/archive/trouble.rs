//! An outage of Kafka as one state: said when it begins, again from time to time, and when it has passed.

use std::time::{Duration, Instant};

use crate::monitor::{self, Peer};

/// How often an outage that lasts is said again.
const AGAIN: Duration = Duration::from_secs(60);

/// Whether Kafka is away at present.
#[derive(Debug, Default)]
pub struct Trouble {
    since: Option<Instant>,
    said: Option<Instant>,
}

impl Trouble {
    /// Notes a failure that passes by itself.
    pub fn note(&mut self, reason: &str, now: Instant) {
        monitor::archiver().failed(Peer::Kafka);
        let since = *self.since.get_or_insert(now);
        if self.said.is_none_or(|said| now.duration_since(said) >= AGAIN) {
            self.said = Some(now);
            let seconds = now.duration_since(since).as_secs();
            tracing::warn!(
                reason,
                seconds,
                "Kafka has trouble; reading goes on by itself when it has passed"
            );
        }
    }

    /// Notes that Kafka answers.
    pub fn passed(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.said = None;
            monitor::archiver().answers(Peer::Kafka);
            tracing::info!(seconds = now.duration_since(since).as_secs(), "Kafka answers again");
        }
    }
}
