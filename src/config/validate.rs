//! What lake and tables are held to.

use std::path::PathBuf;

use clap::Args;
use clap::builder::RangedU64ValueParser;

/// Expectations beside those that lakebed has.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Expectations")]
pub struct ExpectationSettings {
    /// A folder of your own expectations, with a file for each table, such as lakebed_runs.toml
    #[arg(long = "expectations", env = "EXPECTATIONS", value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}

/// The limits that depend on how lakebed is run.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Expectations")]
pub struct ValidateSettings {
    /// The largest share of messages that may be in quarantine, in per cent
    #[arg(long, env = "MAX_QUARANTINED_PERCENT", default_value_t = 5.0, value_parser = parse_percent, value_name = "PERCENT")]
    pub max_quarantined_percent: f64,

    /// Hours that the newest published run, and the newest hour of its tables, may lie back; without it the run may 24,
    /// and the newest hour is not checked
    #[arg(long, env = "MAX_AGE_HOURS", value_parser = RangedU64ValueParser::<u32>::new().range(1..=87_600), value_name = "HOURS")]
    pub max_age_hours: Option<u32>,
}

fn parse_percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("not a number from 0 to 100".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_lies_between_0_and_100() {
        assert_eq!(parse_percent("0"), Ok(0.0));
        assert_eq!(parse_percent("0.5"), Ok(0.5));
        assert_eq!(parse_percent("100"), Ok(100.0));
        for text in ["-0.1", "100.1", "NaN", "inf", "five", ""] {
            assert!(parse_percent(text).is_err(), "{text}");
        }
    }
}
