//! Where reading begins, and whether Kafka still has what comes next.

use std::collections::BTreeMap;

use super::ArchiveError;
use crate::config::kafka::OffsetReset;
use crate::kafka::Probe;

/// The first marks of partitions that the lake has never seen.
///
/// Where the lake knows other partitions of the topic, these were added later, and all that they hold came after the
/// archiver's start: they are read from their beginning, whatever `reset` says of a topic that is all new.
///
/// # Errors
/// [`ArchiveError::Kafka`] where no broker answers.
pub fn first(
    probe: &Probe,
    unseen: &[i32],
    topic_is_known: bool,
    reset: OffsetReset,
) -> Result<BTreeMap<i32, i64>, ArchiveError> {
    let watermarks = probe.watermarks(unseen)?;
    let earliest = topic_is_known || reset == OffsetReset::Earliest;
    let held: i64 = watermarks.values().map(|marks| marks.high - marks.low).sum();
    if !earliest && held > 0 {
        tracing::warn!(
            "the lake has never seen this topic, and AUTO_OFFSET_RESET=latest: the {held} offsets that it holds are left out; to archive them, start a new lake with AUTO_OFFSET_RESET=earliest"
        );
    }
    Ok(watermarks
        .into_iter()
        .map(|(partition, marks)| (partition, if earliest { marks.low } else { marks.high }))
        .collect())
}

/// Makes sure that Kafka still has the offsets that come next.
///
/// # Errors
/// [`ArchiveError::OffsetsGone`] and [`ArchiveError::TopicRecreated`] where it does not.
pub fn check(probe: &Probe, topic: &str, next: &BTreeMap<i32, i64>) -> Result<(), ArchiveError> {
    let partitions: Vec<i32> = next.keys().copied().collect();
    for (partition, marks) in probe.watermarks(&partitions)? {
        let mark = next.get(&partition).copied().unwrap_or_default();
        if mark < marks.low {
            return Err(ArchiveError::OffsetsGone {
                topic: topic.to_owned(),
                partition,
                from: mark,
                to: marks.low - 1,
            });
        }
        if mark > marks.high {
            return Err(ArchiveError::TopicRecreated {
                topic: topic.to_owned(),
                partition,
                end: marks.high,
                mark,
            });
        }
    }
    Ok(())
}
