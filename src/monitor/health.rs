//! Whether an archiver gets on: the rule behind /healthz. Pure: values in, verdict out.
//!
//! Progress is what counts, not that a process is there. The first line that applies is the verdict:
//!
//! | what holds | verdict |
//! |---|---|
//! | it was told to end | healthy |
//! | a partition is halted | not healthy |
//! | it has not joined the group, or the group has not settled, for longer than the limit | not healthy |
//! | Kafka's client has told nothing for longer than the limit: the reading thread hangs | not healthy |
//! | messages of a partition wait, and none of it was committed, for longer than the limit | not healthy |
//! | Kafka has not answered for longer than the limit: whether messages wait is not known | not healthy |
//! | anything else: nothing waits, what waits is on its way, or it is too early to say | healthy |

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

/// How long Kafka's client is silent at least before that means something: it tells of itself every five seconds.
const SILENCE: Duration = Duration::from_secs(30);

/// What is to be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Where the archiver is between its start and its end.
    pub phase: Phase,
    /// The partitions that it has.
    pub partitions: usize,
    /// What waits; none where nothing does, or nothing is known yet.
    pub waiting: Option<Waiting>,
    /// How long ago Kafka's client last told how far it is.
    pub silent: Option<Duration>,
    /// For how long Kafka has been away.
    pub kafka_away: Option<Duration>,
    /// For how long the lake's store has been away.
    pub store_away: Option<Duration>,
    /// Partitions that are not read on until somebody acts, each with the reason.
    pub halted: Vec<(i32, String)>,
}

/// Where an archiver is between its start and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has not joined the group yet, for so long.
    Starting(Duration),
    /// The group has been sharing out partitions for so long.
    Settling(Duration),
    /// It reads, or waits for messages.
    Reading,
    /// It was told to end.
    Ending,
}

/// Messages that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// How many, of all partitions.
    pub messages: u64,
    /// The partition that has waited longest.
    pub partition: i32,
    /// For how long its messages have waited without a commit of any of them.
    pub without_commit: Duration,
}

/// The answer, as /healthz gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict<S = Status> {
    /// Whether it gets on.
    pub healthy: bool,
    /// What it is about, in a word.
    pub status: S,
    /// The same in a sentence.
    pub reason: String,
}

/// What an archiver is about, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It has not joined the group yet.
    Starting,
    /// The group shares out partitions.
    Rebalancing,
    /// Nothing waits.
    Idle,
    /// What waits is on its way.
    Archiving,
    /// It was told to end.
    Ending,
    /// A partition is halted.
    Halted,
    /// Messages wait, and none is committed.
    Stalled,
    /// Kafka does not answer.
    KafkaAway,
}

/// Judges an archiver. `limit` is how long messages may wait without a commit: TIMEOUT_SEC, for which a flush waits of
/// right, and what a flush and a commit may take.
pub fn judge(facts: &Facts, limit: Duration) -> Verdict {
    let late = |time: Duration| time > limit;
    let verdict = |healthy, status, reason: String| Verdict {
        healthy,
        status,
        reason: reason + &if healthy { String::new() } else { cause(facts) },
    };
    if facts.phase == Phase::Ending {
        return verdict(true, Status::Ending, "told to end: flushing what was read".to_owned());
    }
    if let Some(((partition, reason), others)) = facts.halted.split_first() {
        let more = match others.len() {
            0 => String::new(),
            count => format!(" ({count} more are halted)"),
        };
        let reason = format!("partition {partition} is halted until somebody acts: {reason}{more}");
        return verdict(false, Status::Halted, reason);
    }
    match facts.phase {
        Phase::Starting(time) if late(time) => {
            let reason = format!("started {} ago and has not joined the group", seconds(time));
            return verdict(false, Status::Starting, reason);
        }
        Phase::Settling(time) if late(time) => {
            let reason = format!("the group has been sharing out partitions for {}", seconds(time));
            return verdict(false, Status::Rebalancing, reason);
        }
        _ => {}
    }
    if let Some(silent) = facts.silent.filter(|silent| late(*silent) && *silent > SILENCE) {
        let reason = format!("the reading thread has not turned for {}", seconds(silent));
        return verdict(false, Status::Stalled, reason);
    }
    match (facts.waiting, facts.kafka_away) {
        (Some(waiting), _) if late(waiting.without_commit) => {
            let reason = format!(
                "{} messages wait, and of partition {} none was committed for {}",
                waiting.messages,
                waiting.partition,
                seconds(waiting.without_commit)
            );
            verdict(false, Status::Stalled, reason)
        }
        (_, Some(away)) if late(away) => verdict(
            false,
            Status::KafkaAway,
            "whether messages wait cannot be known".to_owned(),
        ),
        (waiting, _) => healthy(facts, waiting),
    }
}

fn healthy(facts: &Facts, waiting: Option<Waiting>) -> Verdict {
    let (status, reason) = match (facts.phase, waiting) {
        (Phase::Starting(_), _) => (Status::Starting, "joining the group".to_owned()),
        (Phase::Settling(_), _) => (Status::Rebalancing, "the group shares out partitions".to_owned()),
        (_, Some(waiting)) => (
            Status::Archiving,
            format!("{} messages are on their way", waiting.messages),
        ),
        (_, None) if facts.partitions == 0 => (
            Status::Idle,
            "no partition is assigned: others have them all".to_owned(),
        ),
        (_, None) => (Status::Idle, "nothing waits".to_owned()),
    };
    Verdict {
        healthy: true,
        status,
        reason,
    }
}

/// What is known to be away, to add to a reason.
fn cause(facts: &Facts) -> String {
    let mut cause = String::new();
    for (what, away) in [("the lake's store", facts.store_away), ("Kafka", facts.kafka_away)] {
        if let Some(away) = away {
            // Writing into a string cannot fail.
            let _ = write!(cause, "; {what} has been away for {}", seconds(away));
        }
    }
    cause
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}

#[cfg(test)]
mod tests;
