//! Making families of metrics.

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts};

/// Upper bounds in seconds: a local disk takes milliseconds, a request that is tried again half a minute.
const BUCKETS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// Upper bounds in seconds of what takes as long as a run: a refresh takes a part of a second, years of events an hour.
const RUN_BUCKETS: [f64; 15] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
];

/// Why making a family of metrics cannot fail.
pub const CONSTANT: &str = "its name and labels are constants that a test makes";

/// A counter.
pub fn counter(name: &str, help: &str) -> IntCounter {
    IntCounter::new(name, help).expect(CONSTANT)
}

/// A counter for each value of a label.
pub fn counters(name: &str, help: &str, label: &str) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), &[label]).expect(CONSTANT)
}

/// A gauge of whole numbers.
pub fn gauge(name: &str, help: &str) -> IntGauge {
    IntGauge::new(name, help).expect(CONSTANT)
}

/// A histogram of seconds.
pub fn histogram(name: &str, help: &str) -> Histogram {
    let options = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
    Histogram::with_opts(options).expect(CONSTANT)
}

/// A histogram of seconds that a run takes.
pub fn run_histogram(name: &str, help: &str) -> Histogram {
    Histogram::with_opts(of_runs(name, help)).expect(CONSTANT)
}

/// Such a histogram for each value of a label.
pub fn run_histograms(name: &str, help: &str, label: &str) -> HistogramVec {
    HistogramVec::new(of_runs(name, help), &[label]).expect(CONSTANT)
}

fn of_runs(name: &str, help: &str) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(RUN_BUCKETS.to_vec())
}
