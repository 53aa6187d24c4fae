//! How the archiver cuts its stream into files.

use std::time::Duration;

use clap::Args;
use clap::value_parser;

/// When buffered events are flushed, and what bounds them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Archive")]
pub struct ArchiveSettings {
    /// Flush once this many events are buffered
    #[arg(long, env = "BATCH_SIZE", default_value_t = 5000, value_parser = value_parser!(u32).range(1..=10_000_000), value_name = "EVENTS")]
    pub batch_size: u32,

    /// Flush once the oldest buffered event has waited this many seconds
    #[arg(long, env = "TIMEOUT_SEC", default_value_t = 60, value_parser = value_parser!(u32).range(1..=86_400), value_name = "SECONDS")]
    pub timeout_sec: u32,

    /// Most columns that raw_events may have; fields beyond them are kept in _rescued
    #[arg(long, env = "MAX_COLUMNS", default_value_t = 200, value_parser = value_parser!(u32).range(16..=10_000), value_name = "COLUMNS")]
    pub max_columns: u32,

    /// Memory that the whole process may take, in MB; at the budget, reading waits
    #[arg(long, env = "MEMORY_BUDGET_MB", default_value_t = 256, value_parser = memory_budget, value_name = "MB")]
    pub memory_budget_mb: u32,
}

/// The smallest budget that holds the program itself and a message of the largest size that brokers are set to.
pub const SMALLEST_MEMORY_BUDGET_MB: u32 = 128;

fn memory_budget(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(budget @ SMALLEST_MEMORY_BUDGET_MB..=65_536) => Ok(budget),
        Ok(0..SMALLEST_MEMORY_BUDGET_MB) => Err(format!(
            "the program itself and a message of 10 MB on its way take more; set {SMALLEST_MEMORY_BUDGET_MB} or more"
        )),
        _ => Err(format!("not a number from {SMALLEST_MEMORY_BUDGET_MB} to 65536")),
    }
}

impl ArchiveSettings {
    /// How long the oldest buffered event may wait for its flush.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.timeout_sec))
    }
}
