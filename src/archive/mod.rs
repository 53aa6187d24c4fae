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

mod budget;
pub(crate) mod buffer;
mod checkpoint;
pub(crate) mod columns;
pub(crate) mod committer;
mod figures;
pub(crate) mod flush;
mod group;
pub mod ledger;
mod loss;
pub(crate) mod month;
mod outage;
mod pipeline;
pub(crate) mod quarantine;
mod report;
mod source;
mod starts;
mod store_outage;
pub(crate) mod sweep;
mod trouble;
pub(crate) mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use committer::Committer;
use pipeline::Topic;
pub use report::{ArchiveReport, Progress};
use tokio::sync::watch;

use crate::config::{ArchiveSettings, ConsumerSettings, KafkaSettings};
use crate::error::{HasKind, Kind};
use crate::kafka::{KafkaFault, Probe, Retention};
use crate::lake::{Lake, LakeError};
use crate::retry::Patience;

/// How often Kafka is asked how long it keeps the topic's messages.
const BETWEEN_RETENTIONS: Duration = Duration::from_secs(600);

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
    /// Where Kafka no longer has what comes next, record that in the lake and read on behind it.
    pub accept_loss: bool,
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
    let probe = Arc::new(Probe::new(&job.kafka)?);
    let mut report = ArchiveReport::default();
    let mut round = 0;
    loop {
        match archive(&job, &lake, &probe, &stop, &progress, round, &mut report).await {
            Ok(()) => return Ok(report),
            // A restart is the only recovery there is: the next round begins where the lake says.
            Err(ArchiveError::Anew) => {}
            Err(ArchiveError::Fenced { id, group, place }) => {
                let members = member_ids(&probe, &group, &stop).await?;
                if members.is_some_and(|members| !place.was_fenced_by_itself(&id, &members)) {
                    return Err(ArchiveError::Fenced { id, group, place });
                }
                tracing::warn!(
                    "Kafka was away for longer than this member's session, and took it for another one with its \
                     KAFKA_GROUP_INSTANCE_ID; there is none, and it joins again"
                );
            }
            Err(error) => return Err(error),
        }
        report.next_offsets.clear();
        round += 1;
    }
}

/// The ids of the group's members, asked for until Kafka answers; none where `stop` is set before.
async fn member_ids(probe: &Arc<Probe>, group: &str, stop: &AtomicBool) -> Result<Option<Vec<String>>, ArchiveError> {
    let mut patience = Patience::new("find out who has this member's place in the group");
    while !stop.load(Ordering::Relaxed) {
        let (probe, group) = (Arc::clone(probe), group.to_owned());
        let asked = tokio::task::spawn_blocking(move || probe.member_ids(&group));
        match asked.await.map_err(|error| ArchiveError::Stopped(error.to_string()))? {
            Ok(members) => return Ok(Some(members)),
            Err(fault) => patience.bear(fault).await?,
        }
    }
    Ok(None)
}

/// Archives one generation of the topic, and adds what was archived to the report.
async fn archive(
    job: &Job,
    lake: &Lake,
    probe: &Arc<Probe>,
    stop: &Arc<AtomicBool>,
    progress: &Arc<dyn Progress>,
    round: usize,
    report: &mut ArchiveReport,
) -> Result<(), ArchiveError> {
    let ended = |error: tokio::task::JoinError| ArchiveError::Stopped(error.to_string());
    let Some(mut committer) = open(job, lake, stop).await? else {
        return Ok(());
    };
    let mut patience = Patience::new("find out which topic is archived");
    let settled = loop {
        match starts::settle(&mut committer, probe, job.accept_loss).await {
            Ok(settled) => break settled,
            // At the start it is for whoever started it to know that Kafka is away.
            Err(error @ ArchiveError::Kafka(_)) if round == 0 => return Err(error),
            Err(error) => patience.bear(error).await?,
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
    };
    let (tell_retention, retention) = watch::channel(Retention::default());
    let topic = Topic {
        probe: Arc::clone(probe),
        settled,
        retention,
    };
    let (schema, version) = (committer.schema().clone(), committer.version());
    let (ends, pipeline) = pipeline::start(lake.clone(), committer, topic.clone());
    let (job, stop, progress, before) = (job.clone(), Arc::clone(stop), Arc::clone(progress), report.clone());
    let asking = tokio::spawn(ask_retention(job.kafka.clone(), tell_retention));
    let source = tokio::task::spawn_blocking(move || source::run(&job, schema, ends, topic, before, &stop, &*progress));
    let (archived, result) = source.await.map_err(ended)?;
    asking.abort();
    if matches!(
        result,
        Err(ArchiveError::Unflushed { .. } | ArchiveError::Fenced { .. })
    ) {
        // It waits for the lake, or for Kafka, and nobody waits for it any more.
        pipeline.abort();
    } else {
        pipeline.await.map_err(ended)?;
    }
    *report = ArchiveReport {
        lake_version: archived.lake_version.max(version),
        ..archived
    };
    result
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

/// Asks Kafka now and then how long it keeps the topic's messages.
async fn ask_retention(kafka: KafkaSettings, tell: watch::Sender<Retention>) {
    loop {
        let settings = kafka.clone();
        let answer = tokio::task::spawn_blocking(move || Retention::ask(&settings)).await;
        match answer {
            Ok(Ok(retention)) => drop(tell.send(retention)),
            Ok(Err(error)) => tracing::debug!(%error, "how long Kafka keeps messages is not known"),
            Err(error) => tracing::debug!(%error, "how long Kafka keeps messages was not asked"),
        }
        tokio::time::sleep(BETWEEN_RETENTIONS).await;
    }
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
    /// Kafka no longer has what comes next in partitions; all others are archived.
    #[error("of {topic}, not all is archived: {losses}; see the runbook for how to go on")]
    Halted {
        /// The topic.
        topic: String,
        /// Each partition, and what is lost of it.
        losses: String,
    },
    /// What the archiver holds is void, since the topic was made anew or has lost its end, and another generation of it
    /// begins: [`run`] begins again.
    #[error("the topic was made anew, and another generation of it is archived from now on; start the archiver again")]
    Anew,
    /// A partition has no mark where one was just set.
    #[error("the lake has lost its mark of partition {partition}; is something else writing to its log?")]
    NoMark {
        /// The partition.
        partition: i32,
    },
    /// Another member of the group took this one's static id.
    #[error(
        "another archiver joined the group {group} with KAFKA_GROUP_INSTANCE_ID={id} after this one, so this one ends; nothing is lost or doubled. If the other was started in this one's place, all is well. If both are meant to run, give each an id of its own: with the same id, each start of one ends the other"
    )]
    Fenced {
        /// The id.
        id: String,
        /// The group.
        group: String,
        /// What this one's place in the group was.
        place: group::Place,
    },
    /// The archiver had to stop before all that it had read was in the lake.
    #[error(
        "stopped with {messages} messages read and not archived: within {seconds} s the lake did not take them, or Kafka did not say that their topic is still the same; they are still in Kafka, and the next start reads them again"
    )]
    Unflushed {
        /// How many.
        messages: u64,
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
            ArchiveError::Halted { .. } | ArchiveError::Anew | ArchiveError::NoMark { .. } => Kind::Data,
            ArchiveError::Fenced { .. } => Kind::Configuration,
            ArchiveError::Unflushed { .. } => Kind::Retry,
            ArchiveError::Arrow(_) | ArchiveError::Stopped(_) => Kind::Bug,
        }
    }
}
