//! Nothing lost, nothing doubled: proven from the lake's own records and, when asked, from every row.

use std::collections::{BTreeMap, BTreeSet};

use object_store::ObjectMeta;
use object_store::path::Path;
use serde::Serialize;

use super::coverage::{self, Coverage};
use super::deep::{self, Claimed, Progress};
use super::finding::{Finding, FindingKind};
use super::records::{self, Bears, Origin, Records};
use super::strays::{self, Unnamed};
use super::waiting::{self, BrokerReport};
use crate::archive::ledger::{app_id, archive_name, first_id, generation_id, marked};
use crate::config::KafkaSettings;
use crate::lake::snapshot::{AsOf, present_files};
use crate::lake::{Lake, LakeError, QUARANTINE, RAW_EVENTS, TableSnapshot, TableWriter};

/// What was verified, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// The version of raw_events.
    pub lake_version: u64,
    /// The version of the quarantine; none where there is no such table.
    pub quarantine_version: Option<u64>,
    /// Whether every row's offset was read.
    pub deep: bool,
    /// Files that the tables' logs name.
    pub files: u64,
    /// Each partition of each topic that has a mark, or of which a file claims something.
    pub partitions: Vec<PartitionReport>,
    /// What the topic holds that is not archived yet.
    pub broker: BrokerReport,
    /// Files in the tables' folders that lakebed wrote and no commit names: those of a commit that is under way, or of
    /// a process that died, which the next archiver deletes.
    pub uncommitted: Vec<String>,
    /// What is not as it should be; nothing is wrong where this is empty.
    pub findings: Vec<Finding>,
}

/// What the lake holds of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionReport {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset at which its archive begins.
    pub first: Option<i64>,
    /// The offset that comes next; none where the lake has no mark of it.
    pub next: Option<i64>,
    /// Flushes.
    pub flushes: u64,
    /// What they cover, from the first to the last offset of each range.
    pub ranges: Vec<[i64; 2]>,
    /// What they leave out.
    pub gaps: Vec<[i64; 2]>,
    /// What more than one of them covers.
    pub overlaps: Vec<[i64; 2]>,
    /// Messages that became rows when they were archived.
    pub rows: u64,
    /// Messages that went to quarantine.
    pub quarantined: u64,
    /// Of those, how many a replay has made rows since.
    pub replayed: u64,
    /// Messages without a value.
    pub tombstones: u64,
    /// Offsets that Kafka dropped before they were archived, as the archiver recorded.
    pub lost: u64,
}

/// Verifies the archive; with `deep`, by the offset of every row too. With `kafka`, the broker is asked what is not
/// archived yet.
///
/// # Errors
/// [`LakeError::Missing`] where there is no table of archived events, else where the store fails. What is wrong with
/// the archive is no error but a [`Finding`].
pub async fn verify(
    lake: &Lake,
    deep: bool,
    kafka: Option<&KafkaSettings>,
    progress: &dyn Progress,
) -> Result<VerifyReport, LakeError> {
    // The marks are read before the files: a commit in between shows in the files only, and is not judged.
    let Some(mut writer) = TableWriter::open(lake, RAW_EVENTS).await? else {
        return Err(no_records(lake).await?);
    };
    let version = writer.version();
    let marks = writer.all_marks().await?;
    let mut lake_records = Tables::read(lake, writer.snapshot().await?).await?;
    let asked = match kafka {
        Some(kafka) => ask_broker(kafka, &marks).await,
        None => BrokerReport::LeftOut,
    };
    let coverage = lake_records.cover(&marks);
    let mut findings = std::mem::take(&mut lake_records.events.findings);
    findings.append(&mut lake_records.quarantine.findings);
    findings.extend(coverage.values().flat_map(|coverage| coverage.findings.iter().cloned()));
    findings.extend(lake_records.quarantine_is_whole(lake, &coverage));
    findings.extend(lake_records.replays_are_single());
    lake_records.name_files_of_gaps(lake, &mut findings).await;
    findings.extend(dropped(&asked));
    if deep {
        let claimed = Claimed {
            coverage: &coverage,
            quarantine_ends: &lake_records.quarantine_ends(&marks),
        };
        let (events, quarantine) = (&lake_records.events, &lake_records.quarantine);
        findings.extend(deep::check(lake, events, quarantine, &claimed, progress).await?);
    }
    findings.extend(lake_records.unnamed.strays.iter().map(|stray| {
        let finding = Finding::new(FindingKind::StrayFile);
        finding.files([stray.to_string()])
    }));
    findings.sort_by_key(|finding| finding.finding);
    Ok(VerifyReport {
        lake_version: version,
        quarantine_version: lake_records.quarantine_version,
        deep,
        files: (lake_records.events.files.len() + lake_records.quarantine.files.len()) as u64,
        partitions: lake_records.partitions(&marks, &coverage),
        broker: asked,
        uncommitted: lake_records
            .unnamed
            .ours
            .iter()
            .map(|(path, _)| path.to_string())
            .collect(),
        findings,
    })
}

