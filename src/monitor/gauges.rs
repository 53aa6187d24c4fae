//! The archiver's gauges that are computed from its state when they are asked for.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use chrono::{DateTime, Utc};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts};

use super::archiver::Peer;
use super::families::CONSTANT;
use super::state::State;

/// Gauges over a state.
pub struct StateGauges {
    topic: String,
    state: Arc<Mutex<State>>,
    lag: GaugeVec,
    assigned: GaugeVec,
    halted: GaugeVec,
    last_commit: GaugeVec,
    since_commit: GaugeVec,
    loss: GaugeVec,
    outage: GaugeVec,
    outage_start: GaugeVec,
}

impl StateGauges {
    /// The gauges of an archiver of this topic.
    pub fn new(topic: &str, state: Arc<Mutex<State>>) -> StateGauges {
        let gauges = |name: &str, help: &str, labels: &[&str]| -> GaugeVec {
            GaugeVec::new(Opts::new(name, help), labels).expect(CONSTANT)
        };
        StateGauges {
            topic: topic.to_owned(),
            state,
            lag: gauges(
                "lakebed_lag_messages",
                "Messages of a partition of this member that are in Kafka and not in the lake, as offsets.",
                &["topic", "partition"],
            ),
            assigned: gauges("lakebed_assigned_partitions", "Partitions that this member reads.", &[]),
            halted: gauges(
                "lakebed_halted_partitions",
                "Partitions of this member that are not read on until somebody acts.",
                &[],
            ),
            last_commit: gauges(
                "lakebed_last_commit_timestamp_seconds",
                "When this process last committed to the lake, in seconds since 1970; absent before the first time.",
                &[],
            ),
            since_commit: gauges(
                "lakebed_seconds_since_last_commit",
                "Seconds since this process last committed to the lake; before the first time, since its start.",
                &[],
            ),
            loss: gauges(
                "lakebed_until_data_loss_seconds",
                "Seconds until Kafka drops the oldest message that is not archived; absent where that is not known.",
                &[],
            ),
            outage: gauges(
                "lakebed_outage",
                "1 while the peer (Kafka, or the lake's store) is away, else 0.",
                &["peer"],
            ),
            outage_start: gauges(
                "lakebed_outage_start_timestamp_seconds",
                "Since when the peer has been away, in seconds since 1970; absent where it is not.",
                &["peer"],
            ),
        }
    }

    fn all(&self) -> [&GaugeVec; 8] {
        [
            &self.lag,
            &self.assigned,
            &self.halted,
            &self.last_commit,
            &self.since_commit,
            &self.loss,
            &self.outage,
            &self.outage_start,
        ]
    }

    fn set(&self) {
        let now = Instant::now();
        let state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for gauges in self.all() {
            gauges.reset();
        }
        let one = |gauges: &GaugeVec, value: f64| gauges.with_label_values::<&str>(&[]).set(value);
        for (partition, lag) in state.lags() {
            let labels = [self.topic.as_str(), &partition.to_string()];
            self.lag.with_label_values(&labels).set(lag as f64);
        }
        one(&self.assigned, state.partitions() as f64);
        one(&self.halted, state.halted() as f64);
        if let Some((_, clock)) = state.last_commit {
            one(&self.last_commit, seconds(clock));
        }
        one(&self.since_commit, state.since_commit(now).as_secs_f64());
        if let Some(loss) = state.loss {
            one(&self.loss, loss.saturating_duration_since(now).as_secs_f64());
        }
        for (peer, outage) in [(Peer::Kafka, state.kafka), (Peer::Store, state.store)] {
            let away = if outage.is_some() { 1.0 } else { 0.0 };
            self.outage.with_label_values(&[peer.as_str()]).set(away);
            if let Some(outage) = outage {
                self.outage_start
                    .with_label_values(&[peer.as_str()])
                    .set(seconds(outage.since));
            }
        }
    }
}

impl Collector for StateGauges {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(|gauges| gauges.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.set();
        self.all().into_iter().flat_map(|gauges| gauges.collect()).collect()
    }
}

/// Seconds since 1970, as Prometheus has times.
pub(super) fn seconds(clock: DateTime<Utc>) -> f64 {
    clock.timestamp_millis() as f64 / 1000.0
}
