//! `lakebed quarantine`

use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use super::output::grouped;
use super::progress::FileBar;
use super::{Format, output};
use crate::config::{ArchiveSettings, LakeSettings};
use crate::event::{Reason, TimeUnit};
use crate::lake::Lake;
use crate::quarantine::{
    self, Listing, ReasonListing, ReplayJob, ReplayReport, Sample, Selection, Shown, TopicListing,
};

/// Partitions of a topic that the text names.
const LISTED_PARTITIONS: usize = 8;

/// List the messages that are no events, by reason; replay archives what now decodes
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct QuarantineCommand {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    list: ListArguments,
}

#[derive(Debug, Subcommand)]
enum Action {
    Replay(Box<ReplayArguments>),
}

#[derive(Debug, Args)]
struct ListArguments {
    #[command(flatten)]
    which: Which,

    /// How many messages of each reason to show, the newest first
    #[arg(long, default_value_t = 3, value_name = "MESSAGES")]
    samples: usize,

    /// What to print
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,

    #[command(flatten)]
    lake: LakeSettings,
}

/// Make rows of the messages that decode by now, exactly once
///
/// Each message is decoded by today's rules, and under what --assume says where these do not accept its timestamp. What
/// becomes a row keeps its partition and offset and stays in the quarantine too; whatever happens to this process, and
/// whoever else replays or archives at the same time, it becomes one row. Start it again where it was stopped.
#[derive(Debug, Args)]
struct ReplayArguments {
    #[command(flatten)]
    which: Which,

    /// What to assume of a timestamp that the rules do not accept
    ///
    /// timestamp-unit=seconds, milliseconds, microseconds or nanoseconds: what numbers count; a fraction of a second is
    /// cut off. time-zone=UTC or +01:00: the zone of times that name none. missing-timestamp=archived_at: a message
    /// without a timestamp has the time at which the archiver read it. May be given more than once.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_assumption)]
    assume: Vec<Assumption>,

    /// Say what would become of each message, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// What to print at the end
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,

    #[command(flatten)]
    lake: LakeSettings,
    #[command(flatten)]
    archive: ArchiveSettings,
}

/// Which messages are meant.
#[derive(Debug, Args)]
struct Which {
    /// Only messages of this reason; may be given more than once
    #[arg(long = "reason", value_name = "REASON", value_parser = PossibleValuesParser::new(Reason::ALL.map(Reason::as_str)))]
    reasons: Vec<String>,

    /// Only messages of this topic; may be given more than once
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
}

impl Which {
    fn selection(self) -> Selection {
        let chosen = |reason: &Reason| self.reasons.iter().any(|name| name == reason.as_str());
        Selection {
            reasons: Reason::ALL.into_iter().filter(chosen).collect(),
            topics: self.topics,
        }
    }
}

/// Something to assume of a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Assumption {
    Unit(TimeUnit),
    Zone(FixedOffset),
    MissingIsArchivedAt,
}

fn parse_assumption(text: &str) -> Result<Assumption, String> {
    let unknown = || {
        "not timestamp-unit=seconds|milliseconds|microseconds|nanoseconds, time-zone=UTC|+HH:MM or missing-timestamp=archived_at"
            .to_owned()
    };
    let (name, value) = text.split_once('=').ok_or_else(unknown)?;
    match (name, value) {
        ("timestamp-unit", "seconds") => Ok(Assumption::Unit(TimeUnit::Seconds)),
        ("timestamp-unit", "milliseconds") => Ok(Assumption::Unit(TimeUnit::Milliseconds)),
        ("timestamp-unit", "microseconds") => Ok(Assumption::Unit(TimeUnit::Microseconds)),
        ("timestamp-unit", "nanoseconds") => Ok(Assumption::Unit(TimeUnit::Nanoseconds)),
        ("time-zone", "UTC" | "Z") => FixedOffset::east_opt(0).map(Assumption::Zone).ok_or_else(unknown),
        ("time-zone", offset) => {
            let parsed = DateTime::parse_from_rfc3339(&format!("2000-01-01T00:00:00{offset}"));
            parsed
                .map(|time| Assumption::Zone(*time.offset()))
                .map_err(|_| unknown())
        }
        ("missing-timestamp", "archived_at") => Ok(Assumption::MissingIsArchivedAt),
        _ => Err(unknown()),
    }
}

impl QuarantineCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// [`crate::lake::LakeError`] and [`crate::archive::ArchiveError`] where the lake cannot be read or written.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.action {
            Some(Action::Replay(arguments)) => arguments.run().await,
            None => self.list.run().await,
        }
    }
}

impl ListArguments {
    async fn run(self) -> anyhow::Result<()> {
        let lake = Lake::open(&self.lake)?;
        lake.reach().await?;
        let selection = self.which.selection();
        let listing = quarantine::list(&lake, &selection, self.samples, &FileBar::new()).await?;
        output::print(self.format, &listing, |listing| {
            text(listing, &lake.shown("quarantine"))
        })
    }
}

