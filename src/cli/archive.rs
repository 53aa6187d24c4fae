//! `lakebed archive`

use std::sync::Arc;

use clap::Args;

use super::progress::ArchiveBar;
use super::{Format, output, stop};
use crate::archive::{self, ArchiveReport, Job};
use crate::config::{ArchiveSettings, ConsumerSettings, KafkaSettings, LakeSettings, MonitorSettings};
use crate::lake::Lake;
use crate::monitor;

/// Archive the topic into the lake, exactly once, until stopped
///
/// SIGTERM and SIGINT flush what was read, commit it, leave the group and exit 0. Where reading begins is what the
/// lake says; the consumer group only shares the partitions out.
#[derive(Debug, Args)]
pub struct ArchiveCommand {
    /// Stop by itself once all that the topic held at the start is archived
    #[arg(long)]
    until_end: bool,

    /// Where Kafka no longer has what comes next in a partition, record the gap in the lake and read on behind it
    ///
    /// Without it such a partition is not read any further, while the others are, and the archiver ends with exit code
    /// 1. `lakebed verify` goes on naming each gap. Meant for one start, by a person who has looked at what is lost.
    #[arg(long)]
    accept_loss: bool,

    /// What to print at the end
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,

    #[command(flatten)]
    kafka: KafkaSettings,
    #[command(flatten)]
    consumer: ConsumerSettings,
    #[command(flatten)]
    archive: ArchiveSettings,
    #[command(flatten)]
    monitor: MonitorSettings,
    #[command(flatten)]
    lake: LakeSettings,
}

impl ArchiveCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// [`archive::ArchiveError`], [`crate::lake::LakeError`] where the lake cannot be opened, and
    /// [`monitor::MonitorError`] where the port for metrics is taken.
    pub async fn run(self) -> anyhow::Result<()> {
        // First of all: a wish to stop while the store is slow to answer is a wish like any other.
        let wish = stop::on_signal()?;
        monitor::serve_archiver(&self.monitor, &self.kafka.topic, self.archive.timeout())?;
        let lake = Lake::open(&self.lake)?;
        lake.reach().await?;
        let job = Job {
            kafka: self.kafka,
            consumer: self.consumer,
            archive: self.archive,
            until_end: self.until_end,
            accept_loss: self.accept_loss,
        };
        let report = archive::run(job, lake, wish, Arc::new(ArchiveBar::new())).await?;
        output::print(self.format, &report, |report| text(report, &self.lake.path))
    }
}

fn text(report: &ArchiveReport, lake: &str) -> String {
    let number = output::grouped;
    let lost = match report.lost {
        0 => String::new(),
        lost => format!(
            " {} offsets that Kafka had dropped are recorded as lost; lakebed verify names them.",
            number(lost)
        ),
    };
    format!(
        "{} messages archived into {lake}: {} rows, {} in quarantine, {} without a value; raw_events is at version {}.{lost}",
        number(report.messages),
        number(report.rows),
        number(report.quarantined),
        number(report.tombstones),
        report.lake_version,
    )
}
