//! Kafka into the lake, exactly once.
//!
//! [`source`] reads messages into a [`buffer`], which cuts them into a [`flush`]; the [`pipeline`] has each flush
//! written as Parquet by the [`writer`] and committed, files and offsets together, by the [`committer`]. Only then are
//! the group's offsets committed, for lag monitors to see: where reading begins is what the lake says, never the group.
//!
//! Why no message is lost or doubled: a partition's mark in the lake moves only in the commit that adds its rows, and
//! that commit is made only on top of a state whose mark equals the first offset of what is committed
//! ([`checkpoint`]). Whatever happens to a process, its partitions, its requests or their answers, the next reading
//! begins at the mark.

pub(crate) mod buffer;
mod checkpoint;
pub(crate) mod columns;
pub(crate) mod committer;
mod figures;
pub(crate) mod flush;
mod group;
pub mod ledger;
pub(crate) mod month;
mod pipeline;
mod quarantine;
mod report;
mod source;
mod starts;
pub(crate) mod sweep;
mod trouble;
pub(crate) mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use committer::Committer;
pub use report::{ArchiveReport, Progress};

use crate::config::{ArchiveSettings, ConsumerSettings, KafkaSettings};
use crate::error::{HasKind, Kind};
use crate::kafka::KafkaFault;
use crate::lake::{Lake, LakeError};
use crate::retry::Patience;

/// What one archiver is to do.
#[derive(Debug, Clone)]
pub struct Job {
    /// Where Kafka is.
    pub kafka: KafkaSettings,
    /// How to take part in the group.
    pub consumer: ConsumerSettings,
    /// When to flush.
    pub archive: ArchiveSettings,
    /// Stop once all that the topic held at the start is archived.
    pub until_end: bool,
}

/// Archives until `stop` is set, or, under `until_end`, until all that the topic held at the start is in the lake.
/// When it returns, all that was read is in the lake and the group has been left.
///
/// # Errors
/// [`ArchiveError`]; what had been read and not archived is still in Kafka, and the next start reads it again.
pub async fn run(
    job: Job,
    lake: Lake,
    stop: Arc<AtomicBool>,
    progress: Arc<dyn Progress>,
) -> Result<ArchiveReport, ArchiveError> {
    let Some(committer) = open(&job, &lake, &stop).await? else {
        return Ok(ArchiveReport::default());
    };
    let (schema, version) = (committer.schema().clone(), committer.version());
    let (ends, pipeline) = pipeline::start(lake, job.kafka.topic.clone(), committer);
    let source = tokio::task::spawn_blocking(move || source::run(&job, schema, ends, &stop, &*progress));
    let report = source.await.map_err(|error| ArchiveError::Stopped(error.to_string()))?;
    pipeline
        .await
        .map_err(|error| ArchiveError::Stopped(error.to_string()))?;
    report.map(|report| ArchiveReport {
        lake_version: report.lake_version.max(version),
        ..report
    })
}

/// Opens the lake's tables, trying as often as it takes; none where `stop` is set before that has worked.
async fn open(job: &Job, lake: &Lake, stop: &AtomicBool) -> Result<Option<Committer>, ArchiveError> {
    let max_columns = usize::try_from(job.archive.max_columns).unwrap_or(usize::MAX);
    let mut patience = Patience::new("open the lake's tables");
    while !stop.load(Ordering::Relaxed) {
        match Committer::open(lake, &job.kafka.topic, max_columns).await {
            Ok(committer) => return Ok(Some(committer)),
            Err(error) => patience.bear(error).await?,
        }
    }
    Ok(None)
}

/// What can go wrong while archiving.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Kafka.
    #[error(transparent)]
    Kafka(#[from] KafkaFault),
    /// Kafka dropped messages before they were archived.
    #[error(
        "Kafka no longer has offsets {from} to {to} of {topic}, partition {partition}: they were dropped before they were archived; raise the topic's retention, and see the runbook for how to go on behind the gap"
    )]
    OffsetsGone {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The first offset that is lost.
        from: i64,
        /// The last offset that is lost.
        to: i64,
    },
    /// The topic ends before what the lake holds of it.
    #[error(
        "{topic}, partition {partition}, ends at offset {end}, but the lake holds it up to {mark}: the topic was deleted and made anew, or KAFKA_BROKERS names another cluster; archive it into another lake, or under another topic name"
    )]
    TopicRecreated {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// One past the topic's last offset.
        end: i64,
        /// The lake's mark.
        mark: i64,
    },
    /// A partition has no mark where one was just set.
    #[error("the lake has lost its mark of partition {partition}; is something else writing to its log?")]
    NoMark {
        /// The partition.
        partition: i32,
    },
    /// The archiver had to stop before all that it had read was in the lake.
    #[error(
        "stopped with {flushes} flushes read and not archived, since the lake took nothing for {seconds} s; they are still in Kafka, and the next start reads them again"
    )]
    Unflushed {
        /// How many.
        flushes: u64,
        /// For how long the archiver waited.
        seconds: u64,
    },
    /// Rows could not be rearranged.
    #[error("rows could not be rearranged: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// A part of the archiver ended on its own.
    #[error("a part of the archiver ended on its own: {0}")]
    Stopped(String),
}

impl HasKind for ArchiveError {
    fn kind(&self) -> Kind {
        match self {
            ArchiveError::Lake(error) => error.kind(),
            ArchiveError::Kafka(error) => error.kind(),
            ArchiveError::OffsetsGone { .. } | ArchiveError::TopicRecreated { .. } | ArchiveError::NoMark { .. } => {
                Kind::Data
            }
            ArchiveError::Unflushed { .. } => Kind::Retry,
            ArchiveError::Arrow(_) | ArchiveError::Stopped(_) => Kind::Bug,
        }
    }
}
