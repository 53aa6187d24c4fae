//! The archiver's figures: what it calls when something happens, and the families that Prometheus reads.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use chrono::Utc;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Registry};
use rdkafka::statistics::Statistics;

use super::families::{counter, counters, gauge, histogram};
use super::gauges::StateGauges;
use super::health::Facts;
use super::state::{Fetched, State};

/// The reason of messages that a process which died before it could count them had put into quarantine.
const UNKNOWN: &str = "unknown";

/// What the archiver stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The brokers.
    Kafka,
    /// The lake's store.
    Store,
}

impl Peer {
    /// Its name as a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Peer::Kafka => "kafka",
            Peer::Store => "store",
        }
    }
}

/// The figures of an archiver, each of which stands in docs/metrics.md.
pub struct Archiver {
    consumed: IntCounter,
    consumed_bytes: IntCounter,
    rows: IntCounter,
    quarantined: IntCounterVec,
    tombstones: IntCounter,
    flushes: IntCounterVec,
    commit_seconds: Histogram,
    put_seconds: Histogram,
    conflicts: IntCounter,
    superseded: IntCounter,
    rebalances: IntCounterVec,
    errors: IntCounterVec,
    buffered_bytes: IntGauge,
    budget_bytes: IntGauge,
    state: Arc<Mutex<State>>,
}

impl Archiver {
    /// The figures of an archiver that starts now.
    pub(super) fn new() -> Archiver {
        Archiver {
            consumed: counter(
                "lakebed_messages_consumed_total",
                "Messages read from Kafka; those that were read again count again.",
            ),
            consumed_bytes: counter("lakebed_consumed_bytes_total", "Bytes of their keys and values."),
            rows: counter(
                "lakebed_rows_archived_total",
                "Messages that became rows of raw_events.",
            ),
            quarantined: counters(
                "lakebed_messages_quarantined_total",
                "Messages that went to the quarantine table, by reason.",
                "reason",
            ),
            tombstones: counter(
                "lakebed_tombstones_total",
                "Messages without a value, which make no row.",
            ),
            flushes: counters(
                "lakebed_flushes_total",
                "Flushes that were settled, by what cut them.",
                "cause",
            ),
            commit_seconds: histogram(
                "lakebed_commit_duration_seconds",
                "Time to make flushes part of the lake, both tables and all tries included.",
            ),
            put_seconds: histogram(
                "lakebed_put_duration_seconds",
                "Time to put a data file into the lake's store.",
            ),
            conflicts: counter(
                "lakebed_commit_conflicts_total",
                "Commits that found another writer's in their place and were judged anew.",
            ),
            superseded: counter(
                "lakebed_superseded_total",
                "Parts of flushes, by partition, that were dropped because another member had archived on.",
            ),
            rebalances: counters(
                "lakebed_rebalances_total",
                "What the group wanted of this member, by kind.",
                "kind",
            ),
            errors: counters(
                "lakebed_errors_total",
                "Failures of Kafka and of the lake's store that the archiver waits out.",
                "peer",
            ),
            buffered_bytes: gauge(
                "lakebed_buffered_bytes",
                "Bytes of messages that were read and not archived yet.",
            ),
            budget_bytes: gauge(
                "lakebed_memory_budget_bytes",
                "The budget of bytes for messages on their way into the lake.",
            ),
            state: Arc::new(Mutex::new(State::new(Instant::now()))),
        }
        .with_known_labels()
    }

    /// Shows them in a registry.
    ///
    /// # Errors
    /// Where a name is there already.
    pub fn register(&self, topic: &str, registry: &Registry) -> prometheus::Result<()> {
        let counters = [
            &self.consumed,
            &self.consumed_bytes,
            &self.rows,
            &self.tombstones,
            &self.conflicts,
            &self.superseded,
        ];
        for counter in counters {
            registry.register(Box::new(counter.clone()))?;
        }
        for family in [&self.quarantined, &self.flushes, &self.rebalances, &self.errors] {
            registry.register(Box::new(family.clone()))?;
        }
        for histogram in [&self.commit_seconds, &self.put_seconds] {
            registry.register(Box::new(histogram.clone()))?;
        }
        for gauge in [&self.buffered_bytes, &self.budget_bytes] {
            registry.register(Box::new(gauge.clone()))?;
        }
        registry.register(Box::new(StateGauges::new(topic, Arc::clone(&self.state))))
    }

    /// What is to be judged ([`super::health::judge`]).
    pub fn facts(&self) -> Facts {
        self.state().facts(Instant::now())
    }

    /// Messages and bytes that were read since the last call.
    pub fn consumed(&self, tally: &mut Tally) {
        self.consumed.inc_by(std::mem::take(&mut tally.messages));
        self.consumed_bytes.inc_by(std::mem::take(&mut tally.bytes));
    }

