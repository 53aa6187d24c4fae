//! The figures of a process that runs again and again: what it calls when something happens, and the families that
//! Prometheus reads.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use super::families::{CONSTANT, counter, counters, run_histogram, run_histograms};
use super::gauges::seconds;
use super::run_health::RunFacts;

/// Why a time at which a run was due is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// Another process was at work.
    Held,
    /// This process's own run took until after it.
    Late,
}

impl Skip {
    fn as_str(self) -> &'static str {
        match self {
            Skip::Held => "held",
            Skip::Late => "late",
        }
    }
}

/// What a run has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// Events of its window.
    pub events: u64,
    /// Data files that it opened.
    pub files: u64,
    /// Bytes that it read of them.
    pub bytes: u64,
    /// How often it asked the lake's store, by kind.
    pub requests: [(&'static str, u64); 4],
}

/// The figures of such a process, each of which stands in docs/metrics.md.
pub struct Processor {
    runs: IntCounterVec,
    skipped: IntCounterVec,
    retries: IntCounter,
    events: IntCounter,
    files: IntCounter,
    bytes: IntCounter,
    requests: IntCounterVec,
    run_seconds: Histogram,
    step_seconds: HistogramVec,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    ending: bool,
    begun: Option<Instant>,
    due: Option<Instant>,
    failed: Option<(u64, String)>,
    succeeded: Option<(Instant, DateTime<Utc>)>,
    lake_version: Option<u64>,
}

impl Processor {
    pub(super) fn new() -> Processor {
        let processor = Processor {
            runs: counters(
                "lakebed_runs_total",
                "Runs that have ended, by outcome; a run that is tried again counts once.",
                "outcome",
            ),
            skipped: counters(
                "lakebed_runs_skipped_total",
                "Times at which a run was due and none began, by reason.",
                "reason",
            ),
            retries: counter(
                "lakebed_run_retries_total",
                "Further tries of runs, after a server or the store had failed.",
            ),
            events: counter(
                "lakebed_run_events_total",
                "Events of the windows of runs that ended well.",
            ),
            files: counter(
                "lakebed_run_files_total",
                "Data files of raw_events that these runs opened: most are those that no earlier run had summed up.",
            ),
            bytes: counter("lakebed_run_bytes_total", "Bytes that they read of these files."),
            requests: counters(
                "lakebed_run_requests_total",
                "Requests of these runs to the lake's store, by kind, tries of one request counted once.",
                "request",
            ),
            run_seconds: run_histogram(
                "lakebed_run_duration_seconds",
                "Time from a run's beginning to its end, all tries included.",
            ),
            step_seconds: run_histograms(
                "lakebed_run_step_duration_seconds",
                "Time of each step of a try.",
                "step",
            ),
            state: Arc::new(Mutex::new(State {
                ending: false,
                begun: None,
                due: None,
                failed: None,
                succeeded: None,
                lake_version: None,
            })),
        };
        for outcome in ["published", "ignored", "superseded", "failed"] {
            processor.runs.with_label_values(&[outcome]);
        }
        for reason in [Skip::Held, Skip::Late] {
            processor.skipped.with_label_values(&[reason.as_str()]);
        }
        for request in ["get", "put", "list", "delete"] {
            processor.requests.with_label_values(&[request]);
        }
        for step in ["prepare", "sum_up", "tables", "publish"] {
            processor.step_seconds.with_label_values(&[step]);
        }
        processor
    }

    /// Shows them in a registry.
    ///
    /// # Errors
    /// Where a name is there already.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        for counter in [&self.retries, &self.events, &self.files, &self.bytes] {
            registry.register(Box::new(counter.clone()))?;
        }
        for family in [&self.runs, &self.skipped, &self.requests] {
            registry.register(Box::new(family.clone()))?;
        }
        registry.register(Box::new(self.run_seconds.clone()))?;
        registry.register(Box::new(self.step_seconds.clone()))?;
        registry.register(Box::new(RunGauges::new(Arc::clone(&self.state))))
    }

    /// What is to be judged ([`super::run_health::judge`]).
    pub fn facts(&self) -> RunFacts {
        self.state().facts(Instant::now())
    }

    /// The next run is due after this time.
    pub fn next(&self, wait: Duration) {
        self.state().due = Instant::now().checked_add(wait);
    }

    /// A run begins.
    pub fn begins(&self) {
        self.state().begun = Some(Instant::now());
    }

    /// A step of a run has ended, well or not.
    pub fn step(&self, step: &str, took: Duration) {
        self.step_seconds.with_label_values(&[step]).observe(took.as_secs_f64());
    }

    /// A run is tried again.
    pub fn retried(&self) {
        self.retries.inc();
    }

    /// A run has read this.
    pub fn reads(&self, read: &Read) {
        self.events.inc_by(read.events);
        self.files.inc_by(read.files);
        self.bytes.inc_by(read.bytes);
        for (request, count) in read.requests {
            self.requests.with_label_values(&[request]).inc_by(count);
        }
    }

    /// A run has ended with this outcome.
    pub fn ended(&self, outcome: &str, took: Duration) {
        self.runs.with_label_values(&[outcome]).inc();
        self.run_seconds.observe(took.as_secs_f64());
        self.state().begun = None;
    }

    /// A run ended well, and published from this version of the lake.
    pub fn succeeds(&self, lake_version: Option<u64>) {
        let mut state = self.state();
        state.succeeded = Some((Instant::now(), Utc::now()));
        state.failed = None;
        state.lake_version = lake_version.or(state.lake_version);
    }

    /// A run failed.
    pub fn fails(&self, error: &str) {
        let mut state = self.state();
        let before = state.failed.as_ref().map_or(0, |(count, _)| *count);
        state.failed = Some((before + 1, error.to_owned()));
    }

    /// So many times at which a run was due are left out; one that had begun has not.
    pub fn skipped(&self, reason: Skip, times: u64) {
        self.skipped.with_label_values(&[reason.as_str()]).inc_by(times);
        self.state().begun = None;
    }

    /// The process was told to end.
    pub fn ending(&self) {
        self.state().ending = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl State {
    fn facts(&self, now: Instant) -> RunFacts {
        let due = self.due.filter(|_| self.begun.is_none());
        RunFacts {
            ending: self.ending,
            at_work: self.begun.map(|begun| now.saturating_duration_since(begun)),
            due_in: due.map(|due| due.saturating_duration_since(now)),
            overdue: due.map(|due| now.saturating_duration_since(due)).unwrap_or_default(),
            failed: self.failed.clone(),
            succeeded: self.succeeded.map(|(ago, _)| now.saturating_duration_since(ago)),
        }
    }
}

/// Gauges that are computed from the state when they are asked for.
struct RunGauges {
    state: Arc<Mutex<State>>,
    at_work: GaugeVec,
    next: GaugeVec,
    success: GaugeVec,
    failed: GaugeVec,
    version: GaugeVec,
}

impl RunGauges {
    fn new(state: Arc<Mutex<State>>) -> RunGauges {
        let gauge = |name: &str, help: &str| GaugeVec::new(Opts::new(name, help), &[]).expect(CONSTANT);
        RunGauges {
            state,
            at_work: gauge(
                "lakebed_run_at_work_seconds",
                "For how long a run has been at work; 0 where none is.",
            ),
            next: gauge(
                "lakebed_until_next_run_seconds",
                "Seconds until the next run is due; absent while one is at work.",
            ),
            success: gauge(
                "lakebed_last_success_timestamp_seconds",
                "When a run of this process last ended well, in seconds since 1970; absent before the first.",
            ),
            failed: gauge(
                "lakebed_failed_runs",
                "Runs that have failed since the last that ended well.",
            ),
            version: gauge(
                "lakebed_published_lake_version",
                "The version of raw_events that this process last published from; absent before the first time.",
            ),
        }
    }

    fn all(&self) -> [&GaugeVec; 5] {
        [&self.at_work, &self.next, &self.success, &self.failed, &self.version]
    }

    fn set(&self) {
        let state = lock(&self.state);
        let facts = state.facts(Instant::now());
        for gauges in self.all() {
            gauges.reset();
        }
        let set = |gauges: &GaugeVec, value: Option<f64>| {
            if let Some(value) = value {
                gauges.with_label_values::<&str>(&[]).set(value);
            }
        };
        set(&self.at_work, Some(facts.at_work.unwrap_or_default().as_secs_f64()));
        set(&self.next, facts.due_in.map(|wait| wait.as_secs_f64()));
        set(&self.success, state.succeeded.map(|(_, clock)| seconds(clock)));
        set(&self.failed, Some(facts.failed.map_or(0, |(count, _)| count) as f64));
        set(&self.version, state.lake_version.map(|version| version as f64));
    }
}

impl Collector for RunGauges {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(|gauges| gauges.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.set();
        self.all().into_iter().flat_map(|gauges| gauges.collect()).collect()
    }
}
