//! What a table's log records of its files: what each claims, and what is wrong with the files themselves as far as
//! their presence and size tell.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use object_store::ObjectMeta;
use object_store::path::Path;
use uuid::Uuid;

use super::coverage::Claim;
use super::finding::{Finding, FindingKind, Place};
use crate::archive::ledger::{Entry, LEDGER_TAG, Ledger, REPLAY_TAG, Replay};
use crate::lake::datafile::CHECKSUM_TAG;
use crate::lake::snapshot::DataFile;

/// The claims of partitions, by topic and partition.
pub type Claims = BTreeMap<(String, i32), Vec<Claim>>;

/// The records of one table.
#[derive(Debug, Default)]
pub struct Records {
    /// The claims of each topic's partitions.
    pub claims: Claims,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// The files that are there.
    pub files: Vec<FileRecord>,
    /// Files that are named and not there.
    pub missing: BTreeSet<String>,
    /// Rows of all files that the log names, as far as it says so.
    pub rows: u64,
}

/// A file that the log names and that is there.
#[derive(Debug)]
pub struct FileRecord {
    /// Its path from the root of the store.
    pub path: Path,
    /// Its bytes, as they are.
    pub size: u64,
    /// Its rows, where the log says so.
    pub rows: Option<u64>,
    /// Its checksum, where the log has one that its bytes must match.
    pub checksum: Option<u32>,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a file came from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A flush, which claims this.
    Flush(Arc<Ledger>),
    /// A replay of the quarantine, which holds this.
    Replay(Arc<Replay>),
    /// Its record does not say.
    Unknown,
}

impl Origin {
    /// The topic of the file's rows, where it is known.
    pub fn topic(&self) -> Option<&str> {
        match self {
            Origin::Flush(ledger) => Some(&ledger.topic),
            Origin::Replay(replay) => Some(&replay.topic),
            Origin::Unknown => None,
        }
    }

    /// The offsets that the file's record names.
    pub fn places(&self) -> Vec<Place> {
        match self {
            Origin::Flush(ledger) => ledger_places(ledger),
            Origin::Replay(replay) => replay
                .partitions
                .iter()
                .map(|(partition, offsets)| Place {
                    topic: replay.topic.clone(),
                    partition: *partition,
                    offsets: offsets.clone(),
                })
                .collect(),
            Origin::Unknown => Vec::new(),
        }
    }
}

/// The offsets that a ledger covers.
pub fn ledger_places(ledger: &Ledger) -> Vec<Place> {
    ledger
        .partitions
        .iter()
        .map(|(partition, entry)| Place {
            topic: ledger.topic.clone(),
            partition: *partition,
            offsets: vec![[entry.start, entry.end.saturating_sub(1)]],
        })
        .collect()
}

/// Whether all files of a table bear a ledger, and the rows of a flush are those of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bears {
    /// Every file: raw_events.
    Always,
    /// The files of flushes that left none in raw_events: the quarantine.
    Sometimes,
}

/// Reads the records of a table from the files that its log names and those that are there.
pub fn read(files: Vec<DataFile>, present: &[ObjectMeta], bears: Bears) -> Records {
    let sizes: HashMap<&Path, u64> = present.iter().map(|object| (&object.location, object.size)).collect();
    let mut records = Records::default();
    let mut flushes: HashMap<Uuid, Flush> = HashMap::new();
    for mut file in files {
        let name = file.path.to_string();
        let checksum = file
            .tags
            .get(CHECKSUM_TAG)
            .and_then(|text| u32::from_str_radix(text, 16).ok());
        let origin = records.origin(&name, std::mem::take(&mut file.tags), file.rows, bears, &mut flushes);
        records.rows = records.rows.saturating_add(file.rows.unwrap_or_default());
        match sizes.get(&file.path) {
            None => {
                let places = origin.places();
                let finding = Finding::new(FindingKind::MissingFile);
                records.findings.push(finding.files([name.clone()]).places(places));
                records.missing.insert(name);
            }
            Some(size) => {
                if *size != file.size {
                    let finding = Finding::new(FindingKind::FileSize).counts(file.size, *size);
                    let finding = finding.files([name]).places(origin.places());
                    records.findings.push(finding.because("in bytes"));
                }
                records.files.push(FileRecord {
                    path: file.path,
                    size: *size,
                    rows: file.rows,
                    // That its bytes are others goes without saying where their number is another one.
                    checksum: checksum.filter(|_| *size == file.size),
                    origin,
                });
            }
        }
    }
    for flush in flushes.into_values() {
        records.claim(flush, bears);
    }
    records
}

