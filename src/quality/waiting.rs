//! What the topic holds that is not archived yet, asked of the broker. The broker only helps: where it does not answer,
//! the lake is verified all the same.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::config::KafkaSettings;
use crate::kafka::{KafkaFault, Probe, Watermarks};

/// How long the broker may take for all answers together.
const DEADLINE: Duration = Duration::from_secs(6);

/// What became of the question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum BrokerReport {
    /// Nobody asked.
    LeftOut,
    /// There was no answer that helps.
    NoAnswer {
        /// The topic.
        topic: String,
        /// Why.
        reason: String,
    },
    /// The broker answered.
    Answered {
        /// The topic.
        topic: String,
        /// What waits in each of the topic's partitions.
        partitions: Vec<Waiting>,
    },
}

/// What waits in a partition of the topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The partition.
    pub partition: i32,
    /// The offset that the lake archives next; none where it has never seen the partition.
    pub next: Option<i64>,
    /// The oldest offset that Kafka still has.
    pub low: i64,
    /// One past its newest.
    pub end: i64,
    /// Offsets that are there and not archived yet.
    pub waiting: u64,
    /// When the oldest waiting message was written.
    pub oldest: Option<DateTime<Utc>>,
}

impl Waiting {
    fn new(partition: i32, next: Option<i64>, marks: Watermarks) -> Waiting {
        let from = next.map_or(marks.low, |next| next.max(marks.low));
        Waiting {
            partition,
            next,
            low: marks.low,
            end: marks.high,
            waiting: u64::try_from(marks.high.saturating_sub(from)).unwrap_or_default(),
            oldest: None,
        }
    }

    /// Offsets that Kafka dropped before they were archived, from the first to the last.
    pub fn dropped(&self) -> Option<[i64; 2]> {
        self.next
            .filter(|next| *next < self.low)
            .map(|next| [next, self.low - 1])
    }

    /// Whether the partition ends before what the lake holds of it: it is not the one that was archived.
    pub fn is_another(&self) -> bool {
        self.next.is_some_and(|next| next > self.end)
    }
}

/// Asks the broker what waits behind these marks of the topic; blocks, though not for long.
pub fn ask(kafka: &KafkaSettings, marks: &BTreeMap<i32, i64>) -> BrokerReport {
    let topic = kafka.topic.clone();
    match try_ask(kafka, marks) {
        Ok(partitions) => BrokerReport::Answered { topic, partitions },
        Err(fault) => BrokerReport::NoAnswer {
            topic,
            reason: fault.to_string(),
        },
    }
}

fn try_ask(kafka: &KafkaSettings, marks: &BTreeMap<i32, i64>) -> Result<Vec<Waiting>, KafkaFault> {
    let until = Instant::now() + DEADLINE;
    let probe = Probe::until(kafka, until)?;
    let partitions = probe.partitions()?;
    let mut waiting: Vec<Waiting> = probe
        .watermarks(&partitions)?
        .into_iter()
        .map(|(partition, watermarks)| Waiting::new(partition, marks.get(&partition).copied(), watermarks))
        .collect();
    let from: BTreeMap<i32, i64> = waiting
        .iter()
        .filter(|waiting| waiting.waiting > 0)
        .map(|waiting| {
            (
                waiting.partition,
                waiting.next.map_or(waiting.low, |next| next.max(waiting.low)),
            )
        })
        .collect();
    let times = probe.times(&from);
    for waiting in &mut waiting {
        waiting.oldest = times.get(&waiting.partition).copied();
    }
    Ok(waiting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_and_what_is_gone() {
        let of = |next, low, high| Waiting::new(0, next, Watermarks { low, high });
        let table = [
            (of(Some(10), 0, 30), 20, None, false),
            (of(Some(30), 0, 30), 0, None, false),
            (of(Some(10), 15, 30), 15, Some([10, 14]), false),
            (of(Some(10), 30, 30), 0, Some([10, 29]), false),
            (of(Some(31), 0, 30), 0, None, true),
            (of(None, 5, 30), 25, None, false),
        ];
        for (waiting, count, dropped, another) in table {
            assert_eq!(waiting.waiting, count, "{waiting:?}");
            assert_eq!(
                (waiting.dropped(), waiting.is_another()),
                (dropped, another),
                "{waiting:?}"
            );
        }
    }
}
