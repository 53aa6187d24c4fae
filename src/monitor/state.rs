//! What an archiver is about: how far each partition is archived, and what keeps it from going on. Pure: the clock
//! comes in as an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::health::{Facts, Phase, Waiting};

/// How far Kafka's client is in a partition, as its statistics tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// One past the last offset that a reader can see.
    pub end: i64,
    /// The offset that the client fetches next.
    pub next: i64,
    /// Messages that it has fetched and not handed over yet.
    pub queued: i64,
    /// One past the last message that it has handed over; negative before the first.
    pub handed_over: i64,
}

/// A partition of this archiver.
#[derive(Debug, Clone, Copy)]
struct Partition {
    /// The offset that comes next in the lake.
    archived: i64,
    fetched: Option<Fetched>,
    /// Since when its messages have waited without one of its commits.
    waiting_since: Option<Instant>,
}

/// Something that is away.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    begun: Instant,
    /// Since when, by the clock.
    pub since: DateTime<Utc>,
}

/// What an archiver is about.
#[derive(Debug)]
pub struct State {
    started: Instant,
    joined: bool,
    settling_since: Option<Instant>,
    heard: Option<Instant>,
    answers: Option<i64>,
    ending: bool,
    partitions: BTreeMap<i32, Partition>,
    halted: BTreeMap<i32, String>,
    /// When the last commit was made.
    pub last_commit: Option<(Instant, DateTime<Utc>)>,
    /// Kafka's outage, where there is one.
    pub kafka: Option<Outage>,
    /// The store's outage, where there is one.
    pub store: Option<Outage>,
    /// When Kafka drops the oldest message that is not archived.
    pub loss: Option<Instant>,
}

impl State {
    /// An archiver that starts.
    pub fn new(now: Instant) -> State {
        State {
            started: now,
            joined: false,
            settling_since: None,
            heard: None,
            answers: None,
            ending: false,
            partitions: BTreeMap::new(),
            halted: BTreeMap::new(),
            last_commit: None,
            kafka: None,
            store: None,
            loss: None,
        }
    }

    /// Begins, or begins anew, to read a partition at the lake's mark.
    pub fn begin(&mut self, partition: i32, mark: i64) {
        let begun = Partition {
            archived: mark,
            fetched: None,
            waiting_since: None,
        };
        self.partitions.insert(partition, begun);
    }

    /// Forgets a partition.
    pub fn end(&mut self, partition: i32) {
        self.partitions.remove(&partition);
        self.halted.remove(&partition);
    }

    /// Takes in the client's statistics: whether the group is not sharing out partitions, how many answers brokers have
    /// given so far, and how far each partition is.
    pub fn hear(
        &mut self,
        steady: bool,
        answers: i64,
        fetched: impl IntoIterator<Item = (i32, Fetched)>,
        now: Instant,
    ) {
        self.heard = Some(now);
        // On an idle topic nothing else tells that an outage has passed.
        if self.answers.replace(answers).is_some_and(|before| answers > before) {
            self.kafka = None;
        }
        self.joined |= steady;
        self.settling_since = (!steady).then(|| self.settling_since.unwrap_or(now));
        for (partition, fetched) in fetched {
            if let Some(known) = self.partitions.get_mut(&partition) {
                known.fetched = Some(fetched);
                let waits = known.lag().is_some_and(|lag| lag > 0);
                known.waiting_since = waits.then(|| known.waiting_since.unwrap_or(now));
            }
        }
    }

    /// Notes that Kafka failed. What brokers had answered until then tells nothing of how it goes on.
    pub fn kafka_fails(&mut self, now: Instant, clock: DateTime<Utc>) {
        self.answers = None;
        self.kafka.get_or_insert(Outage::new(now, clock));
    }

    /// Notes that the store failed.
    pub fn store_fails(&mut self, now: Instant, clock: DateTime<Utc>) {
        self.store.get_or_insert(Outage::new(now, clock));
    }

    /// Notes that a partition is in the lake up to `next`.
    pub fn archived(&mut self, partition: i32, next: i64, now: Instant) {
        if let Some(known) = self.partitions.get_mut(&partition)
            && next > known.archived
        {
            known.archived = next;
            known.waiting_since = known.lag().is_some_and(|lag| lag > 0).then_some(now);
        }
    }

    /// Notes that a partition is not read on until somebody acts.
    pub fn halt(&mut self, partition: i32, reason: String) {
        self.halted.insert(partition, reason);
    }

    /// Notes that a halted partition is read on.
    pub fn go_on(&mut self, partition: i32) {
        self.halted.remove(&partition);
    }

    /// Notes that the archiver was told to end.
    pub fn end_all(&mut self) {
        self.ending = true;
    }

    /// Offsets of each partition that are not archived; partitions of which Kafka's client has said nothing yet are
    /// left out.
    pub fn lags(&self) -> impl Iterator<Item = (i32, u64)> {
        self.partitions
            .iter()
            .filter_map(|(partition, known)| Some((*partition, known.lag()?)))
    }

    /// How many partitions this archiver has.
    pub fn partitions(&self) -> usize {
        self.partitions.len()
    }

    /// How many of them are halted.
    pub fn halted(&self) -> usize {
        self.halted.len()
    }

    /// How long ago the last commit was made; before the first, how long ago the archiver started.
    pub fn since_commit(&self, now: Instant) -> Duration {
        let since = self.last_commit.map_or(self.started, |(instant, _)| instant);
        now.saturating_duration_since(since)
    }

    /// What is to be judged.
    pub fn facts(&self, now: Instant) -> Facts {
        let ago = |since: Instant| now.saturating_duration_since(since);
        let phase = if self.ending {
            Phase::Ending
        } else if !self.joined {
            Phase::Starting(ago(self.started))
        } else if let Some(since) = self.settling_since {
            Phase::Settling(ago(since))
        } else {
            Phase::Reading
        };
        let longest = self
            .partitions
            .iter()
            .filter(|(partition, _)| !self.halted.contains_key(partition))
            .filter_map(|(partition, known)| Some((known.waiting_since?, *partition)))
            .min();
        Facts {
            phase,
            partitions: self.partitions.len(),
            waiting: longest.map(|(since, partition)| Waiting {
                messages: self.lags().map(|(_, lag)| lag).sum(),
                partition,
                without_commit: ago(since),
            }),
            silent: self.heard.map(ago),
            kafka_away: self.kafka.map(|outage| ago(outage.begun)),
            store_away: self.store.map(|outage| ago(outage.begun)),
            halted: self
                .halted
                .iter()
                .map(|(partition, reason)| (*partition, reason.clone()))
                .collect(),
        }
    }
}

impl Partition {
    /// Offsets that are not archived. Behind its last message a partition may have offsets that no reader sees
    /// (control records, aborted messages): where all that is visible is archived, nothing waits.
    fn lag(&self) -> Option<u64> {
        let fetched = self.fetched?;
        let unread = fetched.next < fetched.end || fetched.queued > 0;
        if !unread && fetched.handed_over <= self.archived {
            return Some(0);
        }
        Some(u64::try_from(fetched.end - self.archived).unwrap_or_default())
    }
}

impl Outage {
    fn new(begun: Instant, since: DateTime<Utc>) -> Outage {
        Outage { begun, since }
    }
}

#[cfg(test)]
mod tests;