impl ReplayArguments {
    async fn run(self) -> anyhow::Result<()> {
        let lake = Lake::open(&self.lake)?;
        lake.reach().await?;
        let mut job = ReplayJob {
            selection: self.which.selection(),
            unit: None,
            zone: None,
            missing_is_archived_at: false,
            dry_run: self.dry_run,
            now: Utc::now(),
            max_columns: usize::try_from(self.archive.max_columns).unwrap_or(usize::MAX),
            batch_rows: usize::try_from(self.archive.batch_size).unwrap_or(usize::MAX),
            batch_bytes: usize::try_from(self.archive.memory_budget_mb)
                .unwrap_or(usize::MAX)
                .saturating_mul(1 << 20)
                / 8,
        };
        for assumption in self.assume {
            match assumption {
                Assumption::Unit(unit) => job.unit = Some(unit),
                Assumption::Zone(zone) => job.zone = Some(zone),
                Assumption::MissingIsArchivedAt => job.missing_is_archived_at = true,
            }
        }
        let report = quarantine::replay(&lake, &job, &FileBar::new()).await?;
        output::print(self.format, &report, replay_text)
    }
}

fn text(listing: &Listing, place: &str) -> String {
    let Some(version) = listing.version else {
        return format!("There is no quarantine at {place}: nothing was archived into this lake yet.");
    };
    if listing.messages == 0 {
        return format!("Nothing is in quarantine at {place} that was asked for; it is at version {version}.");
    }
    let are = if listing.messages == 1 { "is" } else { "are" };
    let mut lines = vec![format!(
        "{} {are} in quarantine at {place}{}.",
        messages(listing.messages),
        replayed(listing.replayed)
    )];
    for reason in &listing.reasons {
        lines.extend(reason_lines(reason));
    }
    lines.join("\n")
}

fn messages(count: u64) -> String {
    match count {
        1 => "1 message".to_owned(),
        _ => format!("{} messages", grouped(count)),
    }
}

fn replayed(count: u64) -> String {
    match count {
        0 => String::new(),
        _ => format!(", {} of them replayed", grouped(count)),
    }
}

fn reason_lines(reason: &ReasonListing) -> Vec<String> {
    let mut lines = vec![
        String::new(),
        format!(
            "{}: {}{}, {}",
            reason.reason,
            messages(reason.messages),
            replayed(reason.replayed),
            match (reason.first, reason.last) {
                (Some(first), Some(last)) if first != last => format!("from {} to {}", time(first), time(last)),
                (Some(first), _) => format!("at {}", time(first)),
                _ => "at an unknown time".to_owned(),
            }
        ),
    ];
    lines.extend(reason.topics.iter().map(topic_line));
    lines.extend(reason.samples.iter().flat_map(sample_lines));
    lines
}

fn topic_line(topic: &TopicListing) -> String {
    let partitions: Vec<String> = topic
        .partitions
        .iter()
        .take(LISTED_PARTITIONS)
        .map(|count| {
            let offsets = match count.from == count.to {
                true => format!("offset {}", count.from),
                false => format!("offsets {} to {}", count.from, count.to),
            };
            format!("[{}] {} ({offsets})", count.partition, grouped(count.messages))
        })
        .collect();
    let more = match topic.partitions.len().saturating_sub(LISTED_PARTITIONS) {
        0 => String::new(),
        more => format!(" and {more} more partitions"),
    };
    format!("  {}: {}{more}", topic.topic, partitions.join(", "))
}

fn sample_lines(sample: &Sample) -> Vec<String> {
    let at = sample
        .archived_at
        .map_or_else(String::new, |at| format!(", {}", time(at)));
    let state = if sample.replayed { ", replayed" } else { "" };
    let key = sample
        .key
        .as_ref()
        .map_or_else(String::new, |key| format!(", key {}", shown(key)));
    vec![
        format!(
            "  - {}[{}] offset {}{at}{key}{state}",
            sample.topic, sample.partition, sample.offset
        ),
        format!("    {}", shown(&sample.value)),
    ]
}

fn shown(bytes: &Shown) -> String {
    match (bytes.bytes, bytes.cut) {
        (0, _) => "(empty)".to_owned(),
        (_, false) => bytes.text.clone(),
        (all, true) => format!("{} … ({} bytes)", bytes.text, grouped(all)),
    }
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn replay_text(report: &ReplayReport) -> String {
    let (became, stay) = match report.dry_run {
        true => ("would become rows", "would stay as they are"),
        false => ("became rows", "stay as they are"),
    };
    let mut lines = vec![format!(
        "Of {} messages in quarantine {} {became}, {} were rows by an earlier replay, {} {stay}; raw_events is at version {}.",
        grouped(report.messages),
        grouped(report.replayed),
        grouped(report.already),
        grouped(report.left),
        report.lake_version,
    )];
    lines.extend(report.reasons.iter().map(|(reason, count)| {
        format!(
            "  {reason}: {} {became}, {} were rows already, {} {stay}",
            grouped(count.replayed),
            grouped(count.already),
            grouped(count.left)
        )
    }));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assumptions_are_read_as_they_are_written() {
        let zone = |seconds| {
            FixedOffset::east_opt(seconds)
                .map(Assumption::Zone)
                .ok_or_else(String::new)
        };
        assert_eq!(
            parse_assumption("timestamp-unit=milliseconds"),
            Ok(Assumption::Unit(TimeUnit::Milliseconds))
        );
        assert_eq!(parse_assumption("time-zone=UTC"), zone(0));
        assert_eq!(parse_assumption("time-zone=-05:30"), zone(-19_800));
        assert_eq!(
            parse_assumption("missing-timestamp=archived_at"),
            Ok(Assumption::MissingIsArchivedAt)
        );
        for wrong in [
            "",
            "timestamp-unit",
            "timestamp-unit=hours",
            "time-zone=Berlin",
            "time-zone=",
            "zone=UTC",
        ] {
            assert!(parse_assumption(wrong).is_err(), "{wrong}");
        }
    }
}
