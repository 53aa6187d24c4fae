//! What a run computes and where it publishes.

use chrono::{DateTime, Utc};
use clap::builder::{BoolishValueParser, RangedU64ValueParser};
use clap::{Args, ValueEnum};

use super::ExpectationSettings;

/// The window of a run and what it does with what earlier runs published.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "History")]
pub struct HistorySettings {
    /// Days of events before now that the tables cover
    #[arg(long, env = "BATCH_DAYS", default_value_t = 2, value_parser = RangedU64ValueParser::<u32>::new().range(1..=3650), value_name = "DAYS")]
    pub days: u32,

    /// The beginning of the window, RFC 3339, in place of --days
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub from: Option<DateTime<Utc>>,

    /// The end of the window that begins with --from, RFC 3339; without it now
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "from")]
    pub to: Option<DateTime<Utc>>,

    /// What the clock shows, RFC 3339: the end of a window without --to
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub now: Option<DateTime<Utc>>,

    /// Compute everything from the events, whatever earlier runs kept, and keep it anew
    #[arg(long)]
    pub full: bool,

    /// Go on without data files that are missing or broken, and count them in the run's row
    #[arg(long)]
    pub skip_corrupt: bool,

    /// What to do with rows that earlier runs published
    #[arg(long, default_value = "overwrite", value_name = "MODE")]
    pub mode: PublishMode,

    /// Publish only what meets every expectation: nothing is published and the exit code is 11 where the computed tables
    /// do not
    #[arg(long, env = "VALIDATE", value_parser = BoolishValueParser::new())]
    pub validate: bool,

    #[command(flatten)]
    pub expectations: ExpectationSettings,
}

/// What a run does with rows that earlier runs published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PublishMode {
    /// Replace them.
    Overwrite,
    /// Keep them and add this run's.
    Append,
    /// Publish only where none of the five tables has a row yet; else leave all as they are.
    Ignore,
    /// Publish only where none of the five tables has a row yet; else fail.
    Error,
}

impl PublishMode {
    /// The mode as it is written on the command line and in lakebed_runs.
    pub fn as_str(self) -> &'static str {
        match self {
            PublishMode::Overwrite => "overwrite",
            PublishMode::Append => "append",
            PublishMode::Ignore => "ignore",
            PublishMode::Error => "error",
        }
    }
}

/// A time on the command line.
pub(crate) fn parse_time(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.with_timezone(&Utc))
        .map_err(|_| "not a time such as 2026-01-15T07:00:00Z".to_owned())
}
