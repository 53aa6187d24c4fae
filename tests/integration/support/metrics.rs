//! What an archiver tells of itself over HTTP, read as strictly as Prometheus could.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::http::get;
use super::lake::eventually;
use super::program::hides_secrets;

/// Samples by name and labels, as they are written: `name{label="value"}`.
pub struct Scrape {
    samples: BTreeMap<String, f64>,
    /// The type of each name.
    pub types: BTreeMap<String, String>,
}

impl Scrape {
    /// Reads Prometheus' text format; fails on whatever it does not allow.
    fn of(text: &str) -> Scrape {
        let (mut samples, mut types) = (BTreeMap::new(), BTreeMap::new());
        let mut helped = BTreeSet::new();
        let mut present = String::new();
        assert!(text.ends_with('\n'), "the last line ends");
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').expect("a name and help");
                assert!(!help.is_empty() && helped.insert(name.to_owned()), "one help: {line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a name and a type");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(helped.contains(name), "help comes first: {line}");
                assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "once: {line}");
                present = name.to_owned();
            } else {
                let (name, value) = line.rsplit_once(' ').expect("a name and a value");
                let bare = name.split('{').next().expect("a name");
                let suffixes: &[&str] = match types.get(&present).map(String::as_str) {
                    Some("histogram") => &["_bucket", "_sum", "_count"],
                    _ => &[""],
                };
                let stands = suffixes.iter().any(|suffix| bare == format!("{present}{suffix}"));
                assert!(stands, "a sample stands under its type: {line}");
                let value: f64 = value.parse().unwrap_or_else(|_| panic!("a number: {line}"));
                assert!(samples.insert(name.to_owned(), value).is_none(), "once: {line}");
            }
        }
        Scrape { samples, types }
    }

    pub fn value(&self, sample: &str) -> f64 {
        let value = self.samples.get(sample);
        *value.unwrap_or_else(|| panic!("no {sample} among {:?}", self.samples.keys()))
    }

    /// All samples of a name, whatever their labels.
    pub fn values(&self, name: &str) -> Vec<f64> {
        let samples = self.samples.iter();
        let of_name = samples.filter(|(sample, _)| sample.split('{').next() == Some(name));
        of_name.map(|(_, value)| *value).collect()
    }

    /// A histogram's buckets, each with its upper bound and count, in order.
    pub fn buckets(&self, name: &str) -> Vec<(f64, f64)> {
        let prefix = format!("{name}_bucket{{le=\"");
        let bound = |sample: &str| -> Option<f64> {
            let bound = sample.strip_prefix(&prefix)?.strip_suffix("\"}")?;
            Some(bound.parse().expect("a bound"))
        };
        let samples = self.samples.iter();
        let mut buckets: Vec<(f64, f64)> = samples
            .filter_map(|(sample, count)| Some((bound(sample)?, *count)))
            .collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        buckets
    }
}

/// Where an archiver serves its metrics, which it tells in its log.
pub fn port(log: &Path) -> String {
    let mut address = None;
    eventually("the archiver tells where its metrics are", || {
        let log = std::fs::read_to_string(log).unwrap_or_default();
        let told = log
            .split_once("metrics at http://")
            .and_then(|(_, rest)| rest.split_once("/metrics"));
        address = told.map(|(address, _)| address.to_owned());
        address.is_some()
    });
    address.expect("there now")
}

/// The metrics of an archiver.
pub fn scrape(address: &str) -> Scrape {
    let answer = get(address, "/metrics");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    hides_secrets(&answer.body);
    Scrape::of(&answer.body)
}