    /// Bytes that are held on their way into the lake.
    pub fn buffered(&self, bytes: usize) {
        self.buffered_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// The budget for them.
    pub fn budget(&self, bytes: usize) {
        self.budget_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// A data file was put into the store, or failed to be.
    pub fn put(&self, took: Duration) {
        self.put_seconds.observe(took.as_secs_f64());
    }

    /// Flushes were settled, each cut by this cause.
    pub fn committed(&self, took: Duration, causes: impl IntoIterator<Item = &'static str>) {
        self.commit_seconds.observe(took.as_secs_f64());
        for cause in causes {
            self.flushes.with_label_values(&[cause]).inc();
        }
    }

    /// A partition is in the lake up to `next`: so many rows, tombstones and quarantined messages more, of which these
    /// reasons are known.
    pub fn archived(
        &self,
        partition: i32,
        next: i64,
        rows: u64,
        tombstones: u64,
        quarantined: u64,
        reasons: impl IntoIterator<Item = &'static str>,
    ) {
        self.rows.inc_by(rows);
        self.tombstones.inc_by(tombstones);
        let mut known = 0;
        for reason in reasons {
            self.quarantined.with_label_values(&[reason]).inc();
            known += 1;
        }
        self.quarantined
            .with_label_values(&[UNKNOWN])
            .inc_by(quarantined.saturating_sub(known));
        let (now, mut state) = (Instant::now(), self.state());
        state.last_commit = Some((now, Utc::now()));
        state.archived(partition, next, now);
    }

    /// A part of a flush was dropped, because another member had archived on.
    pub fn superseded(&self) {
        self.superseded.inc();
    }

    /// A commit found another writer's in its place.
    pub fn conflict(&self) {
        self.conflicts.inc();
    }

    /// The group wants something: `assigned`, `revoked` or `lost`.
    pub fn rebalanced(&self, kind: &str) {
        self.rebalances.with_label_values(&[kind]).inc();
    }

    /// Reading of these partitions begins at these marks.
    pub fn begins<'a>(&self, marks: impl IntoIterator<Item = (&'a i32, &'a i64)>) {
        let mut state = self.state();
        for (partition, mark) in marks {
            state.begin(*partition, *mark);
        }
    }

    /// These partitions are read no more.
    pub fn ends(&self, partitions: &[i32]) {
        let mut state = self.state();
        for partition in partitions {
            state.end(*partition);
        }
    }

    /// A partition is not read on until somebody acts; `reason` is a sentence for them.
    pub fn halted(&self, partition: i32, reason: &str) {
        self.state().halt(partition, reason.to_owned());
    }

    /// A halted partition is read on.
    pub fn goes_on(&self, partition: i32) {
        self.state().go_on(partition);
    }

    /// When Kafka drops the oldest message that is not archived, where that is known.
    pub fn loses_data_in(&self, time: Option<Duration>) {
        self.state().loss = time.and_then(|time| Instant::now().checked_add(time));
    }

    /// A peer failed in a way that passes.
    pub fn failed(&self, peer: Peer) {
        self.errors.with_label_values(&[peer.as_str()]).inc();
        let (now, clock) = (Instant::now(), Utc::now());
        match peer {
            Peer::Kafka => self.state().kafka_fails(now, clock),
            Peer::Store => self.state().store_fails(now, clock),
        }
    }

    /// A peer answers.
    pub fn answers(&self, peer: Peer) {
        let mut state = self.state();
        match peer {
            Peer::Kafka => state.kafka = None,
            Peer::Store => state.store = None,
        }
    }

    /// The archiver was told to end.
    pub fn ending(&self) {
        self.state().end_all();
    }

    /// What Kafka's client tells of itself from time to time.
    pub fn hear(&self, statistics: &Statistics) {
        let steady = statistics
            .cgrp
            .as_ref()
            .is_some_and(|group| group.join_state == "steady");
        let partitions = statistics.topics.values().flat_map(|topic| topic.partitions.values());
        let fetched = partitions.filter_map(|partition| {
            // What a reader sees ends at the last stable offset; a broker that knows none tells the high watermark.
            let end = [partition.ls_offset, partition.hi_offset]
                .into_iter()
                .find(|end| *end >= 0)?;
            let fetched = Fetched {
                end,
                next: partition.next_offset,
                queued: partition.fetchq_cnt,
                handed_over: partition.app_offset,
            };
            Some((partition.partition, fetched))
        });
        self.state().hear(steady, statistics.rx, fetched, Instant::now());
    }

    /// Labels whose values are known show from the start, so that their first increase is seen as one.
    fn with_known_labels(self) -> Archiver {
        for reason in [
            "not_json",
            "not_an_object",
            "timestamp_missing",
            "timestamp_invalid",
            "timestamp_too_old",
            "timestamp_in_future",
            "too_large",
            UNKNOWN,
        ] {
            self.quarantined.with_label_values(&[reason]);
        }
        for cause in ["size", "time", "memory", "revoked", "loss", "stop"] {
            self.flushes.with_label_values(&[cause]);
        }
        for kind in ["assigned", "revoked", "lost"] {
            self.rebalances.with_label_values(&[kind]);
        }
        for peer in [Peer::Kafka, Peer::Store] {
            self.errors.with_label_values(&[peer.as_str()]);
        }
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Messages and bytes that were read and not yet told to [`Archiver::consumed`].
#[derive(Debug, Default)]
pub struct Tally {
    messages: u64,
    bytes: u64,
}

impl Tally {
    /// Adds a message.
    pub fn add(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.messages += 1;
        self.bytes += (key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len)) as u64;
    }
}
