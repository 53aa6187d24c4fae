//! `lakebed verify`

use std::process::ExitCode;

use clap::Args;

use super::output::grouped;
use super::{Format, output};
use crate::config::LakeSettings;
use crate::lake::Lake;
use crate::quality::{self, VerifyReport};

/// The exit code where something is lost or doubled (contract, section 7).
const NOT_VERIFIED: u8 = 12;

/// Prove from the lake's own records that no message is lost or doubled; exit 12 where one is
///
/// Each flush left a ledger beside its files: the offsets that it covers, and how many became rows, went to quarantine
/// or had no value. The ledgers must lead from the first offset to the mark without gap or overlap, the files must be
/// there, and hold what was archived.
#[derive(Debug, Args)]
pub struct VerifyCommand {
    /// Read the offset of every row as well
    #[arg(long)]
    deep: bool,

    /// What to print
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,

    #[command(flatten)]
    lake: LakeSettings,
}

impl VerifyCommand {
    /// Runs the command; the exit code says whether all is well.
    ///
    /// # Errors
    /// [`crate::lake::LakeError`] where the lake cannot be read.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let lake = Lake::open(&self.lake)?;
        lake.reach().await?;
        let report = quality::verify(&lake, self.deep).await?;
        output::print(self.format, &report, text)?;
        Ok(if report.findings.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(NOT_VERIFIED)
        })
    }
}

fn text(report: &VerifyReport) -> String {
    let partitions = report.partitions.iter().map(|partition| {
        format!(
            "{}[{}]: offsets {} to {} in {} flushes: {} rows, {} in quarantine, {} without a value",
            partition.topic,
            partition.partition,
            partition.first.map_or("?".to_owned(), |first| first.to_string()),
            partition.next - 1,
            grouped(partition.flushes as u64),
            grouped(partition.rows),
            grouped(partition.quarantined),
            grouped(partition.tombstones),
        )
    });
    let read = if report.deep {
        "the ledgers and the offset of every row"
    } else {
        "the ledgers"
    };
    let verdict = match report.findings.len() {
        0 => format!("Nothing is lost and nothing is doubled, by {read}."),
        count => format!("{count} things are not as they should be, by {read}:"),
    };
    let findings = report.findings.iter().map(|finding| format!("  {finding}"));
    partitions
        .chain([verdict])
        .chain(findings)
        .collect::<Vec<_>>()
        .join("\n")
}
