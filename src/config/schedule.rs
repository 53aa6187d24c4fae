//! When `lakebed process` runs again, and how long and how often a run is tried.

use std::time::Duration;

use chrono_tz::Tz;
use clap::{Args, value_parser};
use croner::Cron;

use super::duration::{parse_duration, parse_pause};

/// Repeating runs, and the limits of each.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Schedule")]
pub struct ScheduleSettings {
    /// Run again and again: at once, then so long after the end of each run (90s, 15m, 1h30m); without a duration,
    /// after BATCH_INTERVAL_SECONDS
    #[arg(long, value_name = "DURATION", num_args = 0..=1, value_parser = parse_duration, conflicts_with = "cron")]
    pub every: Option<Option<Duration>>,

    /// Run at the times of a cron expression, such as "7 * * * *"; times that pass during a run are left out
    #[arg(long, value_name = "EXPRESSION", value_parser = parse_cron)]
    pub cron: Option<Cron>,

    /// The time zone of --cron, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = parse_zone)]
    pub time_zone: Tz,

    /// Under --every and --cron, wait up to so long more, drawn anew for each run but the first of --every
    #[arg(long, value_name = "DURATION", value_parser = parse_pause)]
    pub jitter: Option<Duration>,

    /// Seconds from the end of a run to the next under --every without a duration
    #[arg(long, env = "BATCH_INTERVAL_SECONDS", default_value_t = 3600, value_parser = value_parser!(u32).range(1..=31_536_000), value_name = "SECONDS")]
    pub interval_seconds: u32,

    /// How often a run is tried again, after growing waits, while a server or the store fails
    ///
    /// A run that happens once tries again only what fails after the lake and the database have answered: where they do
    /// not answer at all, a setting may be wrong.
    #[arg(long, value_name = "TIMES", default_value_t = 3, value_parser = value_parser!(u32).range(0..=1000))]
    pub retries: u32,

    /// End a run that has not published after so long, all its tries included
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

fn parse_cron(text: &str) -> Result<Cron, String> {
    let cron: Cron = text.parse().map_err(|error| {
        format!("not a cron expression such as \"7 * * * *\" (minute, hour, day of month, month, day of week): {error}")
    })?;
    match cron.find_next_occurrence(&chrono::Utc::now(), false) {
        Ok(_) => Ok(cron),
        Err(_) => Err("there is no such time in any year to come".to_owned()),
    }
}

fn parse_zone(text: &str) -> Result<Tz, String> {
    text.parse()
        .map_err(|_| "not a time zone of the tz database, such as UTC or Europe/Berlin".to_owned())
}
