//! What is served against what the documents and the deployment files say of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use prometheus::proto::MetricType;

use super::serve::registry;
use super::{Peer, archiver};

const DOCUMENT: &str = include_str!("../../docs/metrics.md");
const RULES: &str = include_str!("../../deploy/prometheus/rules.yaml");
const DASHBOARD: &str = include_str!("../../deploy/grafana/lakebed.json");

/// Name to type and labels, as the table of the document has them.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `"));
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

#[test]
fn the_document_names_what_is_served_and_nothing_else() {
    let metrics = archiver();
    // So that gauges which are absent at times show.
    metrics.begins([(&0, &0)]);
    metrics.hear(&statistics());
    metrics.archived(0, 5, 5, 0, 0, []);
    metrics.loses_data_in(Some(Duration::from_secs(3600)));
    metrics.failed(Peer::Kafka);
    let families = registry("events").expect("names differ").gather();
    let served: BTreeMap<String, (String, BTreeSet<String>)> = families
        .iter()
        .map(|family| {
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
        .collect();
    assert_eq!(served, documented());
    assert!(
        families.iter().all(|family| family.help().ends_with('.')),
        "each has a sentence of help"
    );
}

#[test]
fn alerts_and_dashboard_name_only_what_is_served() {
    let documented = documented();
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