/// A flush as its files record it.
struct Flush {
    ledger: Arc<Ledger>,
    rows: u64,
    files: Vec<String>,
}

impl Records {
    /// Where a file came from by its tags; notes where they cannot be true.
    fn origin(
        &mut self,
        name: &str,
        tags: BTreeMap<String, String>,
        rows: Option<u64>,
        bears: Bears,
        flushes: &mut HashMap<Uuid, Flush>,
    ) -> Origin {
        let bad = |reason: String| {
            Finding::new(FindingKind::BadLedger)
                .files([name.to_owned()])
                .because(reason)
        };
        if let Some(text) = tags.get(REPLAY_TAG) {
            match serde_json::from_str::<Replay>(text) {
                Ok(replay) if rows.is_some() && replay.rows() == rows => {
                    return Origin::Replay(Arc::new(replay));
                }
                Ok(_) => self
                    .findings
                    .push(bad("its replay names other offsets than the file has rows".to_owned())),
                Err(error) => self.findings.push(bad(format!("its replay cannot be read: {error}"))),
            }
            return Origin::Unknown;
        }
        let Some(text) = tags.get(LEDGER_TAG) else {
            if bears == Bears::Always {
                self.findings
                    .push(Finding::new(FindingKind::ForeignFile).files([name.to_owned()]));
            }
            return Origin::Unknown;
        };
        let ledger = match serde_json::from_str::<Ledger>(text) {
            Ok(ledger) => ledger,
            Err(error) => {
                self.findings.push(bad(format!("it cannot be read: {error}")));
                return Origin::Unknown;
            }
        };
        let impossible: Vec<Place> = ledger_places(&ledger)
            .into_iter()
            .filter(|place| {
                ledger
                    .partitions
                    .get(&place.partition)
                    .is_some_and(|entry| !is_possible(entry))
            })
            .collect();
        if !impossible.is_empty() {
            let reason = "its range, or what it counts within it, is impossible".to_owned();
            self.findings.push(bad(reason).places(impossible));
            return Origin::Unknown;
        }
        let flush = flushes.entry(ledger.flush).or_insert_with(|| Flush {
            ledger: Arc::new(ledger.clone()),
            rows: 0,
            files: Vec::new(),
        });
        if *flush.ledger != ledger {
            let other = flush.files.first().cloned().unwrap_or_default();
            let reason = format!("it says otherwise than {other}, a file of the same flush");
            self.findings.push(bad(reason).places(ledger_places(&ledger)));
            return Origin::Unknown;
        }
        flush.rows = flush.rows.saturating_add(rows.unwrap_or_default());
        flush.files.push(name.to_owned());
        Origin::Flush(Arc::clone(&flush.ledger))
    }

    fn claim(&mut self, flush: Flush, bears: Bears) {
        let ledger = flush.ledger;
        let archived = ledger
            .partitions
            .values()
            .fold(0_u64, |sum, entry| sum.saturating_add(entry.rows));
        if bears == Bears::Always && archived != flush.rows {
            let finding = Finding::new(FindingKind::FlushRows).counts(archived, flush.rows);
            self.findings
                .push(finding.files(flush.files.clone()).places(ledger_places(&ledger)));
        }
        let files: Arc<[String]> = flush.files.into();
        for (partition, entry) in &ledger.partitions {
            let claim = Claim {
                start: entry.start,
                end: entry.end,
                rows: entry.rows,
                quarantined: entry.quarantined,
                tombstones: entry.tombstones,
                lost: entry.lost,
                files: Arc::clone(&files),
            };
            let of = self.claims.entry((ledger.topic.clone(), *partition)).or_default();
            of.push(claim);
        }
    }
}

/// Whether a flush can have covered this.
fn is_possible(entry: &Entry) -> bool {
    let length = entry
        .end
        .checked_sub(entry.start)
        .and_then(|length| u64::try_from(length).ok());
    let counted = entry
        .rows
        .checked_add(entry.quarantined)
        .and_then(|sum| sum.checked_add(entry.tombstones));
    match (length, counted) {
        (Some(length), Some(counted)) => entry.start >= 0 && length > 0 && counted <= length,
        _ => false,
    }
}