/// Why there is nothing to verify from.
async fn no_records(lake: &Lake) -> Result<LakeError, LakeError> {
    Ok(match present_files(lake, RAW_EVENTS).await?.is_empty() {
        true => LakeError::no_events(lake),
        false => LakeError::Table {
            place: lake.shown(RAW_EVENTS),
            reason: "it holds Parquet files but no Delta log, and so no record of what was archived into it; there is nothing to verify it by".to_owned(),
        },
    })
}

async fn ask_broker(kafka: &KafkaSettings, marks: &BTreeMap<String, i64>) -> BrokerReport {
    let kafka = kafka.clone();
    let generation = marks.get(&generation_id(&kafka.topic)).copied().unwrap_or_default();
    let archive = archive_name(&kafka.topic, generation);
    let of_topic: BTreeMap<i32, i64> = marks
        .iter()
        .filter_map(|(id, mark)| Some((marked(id)?, id, *mark)))
        .filter(|((topic, partition), id, _)| *topic == archive && **id == app_id(topic, *partition))
        .map(|((_, partition), _, mark)| (partition, mark))
        .collect();
    let topic = kafka.topic.clone();
    tokio::task::spawn_blocking(move || waiting::ask(&kafka, &of_topic))
        .await
        .unwrap_or_else(|error| BrokerReport::NoAnswer {
            topic,
            reason: error.to_string(),
        })
}

/// What Kafka has dropped before it was archived.
fn dropped(asked: &BrokerReport) -> Vec<Finding> {
    let BrokerReport::Answered { topic, partitions } = asked else {
        return Vec::new();
    };
    partitions
        .iter()
        .filter_map(|waiting| {
            let dropped = waiting.dropped()?;
            Some(Finding::new(FindingKind::Dropped).at(topic, waiting.partition, vec![dropped]))
        })
        .collect()
}

/// A range of offsets, and the file that names it.
type Named = ([i64; 2], String);

/// What both tables record.
struct Tables {
    events: Records,
    quarantine: Records,
    quarantine_version: Option<u64>,
    /// The quarantine's marks.
    ends: BTreeMap<String, i64>,
    /// Files that the log of raw_events does not name.
    unnamed: Unnamed,
    /// Those that it names as removed.
    removed: Vec<ObjectMeta>,
}

impl Tables {
    async fn read(lake: &Lake, events: TableSnapshot) -> Result<Tables, LakeError> {
        let present = present_files(lake, RAW_EVENTS).await?;
        let named: BTreeSet<Path> = events.files.iter().map(|file| file.path.clone()).collect();
        let events = records::read(events.files, &present, Bears::Always);
        let mut unnamed = strays::find(lake, RAW_EVENTS).await?;
        let known = |object: &ObjectMeta| named.contains(&object.location) || unnamed.has(&object.location);
        let removed = present.into_iter().filter(|object| !known(object)).collect();
        let mut tables = Tables {
            events,
            quarantine: Records::default(),
            quarantine_version: None,
            ends: BTreeMap::new(),
            unnamed: Unnamed::default(),
            removed,
        };
        if let Some(snapshot) = TableSnapshot::load(lake, QUARANTINE, AsOf::Newest).await? {
            // Marks from after the files, so that none of these lies beyond them.
            if let Some(mut writer) = TableWriter::open(lake, QUARANTINE).await? {
                tables.ends = writer.all_marks().await?;
            }
            tables.quarantine_version = snapshot.version;
            let files = snapshot.files;
            let present = present_files(lake, QUARANTINE).await?;
            tables.quarantine = records::read(files, &present, Bears::Sometimes);
            unnamed.add(strays::find(lake, QUARANTINE).await?);
        }
        tables.unnamed = unnamed;
        Ok(tables)
    }

    /// How each partition is covered that has a mark, or of which a file claims something.
    fn cover(&self, marks: &BTreeMap<String, i64>) -> BTreeMap<(String, i32), Coverage> {
        let places: BTreeSet<(String, i32)> = marks
            .keys()
            .filter_map(|id| marked(id))
            .chain(self.events.claims.keys().cloned())
            .chain(self.quarantine.claims.keys().cloned())
            .collect();
        let of = |records: &Records, place: &(String, i32)| records.claims.get(place).cloned().unwrap_or_default();
        places
            .into_iter()
            .map(|place| {
                let (topic, partition) = (place.0.as_str(), place.1);
                let first = marks.get(&first_id(topic, partition)).copied();
                let mark = marks.get(&app_id(topic, partition)).copied();
                let (events, quarantine) = (of(&self.events, &place), of(&self.quarantine, &place));
                let coverage = coverage::check(topic, partition, first, mark, events, quarantine);
                (place, coverage)
            })
            .collect()
    }

    /// Whether the quarantine can hold all that went there.
    fn quarantine_is_whole(&self, lake: &Lake, coverage: &BTreeMap<(String, i32), Coverage>) -> Option<Finding> {
        let claims = coverage.values().flat_map(|coverage| &coverage.claims);
        let went = claims.fold(0_u64, |sum, claim| sum.saturating_add(claim.quarantined));
        let (held, files) = (self.quarantine.rows, [lake.shown(QUARANTINE)]);
        if went > 0 && self.quarantine_version.is_none() {
            let finding = Finding::new(FindingKind::MissingFile).files(files).counts(went, 0);
            return Some(finding.because("the whole table"));
        }
        (held < went).then(|| {
            Finding::new(FindingKind::QuarantineRows)
                .files(files)
                .counts(went, held)
        })
    }

