//! `lakebed verify`

use std::collections::BTreeMap;
use std::process::ExitCode;

use chrono::SecondsFormat;
use clap::Args;

use super::output::grouped;
use super::progress::FileBar;
use super::{Format, output};
use crate::config::{KafkaSettings, LakeSettings};
use crate::lake::Lake;
use crate::quality::waiting::Waiting;
use crate::quality::{self, BrokerReport, Finding, PartitionReport, VerifyReport};

/// The exit code where something is lost or doubled (contract, section 7).
const NOT_VERIFIED: u8 = 12;
/// Partitions of a topic that the text lists whatever is with them; of more, those that are as they should be are summed.
const LISTED_PARTITIONS: usize = 24;
/// Findings of a kind that the text lists.
const LISTED_FINDINGS: usize = 12;

/// Prove from the lake's own records that no message is lost or doubled; exit 12 where one is
///
/// Each flush left a ledger beside its files: the offsets that it covers, and how many became rows, went to quarantine
/// or had no value. The ledgers must lead from the first offset to the mark without gap or overlap, the files must be
/// there, and hold what was archived. The broker is asked what it holds of KAFKA_TOPIC that is not archived yet; that
/// it does not answer is no failure. Offsets that Kafka dropped before they were archived are named for good. A topic
/// that was deleted and made anew is proven beside the former one, as TOPIC#1.
#[derive(Debug, Args)]
pub struct VerifyCommand {
    /// Read the offset of every row, and the bytes of every file, as well
    #[arg(long)]
    deep: bool,

    /// Do not ask the broker what is not archived yet
    #[arg(long)]
    no_broker: bool,

    /// What to print
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,

    #[command(flatten)]
    lake: LakeSettings,
    #[command(flatten)]
    kafka: KafkaSettings,
}

impl VerifyCommand {
    /// Runs the command; the exit code says whether all is well.
    ///
    /// # Errors
    /// [`crate::lake::LakeError`] where the lake cannot be read.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let lake = Lake::open(&self.lake)?;
        lake.reach().await?;
        let kafka = (!self.no_broker).then_some(&self.kafka);
        let report = quality::verify(&lake, self.deep, kafka, &FileBar::new()).await?;
        output::print(self.format, &report, text)?;
        Ok(if report.findings.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(NOT_VERIFIED)
        })
    }
}

fn text(report: &VerifyReport) -> String {
    let mut lines = Vec::new();
    let mut topics: BTreeMap<&str, Vec<&PartitionReport>> = BTreeMap::new();
    for partition in &report.partitions {
        topics.entry(&partition.topic).or_default().push(partition);
    }
    for (topic, partitions) in &topics {
        lines.extend(topic_lines(topic, partitions));
    }
    if report.partitions.is_empty() {
        lines.push("The lake holds nothing of any topic yet.".to_owned());
    }
    lines.extend(broker_lines(&report.broker));
    if !report.uncommitted.is_empty() {
        lines.push(format!(
            "Files that no commit names: {}; they belong to a commit that is under way, or the next archiver deletes them.",
            grouped(report.uncommitted.len() as u64)
        ));
    }
    let read = match report.deep {
        true => "the ledgers and the offset of every row",
        false => "the ledgers",
    };
    lines.push(match report.findings.len() {
        0 => format!("Nothing is lost and nothing is doubled, by {read}."),
        1 => format!("One thing is not as it should be, by {read}:"),
        count => format!("{} things are not as they should be, by {read}:", grouped(count as u64)),
    });
    lines.extend(finding_lines(&report.findings));
    lines.join("\n")
}

