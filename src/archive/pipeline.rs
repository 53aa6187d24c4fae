//! From a flush to its commit, beside the thread that reads Kafka.
//!
//! Files of several flushes are written in parallel; one commit then takes all that are ready, in the order in which
//! they were read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use futures::{Stream, StreamExt, stream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::ArchiveError;
use super::budget::{self, Held};
use super::committer::{Committer, Fate, Group, Resume};
use super::figures::Figures;
use super::flush::{Cause, Flush};
use super::starts::Settled;
use super::store_outage::StoreOutage;
use super::writer::{self, Written};
use crate::event::EventSchema;
use crate::kafka::{KafkaFault, Probe, Retention};
use crate::lake::Lake;
use crate::memory;
use crate::monitor::{self, Peer};
use crate::retry::Patience;

/// Flushes that are written at a time.
pub const PARALLEL_FLUSHES: usize = 2;
/// Flushes that one commit takes at most.
const GROUP: usize = 64;
/// How long a commit waits for more flushes while they come one upon the other: it costs the same for one as for many.
const GATHER: Duration = Duration::from_millis(50);

/// The least time between two looks for litter, each of which lists the table's folder.
const BETWEEN_SWEEPS: Duration = Duration::from_secs(60);

/// What the reading thread asks for.
#[derive(Debug)]
pub enum Request {
    /// Archive this, and give back what is held of the memory budget for it as it needs less.
    Flush(Box<Flush>, Held),
    /// Tell the marks of these partitions.
    Marks(Vec<i32>),
    /// Set the first marks of these partitions where the lake has none.
    Adopt(BTreeMap<i32, i64>),
    /// Tell where to begin to read these partitions.
    Resume(Vec<i32>),
}

/// What it is told, in the order in which it asked.
#[derive(Debug)]
pub enum Reply {
    /// What became of flushes.
    Settled {
        /// Each part of each flush.
        fates: Vec<(i32, Fate)>,
        /// Flushes that these were.
        flushes: usize,
        /// The columns of raw_events.
        schema: EventSchema,
        /// Its version.
        version: u64,
    },
    /// A flush was of another topic under the same name, and is dropped.
    Foreign,
    /// The answer to [`Request::Marks`].
    Marks(BTreeMap<i32, Option<i64>>),
    /// The answer to [`Request::Adopt`].
    Adopted,
    /// The answer to [`Request::Resume`].
    Resumed(BTreeMap<i32, Resume>),
    /// The pipeline has ended: this cannot be mended by waiting.
    Failed(ArchiveError),
}

/// The reading thread's ends of the pipeline.
pub struct Ends {
    /// Takes what it asks for; the pipeline ends once this is dropped.
    pub requests: mpsc::Sender<Request>,
    /// Gives what it is told.
    pub replies: std::sync::mpsc::Receiver<Reply>,
    /// Tells whether the lake's store is away.
    pub store: StoreOutage,
    /// Has what is written be committed without waiting for more: nothing more comes before it is.
    pub hurry: Arc<Notify>,
}

/// Starts the pipeline; the task ends once the requests' sender is dropped, or with [`Reply::Failed`].
pub fn start(lake: Lake, committer: Committer, topic: Topic) -> (Ends, JoinHandle<()>) {
    let (requests, incoming) = mpsc::channel(GROUP);
    let (replies, outgoing) = std::sync::mpsc::channel();
    let store = StoreOutage::default();
    let ends = Ends {
        requests,
        replies: outgoing,
        store: store.clone(),
        hurry: Arc::default(),
    };
    let hurry = Arc::clone(&ends.hurry);
    let task = tokio::spawn(async move {
        if let Err(error) = serve(lake, store, committer, topic, incoming, &hurry, &replies).await {
            // Nobody listens any more where the reading thread has ended before.
            let _ = replies.send(Reply::Failed(error));
        }
    });
    (ends, task)
}

/// A request whose files, if it has any, are written.
enum Step {
    Written(Box<Written>, Held),
    Ask(Request),
}

