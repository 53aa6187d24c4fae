//! What stands beside each archived file in the table's log: the offsets that its flush covered, and the hours of
//! its events. It is the proof of what is archived, and it outlives the log's own history. A flush that leaves no file
//! in raw_events, of broken messages and tombstones only, leaves its ledger with a file of the quarantine; so does the
//! record of offsets that Kafka dropped before they were archived.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::flush::Covered;
use crate::event::TIMESTAMP;

/// The tag that holds the [`Ledger`] as JSON.
pub const LEDGER_TAG: &str = "lakebed.ledger";
/// The tag that holds the hours of the file's events as a JSON list, each in hours since the epoch.
pub const HOURS_TAG: &str = "lakebed.hours";

/// The flush that a file came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The flush; the files of one flush share it.
    pub flush: Uuid,
    /// The name of the topic's archive ([`archive_name`]).
    pub topic: String,
    /// What the flush covers of each partition.
    pub partitions: BTreeMap<i32, Entry>,
}

/// What a flush covers of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The first offset.
    pub start: i64,
    /// One past the last offset.
    pub end: i64,
    /// Messages that became rows, over all files of the flush.
    pub rows: u64,
    /// Messages that went to quarantine.
    pub quarantined: u64,
    /// Messages without a value.
    pub tombstones: u64,
    /// When it was recorded that Kafka dropped these offsets before they were archived: a gap that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<DateTime<Utc>>,
}

/// The tag that holds the [`Replay`] of a file that a replay of the quarantine wrote, as JSON.
pub const REPLAY_TAG: &str = "lakebed.replay";
/// The name under which raw_events counts the commits of replays.
pub const REPLAY_ID: &str = "lakebed/replay";

/// What a file holds that a replay of the quarantine wrote. It claims nothing of a partition: the flush that sent these
/// messages to the quarantine did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// The mark under [`REPLAY_ID`] on top of which the file was to be committed.
    pub sequence: i64,
    /// The topic.
    pub topic: String,
    /// The offsets of each partition that the file holds, in ascending ranges from their first to their last.
    pub partitions: BTreeMap<i32, Vec<[i64; 2]>>,
}

impl Replay {
    /// Rows of the file; none where its ranges are none that can be.
    pub fn rows(&self) -> Option<u64> {
        let mut rows = 0_u64;
        for ranges in self.partitions.values() {
            let mut before = -1;
            for [from, to] in ranges {
                if *from <= before || to < from {
                    return None;
                }
                rows = rows.checked_add(u64::try_from(to - from).ok()?)?.checked_add(1)?;
                before = *to;
            }
        }
        Some(rows)
    }

    /// The tag of its file.
    pub fn tag(&self) -> (String, String) {
        (REPLAY_TAG.to_owned(), serde_json::to_string(self).unwrap_or_default())
    }
}

/// The name under which the archive of a topic stands in marks, ledgers and the quarantine: the topic's own for its first generation.
/// Offsets of a topic that was made anew begin again, so that it is another archive: `topic#1`, then `topic#2`. Kafka
/// allows no `#` in a topic's name.
pub fn archive_name(topic: &str, generation: i64) -> String {
    match generation {
        0 => topic.to_owned(),
        _ => format!("{topic}#{generation}"),
    }
}

/// The topic of an archive, and which generation of the topic it is.
pub fn topic_of(archive: &str) -> (&str, i64) {
    archive
        .rsplit_once('#')
        .and_then(|(topic, generation)| Some((topic, generation.parse().ok()?)))
        .unwrap_or((archive, 0))
}

/// The name under which raw_events keeps the generation of a topic that is archived at present; none is the first.
pub fn generation_id(topic: &str) -> String {
    format!("lakebed/{topic}/generation")
}

/// The name under which raw_events keeps the id that Kafka gave the topic that is archived at present.
pub fn topic_id_id(topic: &str) -> String {
    format!("lakebed/{topic}/id")
}

/// The name under which the mark of an archive's partition stands in both tables: the offset that comes next.
pub fn app_id(archive: &str, partition: i32) -> String {
    format!("lakebed/{archive}/{partition}")
}

/// The name under which raw_events keeps the offset at which the archive of a partition begins.
pub fn first_id(archive: &str, partition: i32) -> String {
    format!("{}/first", app_id(archive, partition))
}

/// The topic and the partition whose mark stands under a name; none where it is no partition's mark.
pub fn marked(id: &str) -> Option<(String, i32)> {
    let (topic, partition) = id.strip_prefix("lakebed/")?.strip_suffix("/first").map_or_else(
        || id.strip_prefix("lakebed/")?.rsplit_once('/'),
        |of_first| of_first.rsplit_once('/'),
    )?;
    Some((topic.to_owned(), partition.parse().ok()?))
}

/// The tags of one file of a flush.
pub fn tags(flush: Uuid, archive: &str, covered: &BTreeMap<i32, Covered>, file: &RecordBatch) -> Vec<(String, String)> {
    vec![tag(flush, archive, covered), hours_tag(file)]
}

/// The tag that names the hours of a file's events.
pub fn hours_tag(file: &RecordBatch) -> (String, String) {
    let hours = serde_json::to_string(&hours(file)).unwrap_or_default();
    (HOURS_TAG.to_owned(), hours)
}

/// The tag that says what a flush covers.
pub fn tag(flush: Uuid, archive: &str, covered: &BTreeMap<i32, Covered>) -> (String, String) {
    let ledger = Ledger {
        flush,
        topic: archive.to_owned(),
        partitions: covered
            .iter()
            .map(|(partition, covered)| {
                let entry = Entry {
                    start: covered.offsets.start,
                    end: covered.offsets.end,
                    rows: covered.rows,
                    quarantined: covered.quarantined,
                    tombstones: covered.tombstones,
                    lost: covered.lost,
                };
                (*partition, entry)
            })
            .collect(),
    };
    (
        LEDGER_TAG.to_owned(),
        serde_json::to_string(&ledger).unwrap_or_default(),
    )
}

fn hours(file: &RecordBatch) -> BTreeSet<i64> {
    file.column_by_name(TIMESTAMP)
        .and_then(|column| column.as_primitive_opt::<Int64Type>())
        .into_iter()
        .flat_map(|column| column.values().iter())
        .map(|timestamp| timestamp.div_euclid(3600))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_archive_tells_topic_and_generation() {
        for (topic, generation, name) in [("t", 0, "t"), ("t", 1, "t#1"), ("a.b-c_d", 12, "a.b-c_d#12")] {
            assert_eq!(archive_name(topic, generation), name);
            assert_eq!(topic_of(name), (topic, generation));
        }
    }

    #[test]
    fn a_ledger_from_before_gaps_were_recorded_is_read() {
        let text = r#"{"start":1,"end":5,"rows":4,"quarantined":0,"tombstones":0}"#;
        let entry: Entry = serde_json::from_str(text).expect("an entry");
        assert_eq!(entry.lost, None);
        assert_eq!(serde_json::to_string(&entry).expect("JSON"), text);
    }
}
