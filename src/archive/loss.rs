//! Whether Kafka still has what comes next in a partition, and what to do where it has not: a pure judgement, and the
//! partitions that it has taken out of the reading.
//!
//! `next` is the offset that comes next, `low..high` are the offsets that Kafka holds, and the topic is the one that the
//! lake archives, another one that was made under its name, or not known, where Kafka gives topics no ids.
//!
//! | topic | next | outcome | told to accept losses |
//! |---|---|---|---|
//! | the same, not known | from `low` to `high` | [`Verdict::Read`] | [`Verdict::Read`] |
//! | the same, not known | below `low` | [`Verdict::Halt`], [`Loss::Dropped`] | [`Verdict::Gap`] |
//! | the same | above `high` | [`Verdict::Halt`], [`Loss::CutShort`] | [`Verdict::Anew`] |
//! | not known | above `high` | [`Verdict::Halt`], [`Loss::Shorter`] | the same: where to go on is not known |
//! | another | anything | [`Verdict::Halt`], [`Loss::MadeAnew`] | [`Verdict::Anew`] |

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::ArchiveError;
use crate::kafka::{TopicId, Watermarks};
use crate::monitor;

/// How often a partition that is not read is said again, and looked at again.
const AGAIN: Duration = Duration::from_secs(60);

/// What Kafka no longer has of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It dropped offsets before they were archived.
    Dropped {
        /// The first.
        from: i64,
        /// One past the last.
        until: i64,
    },
    /// The partition has lost its end: it ends before what the lake holds of it.
    CutShort {
        /// One past the partition's last offset.
        end: i64,
        /// The lake's mark.
        mark: i64,
    },
    /// The partition ends before what the lake holds of it, and why is not known.
    Shorter {
        /// One past the partition's last offset.
        end: i64,
        /// The lake's mark.
        mark: i64,
    },
    /// The topic is another one under the same name.
    MadeAnew,
}

/// Whether the topic is the one that the lake archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// It is.
    Same,
    /// Kafka gives topics no ids.
    Unknown,
    /// It was deleted, and another one was made under its name.
    Other,
}

impl Identity {
    /// Compares the topic that the lake knows with the one that Kafka has.
    pub fn of(known: Option<TopicId>, present: Option<TopicId>) -> Identity {
        match (known, present) {
            (Some(known), Some(present)) if known == present => Identity::Same,
            (Some(_), Some(_)) => Identity::Other,
            (None, _) | (_, None) => Identity::Unknown,
        }
    }
}

/// What to do with a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Read on.
    Read,
    /// Read nothing of it, and say so.
    Halt(Loss),
    /// Record that Kafka dropped what comes before this offset, and read on from there.
    Gap(i64),
    /// Begin another generation of the topic.
    Anew,
}

/// What to do with a partition of which `next` comes next while Kafka holds the offsets `held`; `accept` where the
/// archiver was told to go on behind what is lost.
pub fn judge(topic: Identity, next: i64, held: Watermarks, accept: bool) -> Verdict {
    let (end, mark) = (held.high, next);
    match topic {
        Identity::Other if accept => Verdict::Anew,
        Identity::Other => Verdict::Halt(Loss::MadeAnew),
        Identity::Same if next > held.high && accept => Verdict::Anew,
        Identity::Same if next > held.high => Verdict::Halt(Loss::CutShort { end, mark }),
        Identity::Unknown if next > held.high => Verdict::Halt(Loss::Shorter { end, mark }),
        Identity::Same | Identity::Unknown if next >= held.low => Verdict::Read,
        Identity::Same | Identity::Unknown if accept => Verdict::Gap(held.low),
        Identity::Same | Identity::Unknown => Verdict::Halt(Loss::Dropped {
            from: next,
            until: held.low,
        }),
    }
}

/// The first marks of another generation: of a topic that was made anew all that it holds is to come; of one that was
/// cut short, what the lake has not yet, and behind its end what is written there anew.
pub fn starts(
    topic: Identity,
    marks: &BTreeMap<i32, Option<i64>>,
    held: &BTreeMap<i32, Watermarks>,
) -> BTreeMap<i32, i64> {
    let start = |partition: &i32, held: &Watermarks| match topic {
        Identity::Other => Some(held.low),
        Identity::Same | Identity::Unknown => Some(marks.get(partition).copied().flatten()?.min(held.high)),
    };
    held.iter()
        .filter_map(|(partition, held)| Some((*partition, start(partition, held)?)))
        .collect()
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::Dropped { from, until } => write!(
                f,
                "Kafka no longer has offsets {from} to {}: they were dropped before they were archived (is the topic's retention long enough?)",
                until - 1
            ),
            Loss::CutShort { end, mark } => write!(
                f,
                "it ends at offset {end}, but the lake holds it up to {mark}: Kafka has lost its end, as after an unclean leader election"
            ),
            Loss::MadeAnew => f.write_str("the topic was deleted and made anew: what Kafka holds under its name is not the topic that the lake archives"),
            Loss::Shorter { end, mark } => write!(
                f,
                "it ends at offset {end}, but the lake holds it up to {mark}: the topic was deleted and made anew, or KAFKA_BROKERS names another cluster"
            ),
        }
    }
}

