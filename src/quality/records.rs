//! What the lake's two logs record: each file's claim, and the files that bear none.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::coverage::{Claim, Finding};
use crate::archive::ledger::{LEDGER_TAG, Ledger};
use crate::lake::snapshot::{DataFile, present_files};
use crate::lake::{Lake, LakeError, TableSnapshot};

/// The records of one table.
#[derive(Debug, Default)]
pub struct Records {
    /// The claims of each topic's partitions.
    pub claims: BTreeMap<(String, i32), Vec<Claim>>,
    /// What is wrong with the files themselves.
    pub findings: Vec<Finding>,
    /// The files that are there, each with the topic of its ledger.
    pub files: Vec<(DataFile, Option<String>)>,
}

/// Reads the records of a table. A file without a ledger is another writer's where `all_bear_ledgers`.
///
/// # Errors
/// [`LakeError`] where the store fails.
pub async fn read(
    lake: &Lake,
    table: &str,
    snapshot: TableSnapshot,
    all_bear_ledgers: bool,
) -> Result<Records, LakeError> {
    let present: HashSet<_> = present_files(lake, table).await?.into_iter().collect();
    let mut records = Records::default();
    let mut flushes: HashMap<Uuid, (Ledger, u64, Vec<String>)> = HashMap::new();
    for file in snapshot.files {
        let ledger: Option<Ledger> = file
            .tags
            .get(LEDGER_TAG)
            .and_then(|text| serde_json::from_str(text).ok());
        let name = file.path.to_string();
        let is_there = present.contains(&file.path);
        if !is_there {
            records.findings.push(Finding::MissingFile {
                file: name.clone(),
                covered: ledger.as_ref().map(covered).unwrap_or_default(),
            });
        }
        let topic = ledger.as_ref().map(|ledger| ledger.topic.clone());
        match ledger {
            Some(ledger) => {
                let (_, rows, files) = flushes.entry(ledger.flush).or_insert((ledger, 0, Vec::new()));
                *rows += file.rows.unwrap_or_default();
                files.push(name);
            }
            None if all_bear_ledgers => records.findings.push(Finding::ForeignFile { file: name }),
            None => {}
        }
        if is_there {
            records.files.push((file, topic));
        }
    }
    for (ledger, held, files) in flushes.into_values() {
        let archived = ledger.partitions.values().map(|entry| entry.rows).sum();
        if all_bear_ledgers && archived != held {
            records.findings.push(Finding::Rows {
                topic: ledger.topic.clone(),
                archived,
                held,
                files: files.clone(),
            });
        }
        for (partition, entry) in ledger.partitions {
            let claim = Claim {
                start: entry.start,
                end: entry.end,
                rows: entry.rows,
                quarantined: entry.quarantined,
                tombstones: entry.tombstones,
                files: files.clone(),
            };
            records
                .claims
                .entry((ledger.topic.clone(), partition))
                .or_default()
                .push(claim);
        }
    }
    Ok(records)
}

/// The topics and partitions that either table has a claim of.
pub fn partitions(events: &Records, quarantine: &Records) -> BTreeSet<(String, i32)> {
    events.claims.keys().chain(quarantine.claims.keys()).cloned().collect()
}

fn covered(ledger: &Ledger) -> String {
    let ranges: Vec<String> = ledger
        .partitions
        .iter()
        .map(|(partition, entry)| format!("{}[{partition}] {} to {}", ledger.topic, entry.start, entry.end - 1))
        .collect();
    ranges.join(", ")
}
