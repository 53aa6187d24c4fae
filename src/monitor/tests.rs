//! What is served against what the documents and the deployment files say of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use prometheus::Registry;
use prometheus::proto::MetricType;

use super::serve::{archiver_registry, processor_registry};
use super::{Peer, Skip, archiver, processor};

const DOCUMENT: &str = include_str!("../../docs/metrics.md");
const RULES: &str = include_str!("../../deploy/prometheus/rules.yaml");
const DASHBOARD: &str = include_str!("../../deploy/grafana/lakebed.json");

/// Name to type and labels, as the tables of the document have them under these headings.
fn documented(headings: &[&str]) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut heading = "";
    let rows = DOCUMENT.lines().filter_map(|line| {
        if let Some(found) = line.strip_prefix("### ") {
            heading = found;
        }
        line.strip_prefix("| `").filter(|_| headings.contains(&heading))
    });
    rows.filter_map(|row| {
        let (name, rest) = row.split_once("` | ")?;
        let (kind, rest) = rest.split_once(" | ")?;
        let labels = rest.split('|').next()?.split('`').skip(1).step_by(2);
        ["counter", "gauge", "histogram"]
            .contains(&kind)
            .then(|| (name.to_owned(), (kind.to_owned(), labels.map(str::to_owned).collect())))
    })
    .collect()
}

/// All words of a text that look like the name of a metric of ours.
fn named(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("lakebed_") || word.starts_with("process_"))
        .collect()
}

const OF_ALL: &str = "Of every process";
const OF_ARCHIVE: &str = "Of lakebed archive";
const OF_PROCESS: &str = "Of lakebed process, --every or --cron";

#[test]
fn the_document_names_what_is_served_and_nothing_else() {
    let metrics = archiver();
    // So that gauges which are absent at times show.
    metrics.begins([(&0, &0)]);
    metrics.hear(&statistics());
    metrics.archived(0, 5, 5, 0, 0, []);
    metrics.loses_data_in(Some(Duration::from_secs(3600)));
    metrics.failed(Peer::Kafka);
    let archive = archiver_registry("events").expect("names differ");
    assert_eq!(served(&archive), documented(&[OF_ALL, OF_ARCHIVE]));
    let metrics = processor();
    metrics.next(Duration::from_secs(60));
    metrics.succeeds(Some(7));
    metrics.skipped(Skip::Held, 1);
    let process = processor_registry().expect("names differ");
    assert_eq!(served(&process), documented(&[OF_ALL, OF_PROCESS]));
}

/// Name to type and labels of what is served, each with a sentence of help.
fn served(registry: &Registry) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let families = registry.gather();
    families
        .iter()
        .map(|family| {
            assert!(family.help().ends_with('.'), "{}", family.name());
            let kind = match family.get_field_type() {
                MetricType::COUNTER => "counter",
                MetricType::GAUGE => "gauge",
                MetricType::HISTOGRAM => "histogram",
                other => panic!("{} is a {other:?}", family.name()),
            };
            let labels = family.get_metric()[0]
                .get_label()
                .iter()
                .map(|label| label.name().to_owned());
            (family.name().to_owned(), (kind.to_owned(), labels.collect()))
        })
        .collect()
}

#[test]
fn alerts_and_dashboard_name_only_what_is_served() {
    let documented = documented(&[OF_ALL, OF_ARCHIVE, OF_PROCESS]);
    for (file, text) in [("rules.yaml", RULES), ("lakebed.json", DASHBOARD)] {
        let names = named(text);
        assert!(names.len() > 10, "{file} names {names:?}");
        for name in names {
            let of_histogram = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|suffix| name.strip_suffix(suffix));
            let known = documented.contains_key(name)
                || of_histogram
                    .into_iter()
                    .any(|base| documented.get(base).is_some_and(|(kind, _)| kind == "histogram"));
            assert!(known, "{file} names {name}, which is not served");
        }
    }
}

/// Statistics as the client library gives them, of a partition of which five messages are not archived.
fn statistics() -> rdkafka::Statistics {
    let mut statistics = rdkafka::Statistics::default();
    let mut topic = rdkafka::statistics::Topic::default();
    let partition = rdkafka::statistics::Partition {
        partition: 0,
        hi_offset: 10,
        ls_offset: 10,
        next_offset: 10,
        app_offset: 10,
        ..Default::default()
    };
    topic.partitions.insert(0, partition);
    statistics.topics.insert("events".to_owned(), topic);
    statistics
}