    /// Messages of which two replays say that they made a row.
    fn replays_are_single(&self) -> Vec<Finding> {
        let mut claims: BTreeMap<(&str, i32), Vec<Named>> = BTreeMap::new();
        for file in &self.events.files {
            if let Origin::Replay(replay) = &file.origin {
                for (partition, ranges) in &replay.partitions {
                    let of = claims.entry((&replay.topic, *partition)).or_default();
                    of.extend(ranges.iter().map(|range| (*range, file.path.to_string())));
                }
            }
        }
        let mut findings = Vec::new();
        for ((topic, partition), mut ranges) in claims {
            ranges.sort();
            let mut last: Option<Named> = None;
            for (range, file) in ranges {
                if let Some((before, other)) = last.as_ref().filter(|(before, _)| before[1] >= range[0]) {
                    let twice = [range[0], range[1].min(before[1])];
                    let finding = Finding::new(FindingKind::ReplayedTwice).files([other.clone(), file.clone()]);
                    findings.push(finding.at(topic, partition, vec![twice]));
                }
                if last.as_ref().is_none_or(|(before, _)| before[1] <= range[1]) {
                    last = Some((range, file));
                }
            }
        }
        findings
    }

    /// Adds to each gap the files in the folder that cover it, although the log does not name them any more.
    async fn name_files_of_gaps(&self, lake: &Lake, findings: &mut [Finding]) {
        if !findings.iter().any(|finding| finding.finding == FindingKind::Gap) {
            return;
        }
        let mut covering = self.unnamed.ours.clone();
        covering.extend(strays::ledgers(lake, self.removed.clone()).await);
        for gap in findings
            .iter_mut()
            .filter(|finding| finding.finding == FindingKind::Gap)
        {
            let meets = |place: &super::finding::Place| {
                gap.places.iter().any(|gap| {
                    let apart = |a: [i64; 2], b: [i64; 2]| a[1] < b[0] || b[1] < a[0];
                    (&place.topic, place.partition) == (&gap.topic, gap.partition)
                        && place.offsets.iter().any(|a| gap.offsets.iter().any(|b| !apart(*a, *b)))
                })
            };
            let files: Vec<String> = covering
                .iter()
                .filter(|(_, places)| places.iter().any(meets))
                .map(|(path, _)| path.to_string())
                .collect();
            if !files.is_empty() {
                *gap = gap
                    .clone()
                    .files(files)
                    .because("there are files of it that the table's log does not name");
            }
        }
    }

    /// How far messages of each partition can be in quarantine.
    fn quarantine_ends(&self, marks: &BTreeMap<String, i64>) -> BTreeMap<(String, i32), i64> {
        let mut ends: BTreeMap<(String, i32), i64> = BTreeMap::new();
        for (id, mark) in &self.ends {
            if let Some((topic, partition)) = marked(id).filter(|(topic, partition)| *id == app_id(topic, *partition)) {
                // What lies before raw_events' mark is covered by claims, or a gap.
                if marks.get(id).is_none_or(|archived| archived < mark) {
                    ends.insert((topic, partition), *mark);
                }
            }
        }
        ends
    }

    fn partitions(
        &self,
        marks: &BTreeMap<String, i64>,
        coverage: &BTreeMap<(String, i32), Coverage>,
    ) -> Vec<PartitionReport> {
        let mut replayed: BTreeMap<(&str, i32), u64> = BTreeMap::new();
        for file in &self.events.files {
            if let Origin::Replay(replay) = &file.origin {
                for (partition, ranges) in &replay.partitions {
                    let rows = ranges.iter().map(|[from, to]| (to - from).unsigned_abs() + 1);
                    *replayed.entry((&replay.topic, *partition)).or_default() += rows.sum::<u64>();
                }
            }
        }
        coverage
            .iter()
            .map(|((topic, partition), coverage)| {
                let sum = |count: fn(&coverage::Claim) -> u64| {
                    coverage
                        .claims
                        .iter()
                        .fold(0_u64, |sum, claim| sum.saturating_add(count(claim)))
                };
                PartitionReport {
                    topic: topic.clone(),
                    partition: *partition,
                    first: marks.get(&first_id(topic, *partition)).copied(),
                    next: marks.get(&app_id(topic, *partition)).copied(),
                    flushes: coverage.claims.len() as u64,
                    ranges: coverage.covered.clone(),
                    gaps: coverage.gaps.clone(),
                    overlaps: coverage.overlaps.clone(),
                    rows: sum(|claim| claim.rows),
                    quarantined: sum(|claim| claim.quarantined),
                    replayed: replayed.get(&(topic.as_str(), *partition)).copied().unwrap_or_default(),
                    tombstones: sum(|claim| claim.tombstones),
                    lost: sum(coverage::Claim::lost_offsets),
                }
            })
            .collect()
    }
}
