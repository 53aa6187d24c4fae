//! Each row's offset against what was claimed: read from all files, some at a time, and held as compressed sets.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use roaring::RoaringTreemap;

use super::coverage::{Claim, Coverage};
use super::finding::{Finding, FindingKind};
use super::places::{self, Columns, FilePlaces, Offsets, Unread, ranges};
use super::records::{FileRecord, Origin, Records};
use crate::lake::{Lake, LakeError};

/// Files that are read at a time.
const PARALLEL_FILES: usize = 8;

/// Is told how the reading of files gets on.
pub trait Progress: Send + Sync {
    /// So many files are read, of so many.
    fn read(&self, files: u64, total: u64);
}

/// What is claimed, by topic and partition.
pub struct Claimed<'a> {
    /// How each partition is covered.
    pub coverage: &'a BTreeMap<(String, i32), Coverage>,
    /// How far messages can be in quarantine: to raw_events' mark, or the quarantine's where that is further.
    pub quarantine_ends: &'a BTreeMap<(String, i32), i64>,
}

/// Reads the places of all rows and compares them with what is claimed; what is wrong.
///
/// # Errors
/// [`LakeError::Store`] where the store is away. A file that cannot be read is no error but a finding.
pub async fn check(
    lake: &Lake,
    events: &Records,
    quarantine: &Records,
    claimed: &Claimed<'_>,
    progress: &dyn Progress,
) -> Result<Vec<Finding>, LakeError> {
    let total = (events.files.len() + quarantine.files.len()) as u64;
    let mut rows = Table::new(events, Columns::Events);
    let mut quarantined = Table::new(quarantine, Columns::Quarantine);
    for (table, before) in [(&mut rows, 0), (&mut quarantined, events.files.len() as u64)] {
        table
            .read(lake, claimed, |files| progress.read(before + files, total))
            .await?;
    }
    let mut findings = Vec::new();
    for table in [&mut rows, &mut quarantined] {
        findings.append(&mut table.findings);
        findings.extend(table.name_duplicates(lake).await?);
    }
    findings.extend(compare(&rows, &quarantined, claimed));
    Ok(findings)
}

/// What has been read of a table.
struct Table<'a> {
    records: &'a Records,
    columns: Columns,
    /// The topic of rows whose file does not say: the lake's only one.
    only_topic: Option<&'a str>,
    /// By topic and partition: the offsets of all rows but replayed ones.
    held: BTreeMap<(String, i32), RoaringTreemap>,
    /// Those of replayed rows, with the files.
    replayed: BTreeMap<(String, i32), (RoaringTreemap, BTreeSet<String>)>,
    /// Messages that came again, by topic, partition, and the file in which they did.
    again: Vec<((String, i32), usize, RoaringTreemap)>,
    /// Files that gave no answer.
    unread: BTreeSet<String>,
    findings: Vec<Finding>,
}

