//! Where reading begins, and whether Kafka still has what comes next.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ArchiveError;
use super::committer::Committer;
use super::loss::{self, Identity, Loss, Verdict};
use crate::config::kafka::OffsetReset;
use crate::kafka::{KafkaFault, Probe, TopicId, Watermarks};

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

/// What to do with a partition.
#[derive(Debug, Clone, Copy)]
pub struct Judged {
    /// That.
    pub verdict: Verdict,
    /// One past its last offset that may be read.
    pub end: i64,
}

/// What to do with each partition, of which `next` holds the offset that comes next; `known` is the topic that the lake
/// archives.
///
/// # Errors
/// [`ArchiveError::Kafka`] where no broker answers.
pub fn judge(
    probe: &Probe,
    known: Option<TopicId>,
    next: &BTreeMap<i32, i64>,
    accept_loss: bool,
) -> Result<BTreeMap<i32, Judged>, ArchiveError> {
    let partitions: Vec<i32> = next.keys().copied().collect();
    let topic = match known {
        Some(_) => Identity::of(known, probe.topic_id()?),
        None => Identity::Unknown,
    };
    let judged = |(partition, held): (i32, Watermarks)| {
        let verdict = loss::judge(topic, *next.get(&partition)?, held, accept_loss);
        Some((
            partition,
            Judged {
                verdict,
                end: held.high,
            },
        ))
    };
    Ok(probe.watermarks(&partitions)?.into_iter().filter_map(judged).collect())
}

/// Which topic the lake archives, and what Kafka no longer has of it.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The topic; none where Kafka gives topics no ids.
    pub id: Option<TopicId>,
    /// The partitions that end before their marks, or are another topic's: nothing of them seems to be left to archive.
    pub ended: BTreeMap<i32, Loss>,
}

/// Settles, before anything is read, which topic the lake archives; told to accept losses, begins another generation of
/// it where Kafka has another topic under its name or has lost a partition's end.
///
/// # Errors
/// [`ArchiveError`] where no broker answers, or the store fails.
pub async fn settle(committer: &mut Committer, probe: &Arc<Probe>, accept_loss: bool) -> Result<Settled, ArchiveError> {
    loop {
        let asked = Arc::clone(probe);
        let (present, held) = tokio::task::spawn_blocking(move || -> Result<_, KafkaFault> {
            let partitions = asked.partitions_of_new_topic()?;
            Ok((asked.topic_id()?, asked.watermarks(&partitions)?))
        })
        .await
        .map_err(|error| ArchiveError::Stopped(error.to_string()))??;
        let partitions: Vec<i32> = held.keys().copied().collect();
        let known = committer.know(present, &partitions).await?;
        let topic = Identity::of(known, present);
        let marks = committer.marks(&partitions).await?;
        let verdict = |(partition, held): (&i32, &Watermarks)| {
            let mark = marks.get(partition).copied().flatten()?;
            Some((*partition, loss::judge(topic, mark, *held, accept_loss)))
        };
        let verdicts: BTreeMap<i32, Verdict> = held.iter().filter_map(verdict).collect();
        let anew = present.filter(|_| verdicts.values().any(|verdict| *verdict == Verdict::Anew));
        let Some(present) = anew else {
            let ended = |(partition, verdict)| match verdict {
                Verdict::Halt(loss @ (Loss::CutShort { .. } | Loss::Shorter { .. } | Loss::MadeAnew)) => {
                    Some((partition, loss))
                }
                _ => None,
            };
            return Ok(Settled {
                id: known,
                ended: verdicts.into_iter().filter_map(ended).collect(),
            });
        };
        let starts = loss::starts(topic, &marks, &held);
        if committer.begin_generation(present, &starts).await? {
            let ends: BTreeMap<i32, i64> = marks.into_iter().filter_map(|(p, mark)| Some((p, mark?))).collect();
            tracing::warn!(archive = committer.archive(), from = ?starts, former_archive_ends_at = ?ends, "Kafka no longer has the topic as the lake holds it: what it holds now is archived under another name of its own; what the former topic may have held behind the end of its archive is lost, and how much that was is not known");
            return Ok(Settled {
                id: Some(present),
                ended: BTreeMap::new(),
            });
        }
    }
}