async fn serve(
    lake: Lake,
    store: StoreOutage,
    mut committer: Committer,
    topic: Topic,
    mut incoming: mpsc::Receiver<Request>,
    hurry: &Notify,
    replies: &std::sync::mpsc::Sender<Reply>,
) -> Result<(), ArchiveError> {
    let mut swept: Option<Instant> = None;
    let requests = stream::poll_fn(move |context| incoming.poll_recv(context));
    let archive = committer.archive().to_owned();
    let steps = written(lake, archive, store.clone(), requests);
    let (done, mut steps_done) = mpsc::channel(GROUP);
    // A task of its own, so that the next flushes are taken up while the pipeline commits; it ends with this one.
    let mut writing = JoinSet::new();
    writing.spawn(async move {
        let mut steps = std::pin::pin!(steps);
        while let Some(step) = steps.next().await {
            if done.send(step).await.is_err() {
                return;
            }
        }
    });
    let mut before = None;
    while let Some(first) = steps_done.recv().await {
        let (mut ready, mut held) = (Vec::new(), Vec::new());
        for step in gathered(first, &mut steps_done, hurry, &mut before).await {
            match step? {
                Step::Written(written, bytes) => {
                    ready.push(*written);
                    held.push(bytes);
                }
                Step::Ask(request) => {
                    settle(&mut committer, &topic, std::mem::take(&mut ready), &store, replies).await?;
                    held.clear();
                    let reply = answer(&mut committer, request, &store).await?;
                    let _ = replies.send(reply);
                }
            }
        }
        settle(&mut committer, &topic, ready, &store, replies).await?;
        drop(held);
        if committer.has_litter() && swept.is_none_or(|swept| swept.elapsed() >= BETWEEN_SWEEPS) {
            tidy(&mut committer).await;
            swept = Some(Instant::now());
        }
    }
    if committer.has_litter() {
        tidy(&mut committer).await;
    }
    Ok(())
}

/// The topic that is read, and what tells it from another one under its name.
#[derive(Clone)]
pub struct Topic {
    /// Asks Kafka.
    pub probe: Arc<Probe>,
    /// What was settled about it at the start.
    pub settled: Settled,
    /// How long Kafka keeps its messages, as far as that is known by now.
    pub retention: watch::Receiver<Retention>,
}

impl Topic {
    /// Whether all that has been read by now is of the topic that the lake archives: the ids of topics never come back,
    /// so that the topic which is there now is the only one that there has been since the lake was told its id. Waits
    /// until Kafka says so, however long that takes.
    async fn is_the_same(&self) -> Result<bool, ArchiveError> {
        let Some(known) = self.settled.id else {
            return Ok(true);
        };
        let mut patience = Patience::new("ask Kafka whether the topic is still the same");
        loop {
            let probe = Arc::clone(&self.probe);
            let asked = tokio::task::spawn_blocking(move || probe.topic_id());
            match asked.await.map_err(|error| ArchiveError::Stopped(error.to_string()))? {
                Ok(present) => return Ok(present.is_none_or(|present| present == known)),
                // It may come back, as after a restart of the brokers, or be made anew.
                Err(gone @ KafkaFault::NoTopic { .. }) => {
                    let reason = gone.to_string();
                    patience
                        .bear(KafkaFault::Request {
                            what: "tell the topic's id",
                            reason,
                        })
                        .await?;
                }
                Err(fault) => patience.bear(fault).await?,
            }
        }
    }
}

/// What is done by now, and what is done soon where the last step, whose time `before` is, was done just now too.
async fn gathered(
    first: Result<Step, ArchiveError>,
    done: &mut mpsc::Receiver<Result<Step, ArchiveError>>,
    hurry: &Notify,
    before: &mut Option<tokio::time::Instant>,
) -> Vec<Result<Step, ArchiveError>> {
    let now = tokio::time::Instant::now();
    let until = match before {
        Some(before) if *before + GATHER > now => now + GATHER,
        _ => now,
    };
    let mut steps = vec![first];
    while steps.len() < GROUP && steps.last().is_some_and(can_wait) {
        let next = tokio::select! {
            biased;
            step = done.recv() => step,
            () = hurry.notified() => None,
            () = tokio::time::sleep_until(until) => None,
        };
        match next {
            Some(step) => steps.push(step),
            None => break,
        }
    }
    *before = Some(tokio::time::Instant::now());
    steps
}