/// The partitions of this member that are not read.
#[derive(Debug, Default)]
pub struct Halted {
    losses: BTreeMap<i32, Loss>,
    looked: Option<Instant>,
}

impl Halted {
    /// Notes that a partition is not read, and says so.
    pub fn add(&mut self, topic: &str, partition: i32, loss: Loss, now: Instant) {
        tracing::error!(
            topic,
            partition,
            "the partition is not archived any further: {loss}; see the runbook for how to go on"
        );
        monitor::archiver().halted(partition, &loss.to_string());
        self.losses.insert(partition, loss);
        self.looked = Some(now);
    }

    /// Notes that a partition is read again, or is no longer this member's.
    pub fn remove(&mut self, partition: i32) {
        if self.losses.remove(&partition).is_some() {
            monitor::archiver().goes_on(partition);
        }
    }

    /// Whether a partition is not read.
    pub fn contains(&self, partition: i32) -> bool {
        self.losses.contains_key(&partition)
    }

    /// Whether all partitions are read.
    pub fn is_empty(&self) -> bool {
        self.losses.is_empty()
    }

    /// The partitions, where it is time to look at them again.
    pub fn due(&mut self, now: Instant) -> Option<Vec<i32>> {
        let due = !self.is_empty() && self.looked.is_none_or(|looked| now.duration_since(looked) >= AGAIN);
        due.then(|| {
            self.looked = Some(now);
            self.losses.keys().copied().collect()
        })
    }

    /// The error with which an archiver ends that has partitions which it does not read.
    pub fn error(&self, topic: &str) -> Option<ArchiveError> {
        let named: Vec<String> = self
            .losses
            .iter()
            .map(|(partition, loss)| format!("partition {partition}: {loss}"))
            .collect();
        (!self.is_empty()).then(|| ArchiveError::Halted {
            topic: topic.to_owned(),
            losses: named.join("; "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_table() {
        use Identity::{Other, Same, Unknown};
        use Verdict::{Anew, Gap, Halt, Read};

        let held = Watermarks { low: 10, high: 20 };
        let dropped = Halt(Loss::Dropped { from: 4, until: 10 });
        let cut_short = Halt(Loss::CutShort { end: 20, mark: 21 });
        let shorter = Halt(Loss::Shorter { end: 20, mark: 21 });
        let table = [
            (Same, 4, dropped, Gap(10)),
            (Same, 10, Read, Read),
            (Same, 15, Read, Read),
            (Same, 20, Read, Read),
            (Same, 21, cut_short, Anew),
            (Unknown, 4, dropped, Gap(10)),
            (Unknown, 10, Read, Read),
            (Unknown, 20, Read, Read),
            (Unknown, 21, shorter, shorter),
            (Other, 4, Halt(Loss::MadeAnew), Anew),
            (Other, 15, Halt(Loss::MadeAnew), Anew),
            (Other, 21, Halt(Loss::MadeAnew), Anew),
        ];
        for (topic, next, otherwise, accepted) in table {
            assert_eq!(judge(topic, next, held, false), otherwise, "{topic:?}, next {next}");
            assert_eq!(
                judge(topic, next, held, true),
                accepted,
                "{topic:?}, next {next}, accepted"
            );
        }
    }

    #[test]
    fn a_topic_is_another_one_only_where_both_ids_are_known() {
        let ids = [None, Some(TopicId::from_mark(1)), Some(TopicId::from_mark(2))];
        let of = |known, present| Identity::of(ids[known], ids[present]);
        assert_eq!([of(0, 0), of(0, 1), of(1, 0)], [Identity::Unknown; 3]);
        assert_eq!((of(1, 1), of(1, 2)), (Identity::Same, Identity::Other));
    }

    #[test]
    fn another_generation_begins_where_nothing_is_archived_yet() {
        let held = BTreeMap::from([
            (0, Watermarks { low: 3, high: 8 }),
            (1, Watermarks { low: 0, high: 9 }),
            (2, Watermarks { low: 0, high: 4 }),
        ]);
        let marks = BTreeMap::from([(0, Some(12)), (1, Some(7)), (2, None)]);
        assert_eq!(
            starts(Identity::Other, &marks, &held),
            BTreeMap::from([(0, 3), (1, 0), (2, 0)])
        );
        assert_eq!(starts(Identity::Same, &marks, &held), BTreeMap::from([(0, 8), (1, 7)]));
    }

    #[test]
    fn what_is_not_read_is_looked_at_again_each_minute_until_it_is_read() {
        let start = Instant::now();
        let mut halted = Halted::default();
        assert_eq!(halted.due(start), None);
        halted.add("t", 3, Loss::Dropped { from: 0, until: 5 }, start);
        assert_eq!(halted.due(start + AGAIN / 2), None);
        assert_eq!(halted.due(start + AGAIN), Some(vec![3]));
        assert_eq!(halted.due(start + AGAIN), None);
        let error = halted.error("t").expect("a partition is not read").to_string();
        assert!(error.contains("partition 3") && error.contains("0 to 4"), "{error}");
        halted.remove(3);
        assert!(halted.error("t").is_none());
    }
}