impl<'a> Table<'a> {
    fn new(records: &'a Records, columns: Columns) -> Table<'a> {
        let topics: BTreeSet<&str> = records.files.iter().filter_map(|file| file.origin.topic()).collect();
        Table {
            records,
            columns,
            only_topic: topics.first().copied().filter(|_| topics.len() == 1),
            held: BTreeMap::new(),
            replayed: BTreeMap::new(),
            again: Vec::new(),
            unread: records.missing.clone(),
            findings: Vec::new(),
        }
    }

    async fn read(&mut self, lake: &Lake, claimed: &Claimed<'_>, read: impl Fn(u64)) -> Result<(), LakeError> {
        let records = self.records;
        let columns = self.columns;
        let mut answers = stream::iter(records.files.iter())
            .map(|file| ask(lake, file, columns))
            .buffered(PARALLEL_FILES);
        let mut index = 0;
        while let Some(answer) = answers.next().await {
            self.take(index, answer?, claimed);
            index += 1;
            read(index as u64);
        }
        Ok(())
    }

    fn take(&mut self, index: usize, answer: Answer, claimed: &Claimed<'_>) {
        let file = &self.records.files[index];
        let name = file.path.to_string();
        let about = |kind| Finding::new(kind).files([name.clone()]).places(file.origin.places());
        if answer.changed {
            self.findings.push(about(FindingKind::FileChanged));
        }
        let found = match answer.places {
            Ok(found) => found,
            Err(reason) => {
                self.findings.push(about(FindingKind::UnreadableFile).because(reason));
                self.unread.insert(name);
                return;
            }
        };
        if let Some(recorded) = file.rows.filter(|rows| *rows != found.rows) {
            self.findings
                .push(about(FindingKind::FileRows).counts(recorded, found.rows));
        }
        if found.nowhere > 0 {
            let reason = format!("{} rows name no place in Kafka", found.nowhere);
            self.findings.push(about(FindingKind::Unclaimed).because(reason));
        }
        for ((topic, partition), offsets) in found.partitions {
            let topic = match self.columns {
                Columns::Quarantine => topic,
                // Of a foreign file among several topics it cannot be told; that it is foreign has been found.
                Columns::Events => match file.origin.topic().or(self.only_topic) {
                    Some(topic) => topic.to_owned(),
                    None => continue,
                },
            };
            let unclaimed = unclaimed(&file.origin, self.columns, &topic, partition, &offsets.held, claimed);
            if !unclaimed.is_empty() {
                self.findings
                    .push(Finding::new(FindingKind::Unclaimed).files([name.clone()]).at(
                        &topic,
                        partition,
                        ranges(&unclaimed),
                    ));
            }
            self.merge(index, (topic, partition), offsets);
        }
    }

    fn merge(&mut self, index: usize, place: (String, i32), offsets: Offsets) {
        let file = &self.records.files[index];
        let name = file.path.to_string();
        let Offsets { held, mut twice } = offsets;
        let known = match &file.origin {
            Origin::Replay(_) => {
                let (known, files) = self.replayed.entry(place.clone()).or_default();
                files.insert(name.clone());
                known
            }
            _ => self.held.entry(place.clone()).or_default(),
        };
        twice |= &held & &*known;
        *known |= held;
        if !twice.is_empty() {
            self.again.push((place, index, twice));
        }
    }

    /// The findings of messages that are there more than once, each with all files that hold them: they are read again
    /// where their records do not rule that out.
    async fn name_duplicates(&mut self, lake: &Lake) -> Result<Vec<Finding>, LakeError> {
        let mut findings = Vec::new();
        for (place, index, again) in std::mem::take(&mut self.again) {
            let is_replay = |file: &FileRecord| matches!(file.origin, Origin::Replay(_));
            let file = &self.records.files[index];
            let others = self.records.files[..index]
                .iter()
                .filter(|other| is_replay(other) == is_replay(file) && may_hold(&other.origin, &place, &again));
            let mut names = vec![];
            for other in others {
                let Ok(found) = ask(lake, other, self.columns).await?.places else {
                    continue;
                };
                let key = match self.columns {
                    Columns::Events => (String::new(), place.1),
                    Columns::Quarantine => place.clone(),
                };
                if found
                    .partitions
                    .get(&key)
                    .is_some_and(|found| !found.held.is_disjoint(&again))
                {
                    names.push(other.path.to_string());
                }
            }
            names.push(file.path.to_string());
            let kind = match is_replay(file) {
                true => FindingKind::ReplayedTwice,
                false => FindingKind::Duplicate,
            };
            findings.push(Finding::new(kind).files(names).at(&place.0, place.1, ranges(&again)));
        }
        Ok(findings)
    }
}

/// What reading one file gave.
struct Answer {
    places: Result<FilePlaces, String>,
    changed: bool,
}

async fn ask(lake: &Lake, file: &FileRecord, columns: Columns) -> Result<Answer, LakeError> {
    let (lake, path, size, checksum) = (lake.clone(), file.path.clone(), file.size, file.checksum);
    // A task of its own, so that files are decoded on all cores, and one over which the decoder panics is but damaged.
    let task = tokio::spawn(async move {
        let changed = match checksum {
            Some(recorded) => places::checksum(&lake, &path).await? != recorded,
            None => false,
        };
        let places = match places::read(&lake, &path, size, columns).await {
            Ok(places) => Ok(places),
            Err(Unread::Damaged(reason)) => Err(reason),
            Err(error) => return Err(error),
        };
        Ok(Answer { places, changed })
    });
    let unreadable = |reason: String| Answer {
        places: Err(reason),
        changed: false,
    };
    match task.await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Unread::Store(error))) => Err(error),
        Ok(Err(Unread::Damaged(reason))) => Ok(unreadable(reason)),
        Err(error) => Ok(unreadable(format!("it cannot be decoded: {error}"))),
    }
}

/// The offsets of a file that nobody says were archived into it.
fn unclaimed(
    origin: &Origin,
    columns: Columns,
    topic: &str,
    partition: i32,
    held: &RoaringTreemap,
    claimed: &Claimed<'_>,
) -> RoaringTreemap {
    let place = (topic.to_owned(), partition);
    let within: Vec<[i64; 2]> = match (columns, origin) {
        (Columns::Quarantine, _) => {
            let covered = claimed.coverage.get(&place).map(|coverage| coverage.covered.clone());
            let mut covered = covered.unwrap_or_default();
            // Of a flush that is between its two commits.
            let mark = covered.last().map_or(0, |[_, to]| to.saturating_add(1));
            if let Some(end) = claimed.quarantine_ends.get(&place).filter(|end| **end > mark) {
                covered.push([mark, end - 1]);
            }
            covered
        }
        (Columns::Events, Origin::Flush(ledger)) => ledger
            .partitions
            .get(&partition)
            .map(|entry| [entry.start, entry.end - 1])
            .into_iter()
            .collect(),
        (Columns::Events, Origin::Replay(replay)) => replay.partitions.get(&partition).cloned().unwrap_or_default(),
        (Columns::Events, Origin::Unknown) => return RoaringTreemap::new(),
    };
    outside(held, &within)
}

