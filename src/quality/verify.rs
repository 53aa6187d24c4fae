//! Nothing lost, nothing doubled: proven from the lake's own records and, when asked, from every row.

use std::collections::BTreeMap;

use serde::Serialize;

use super::coverage::{self, Claim, Finding};
use super::offsets;
use super::records::{self, Records};
use crate::archive::ledger::{app_id, first_id};
use crate::lake::snapshot::AsOf;
use crate::lake::{Lake, LakeError, QUARANTINE, RAW_EVENTS, TableSnapshot, TableWriter};

/// What was verified, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// The version of raw_events.
    pub lake_version: Option<u64>,
    /// Whether every row's offset was read.
    pub deep: bool,
    /// Each partition of each topic.
    pub partitions: Vec<PartitionReport>,
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
    /// The offset that comes next.
    pub next: i64,
    /// Flushes.
    pub flushes: usize,
    /// Rows of raw_events.
    pub rows: u64,
    /// Messages in quarantine.
    pub quarantined: u64,
    /// Messages without a value.
    pub tombstones: u64,
}

/// Verifies the archive; with `deep`, by the offset of every row too.
///
/// # Errors
/// [`LakeError::Missing`] where there is no table of archived events, else where the store fails or a file cannot be
/// read. What is wrong with the archive is no error but a [`Finding`].
pub async fn verify(lake: &Lake, deep: bool) -> Result<VerifyReport, LakeError> {
    let missing = || LakeError::Missing {
        what: "table of archived events",
        place: lake.shown(RAW_EVENTS),
        help: "name the lake with DATA_LAKE_PATH, or fill it with lakebed archive",
    };
    // The marks are read before the files: a commit in between shows in the files only, and is not judged.
    let mut marks = TableWriter::open(lake, RAW_EVENTS).await?.ok_or_else(missing)?;
    let version = marks.version();
    let events = TableSnapshot::load(lake, RAW_EVENTS, AsOf::Version(version))
        .await?
        .ok_or_else(missing)?;
    let events = records::read(lake, RAW_EVENTS, events, true).await?;
    let quarantine = match TableSnapshot::load(lake, QUARANTINE, AsOf::Newest).await? {
        Some(snapshot) => records::read(lake, QUARANTINE, snapshot, false).await?,
        None => Records::default(),
    };
    let recorded = events.claims.values().flatten().any(|claim| claim.quarantined > 0);
    let lost =
        (recorded && quarantine.files.is_empty() && quarantine.findings.is_empty()).then(|| Finding::MissingFile {
            file: lake.shown(QUARANTINE),
            covered: "all messages that are no events".to_owned(),
        });
    let mut report = VerifyReport {
        lake_version: Some(version),
        deep,
        partitions: Vec::new(),
        findings: events
            .findings
            .iter()
            .chain(&quarantine.findings)
            .cloned()
            .chain(lost)
            .collect(),
    };
    let mut counted: BTreeMap<String, BTreeMap<i32, Vec<Claim>>> = BTreeMap::new();
    for (topic, partition) in records::partitions(&events, &quarantine) {
        let first = marks.mark(&first_id(&topic, partition)).await?;
        let next = marks.mark(&app_id(&topic, partition)).await?.unwrap_or_default();
        let of = |records: &Records| {
            records
                .claims
                .get(&(topic.clone(), partition))
                .cloned()
                .unwrap_or_default()
        };
        let (findings, claims) = coverage::check(&topic, partition, first, next, of(&events), of(&quarantine));
        report.findings.extend(findings);
        report.partitions.push(PartitionReport {
            topic: topic.clone(),
            partition,
            first,
            next,
            flushes: claims.len(),
            rows: claims.iter().map(|claim| claim.rows).sum(),
            quarantined: claims.iter().map(|claim| claim.quarantined).sum(),
            tombstones: claims.iter().map(|claim| claim.tombstones).sum(),
        });
        counted.entry(topic).or_default().insert(partition, claims);
    }
    if deep {
        for (topic, claims) in &counted {
            let mut found = BTreeMap::new();
            for (file, _) in events.files.iter().filter(|(_, owner)| owner.as_ref() == Some(topic)) {
                offsets::read(lake, &file.path, ["_partition", "_offset"], &mut found).await?;
            }
            for (file, _) in &quarantine.files {
                offsets::read(lake, &file.path, ["partition", "offset"], &mut found).await?;
            }
            for (partition, claims) in claims {
                let offsets = found.remove(partition).unwrap_or_default();
                report
                    .findings
                    .extend(coverage::check_offsets(topic, *partition, claims, offsets));
            }
        }
    }
    Ok(report)
}