fn topic_lines(topic: &str, partitions: &[&PartitionReport]) -> Vec<String> {
    let is_whole = |partition: &PartitionReport| partition.gaps.is_empty() && partition.overlaps.is_empty();
    let (mut listed, mut summed) = (partitions.to_vec(), Vec::new());
    if partitions.len() > LISTED_PARTITIONS {
        (summed, listed) = partitions.iter().copied().partition(|partition| is_whole(partition));
    }
    let mut lines: Vec<String> = listed
        .into_iter()
        .map(|partition| {
            let next = partition.next.unwrap_or_default();
            let range = match partition.first {
                Some(first) if first == next => format!("nothing archived yet, from offset {first} on"),
                Some(first) => format!("offsets {first} to {}", next - 1),
                None => format!("offsets ? to {}", next - 1),
            };
            let of = |name: &str, count: usize| match count {
                0 => String::new(),
                1 => format!(", 1 {name}"),
                _ => format!(", {count} {name}s"),
            };
            let holes = of("gap", partition.gaps.len()) + &of("overlap", partition.overlaps.len());
            let counts = if partition.flushes > 0 {
                counts(&[partition])
            } else {
                String::new()
            };
            format!("{topic}[{}]: {range}{counts}{holes}", partition.partition)
        })
        .collect();
    if !summed.is_empty() {
        let count = summed.len();
        let counts = counts(&summed);
        lines.push(format!("{topic}: {count} partitions without gap or overlap{counts}"));
    }
    lines
}

fn counts(partitions: &[&PartitionReport]) -> String {
    let sum = |count: fn(&PartitionReport) -> u64| {
        let sum = partitions
            .iter()
            .fold(0_u64, |sum, partition| sum.saturating_add(count(partition)));
        grouped(sum)
    };
    let replayed = match partitions.iter().any(|partition| partition.replayed > 0) {
        true => format!(" ({} of them replayed)", sum(|partition| partition.replayed)),
        false => String::new(),
    };
    format!(
        " in {} flushes: {} rows, {} in quarantine{replayed}, {} without a value",
        sum(|partition| partition.flushes),
        sum(|partition| partition.rows),
        sum(|partition| partition.quarantined),
        sum(|partition| partition.tombstones),
    )
}

fn broker_lines(broker: &BrokerReport) -> Vec<String> {
    let (topic, partitions) = match broker {
        BrokerReport::LeftOut => return Vec::new(),
        BrokerReport::NoAnswer { reason, .. } => {
            return vec![format!("Not known what is still to be archived: {reason}")];
        }
        BrokerReport::Answered { topic, partitions } => (topic, partitions),
    };
    let mut lines = Vec::new();
    let waiting: u64 = partitions.iter().map(|partition| partition.waiting).sum();
    let behind = partitions.iter().filter(|partition| partition.waiting > 0).count();
    let oldest = partitions.iter().filter_map(|partition| partition.oldest).min();
    let oldest = oldest.map_or_else(String::new, |oldest| {
        format!(
            ", the oldest written at {}",
            oldest.to_rfc3339_opts(SecondsFormat::Secs, true)
        )
    });
    lines.push(match waiting {
        0 => format!("{topic}: all that Kafka holds is archived."),
        _ => format!(
            "{topic}: {} offsets in {behind} partitions are not archived yet{oldest}.",
            grouped(waiting)
        ),
    });
    let named = |which: fn(&Waiting) -> bool| {
        let named: Vec<String> = partitions
            .iter()
            .filter(|partition| which(partition))
            .map(|partition| partition.partition.to_string())
            .collect();
        (!named.is_empty()).then(|| named.join(", "))
    };
    if let Some(unseen) = named(|partition| partition.next.is_none()) {
        lines.push(format!("{topic}: the lake has never seen these partitions: {unseen}."));
    }
    if let Some(others) = named(Waiting::is_another) {
        lines.push(format!(
            "{topic}: these partitions end before what the lake holds of them: {others}; the topic was deleted and made anew, or KAFKA_BROKERS names another cluster."
        ));
    }
    lines
}

fn finding_lines(findings: &[Finding]) -> Vec<String> {
    let mut lines = Vec::new();
    for same in findings.chunk_by(|a, b| a.finding == b.finding) {
        lines.push(format!("  {}", same[0].finding.title()));
        lines.extend(
            same.iter()
                .take(LISTED_FINDINGS)
                .map(|finding| format!("    {finding}")),
        );
        match same.len().saturating_sub(LISTED_FINDINGS) {
            0 => {}
            more => lines.push(format!("    and {more} more; --format json has them all")),
        }
    }
    lines
}