/// Whether nobody waits for this step.
fn can_wait(step: &Result<Step, ArchiveError>) -> bool {
    match step {
        Ok(Step::Written(written, _)) => !matches!(written.flush.cause, Cause::Stop | Cause::Revoked),
        Ok(Step::Ask(_)) | Err(_) => false,
    }
}

/// The requests in their order, flushes written on the way.
fn written(
    lake: Lake,
    archive: String,
    store: StoreOutage,
    requests: impl Stream<Item = Request>,
) -> impl Stream<Item = Result<Step, ArchiveError>> {
    requests
        .map(move |request| {
            let (lake, archive, store) = (lake.clone(), archive.clone(), store.clone());
            // A task of its own, so that several are written at a time.
            tokio::spawn(async move {
                let (flush, mut held) = match request {
                    Request::Flush(flush, held) => (*flush, held),
                    other => return Ok(Step::Ask(other)),
                };
                let (rows, rejected) = (flush.row_bytes, flush.rejected_bytes());
                let encoded = writer::encode(&lake, &archive, flush, Utc::now()).await?;
                held.set(budget::to_put(rows, encoded.bytes(), rejected));
                let mut attempts = store.attempts("write a flush");
                let adds = loop {
                    match encoded.put(&lake).await {
                        Ok(adds) => break adds,
                        Err(error) => attempts.bear(error).await?,
                    }
                };
                let written = encoded.written(adds);
                held.set(budget::to_commit(rows, rejected));
                Ok(Step::Written(Box::new(written), held))
            })
        })
        .buffered(PARALLEL_FLUSHES)
        .map(|joined| joined.map_err(|error| ArchiveError::Stopped(error.to_string()))?)
}

/// Commits what is ready, provided that it is of the topic that the lake archives.
async fn settle(
    committer: &mut Committer,
    topic: &Topic,
    ready: Vec<Written>,
    store: &StoreOutage,
    replies: &std::sync::mpsc::Sender<Reply>,
) -> Result<(), ArchiveError> {
    if ready.is_empty() {
        return Ok(());
    }
    // Asked after it was read and before it is committed.
    if !topic.is_the_same().await? {
        committer.abandon();
        for _ in ready {
            let _ = replies.send(Reply::Foreign);
        }
        return Ok(());
    }
    commit(committer, ready, store, replies).await
}

async fn commit(
    committer: &mut Committer,
    ready: Vec<Written>,
    store: &StoreOutage,
    replies: &std::sync::mpsc::Sender<Reply>,
) -> Result<(), ArchiveError> {
    let flushes = ready.len();
    let figures = Figures::of(&ready);
    let mut group = Group::from(ready);
    let mut attempts = store.attempts("commit to the lake");
    let fates = loop {
        match committer.commit(&mut group).await {
            Ok(fates) => break fates,
            Err(error) => attempts.bear(error).await?,
        }
    };
    tracing::debug!(flushes, causes = ?figures.causes, version = committer.version(), "committed");
    figures.tell(&fates);
    let _ = replies.send(Reply::Settled {
        fates,
        flushes,
        schema: committer.schema().clone(),
        version: committer.version(),
    });
    Ok(())
}

/// Litter harms nobody who reads the table, so that it could not be swept is no reason to stop.
async fn tidy(committer: &mut Committer) {
    if let Err(error) = committer.sweep().await {
        tracing::warn!(%error, "files that no commit names were not swept; the next commit tries again");
    }
    memory::give_back();
}

async fn answer(committer: &mut Committer, request: Request, store: &StoreOutage) -> Result<Reply, ArchiveError> {
    let mut attempts = store.attempts("read the lake's marks");
    loop {
        match try_answer(committer, &request).await {
            Ok(reply) => {
                monitor::archiver().answers(Peer::Store);
                return Ok(reply);
            }
            Err(error) => attempts.bear(error).await?,
        }
    }
}

async fn try_answer(committer: &mut Committer, request: &Request) -> Result<Reply, ArchiveError> {
    match request {
        Request::Marks(partitions) => committer.marks(partitions).await.map(Reply::Marks),
        Request::Adopt(starts) => committer.adopt(starts).await.map(|()| Reply::Adopted),
        Request::Resume(partitions) => committer.resume(partitions).await.map(Reply::Resumed),
        Request::Flush(..) => Err(ArchiveError::Stopped("a flush was asked like a question".to_owned())),
    }
}