/// The offsets that lie in none of these ranges, which ascend.
fn outside(held: &RoaringTreemap, within: &[[i64; 2]]) -> RoaringTreemap {
    if within.iter().map(|range| count(held, *range)).sum::<u64>() == held.len() {
        return RoaringTreemap::new();
    }
    held.iter()
        .filter(|offset| {
            let before = within.partition_point(|[from, _]| i128::from(*from) <= i128::from(*offset));
            before == 0 || i128::from(within[before - 1][1]) < i128::from(*offset)
        })
        .collect()
}

/// How many of these offsets lie in a range.
fn count(held: &RoaringTreemap, [from, to]: [i64; 2]) -> u64 {
    match (u64::try_from(from), u64::try_from(to)) {
        (Ok(from), Ok(to)) if from <= to => held.range_cardinality(from..=to),
        _ => 0,
    }
}

/// Whether a file's record leaves it possible that it holds some of these offsets.
fn may_hold(origin: &Origin, (topic, partition): &(String, i32), offsets: &RoaringTreemap) -> bool {
    match origin {
        Origin::Unknown => true,
        _ => origin.places().iter().any(|place| {
            place.topic == *topic
                && place.partition == *partition
                && place.offsets.iter().any(|range| count(offsets, *range) > 0)
        }),
    }
}

/// Compares what was read of both tables with the claims and with each other.
fn compare(rows: &Table<'_>, quarantined: &Table<'_>, claimed: &Claimed<'_>) -> Vec<Finding> {
    let nothing = RoaringTreemap::new();
    let mut findings = Vec::new();
    let places: BTreeSet<&(String, i32)> = claimed
        .coverage
        .keys()
        .chain(rows.held.keys())
        .chain(rows.replayed.keys())
        .collect();
    for place in places {
        let (topic, partition) = (&place.0, place.1);
        let held = rows.held.get(place).unwrap_or(&nothing);
        let aside = quarantined.held.get(place).unwrap_or(&nothing);
        let both = held & aside;
        if !both.is_empty() {
            findings.push(Finding::new(FindingKind::RowAndQuarantined).at(topic, partition, ranges(&both)));
        }
        if let Some((replayed, files)) = rows.replayed.get(place) {
            let twice = replayed & held;
            let unknown = replayed - aside;
            for (kind, offsets) in [(FindingKind::Duplicate, twice), (FindingKind::ReplayedUnknown, unknown)] {
                if !offsets.is_empty() && quarantined.unread.is_empty() {
                    let finding = Finding::new(kind).files(files.iter().cloned());
                    findings.push(finding.at(topic, partition, ranges(&offsets)));
                }
            }
        }
        let claims = claimed.coverage.get(place).map_or(&[][..], |coverage| &coverage.claims);
        for claim in claims {
            // Of a file that gave no answer it has been said what it covers.
            if claim.files.iter().all(|file| !rows.unread.contains(file)) {
                findings.extend(compare_claim(FindingKind::Rows, place, claim, claim.rows, held, aside));
            }
            if quarantined.unread.is_empty() {
                findings.extend(compare_claim(
                    FindingKind::Quarantined,
                    place,
                    claim,
                    claim.quarantined,
                    aside,
                    held,
                ));
            }
        }
    }
    findings
}

/// Whether as many messages of a claim's range are there as were archived. Where all others are in the other table,
/// those that are not there can be named.
fn compare_claim(
    kind: FindingKind,
    (topic, partition): &(String, i32),
    claim: &Claim,
    archived: u64,
    table: &RoaringTreemap,
    other: &RoaringTreemap,
) -> Option<Finding> {
    let range = [claim.start, claim.end - 1];
    let held = count(table, range);
    if archived == held {
        return None;
    }
    let length = u64::try_from(claim.end - claim.start).unwrap_or_default();
    let absent = length.checked_sub(held)?.checked_sub(count(other, range))?;
    let lost = archived.checked_sub(held);
    let finding = Finding::new(kind)
        .counts(archived, held)
        .files(claim.files.iter().cloned());
    Some(match lost {
        Some(lost) if lost == absent => {
            let absent: RoaringTreemap = (claim.start..claim.end)
                .filter_map(|offset| u64::try_from(offset).ok())
                .filter(|offset| !table.contains(*offset) && !other.contains(*offset))
                .collect();
            let finding = finding.at(topic, *partition, ranges(&absent));
            finding.because(format!("lost from the range {} to {}", range[0], range[1]))
        }
        _ => finding.at(topic, *partition, vec![range]),
    })
}
