//! `lakebed query`

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;

use super::output::Stdout;
use crate::config::{LakeSettings, PostgresSettings, SettingsError};
use crate::lake::Lake;
use crate::lake::snapshot::AsOf;
use crate::query::{self, QueryFormat};

/// Run SQL over raw_events, quarantine, the five history tables and their rollup, read only
///
/// The history tables are read where they are published: in PostgreSQL where POSTGRES_HOST is set, else in the lake.
#[derive(Debug, Args)]
pub struct QueryCommand {
    /// The query, such as "SELECT reason, count(*) FROM quarantine GROUP BY reason"
    #[arg(value_name = "SQL")]
    sql: String,

    /// How to write the rows
    #[arg(long, default_value = "table", value_name = "FORMAT")]
    format: QueryFormat,

    /// Write the rows into this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Read raw_events as of a version, such as 42, or a time, such as 2026-01-15T07:00:00Z
    #[arg(long, value_name = "VERSION|TIME", value_parser = parse_as_of)]
    at: Option<AsOf>,

    #[command(flatten)]
    lake: LakeSettings,
    #[command(flatten)]
    postgres: PostgresSettings,
}

impl QueryCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// [`query::QueryError`], and [`crate::lake::LakeError`] where the lake cannot be opened.
    pub async fn run(self) -> anyhow::Result<()> {
        let to_terminal = self.output.is_none() && io::stdout().is_terminal();
        if self.format == QueryFormat::Parquet && to_terminal {
            return Err(SettingsError::Value {
                name: "--format parquet",
                reason: "a terminal cannot show it; write it into a file with --output FILE".to_owned(),
            }
            .into());
        }
        let lake = Lake::open(&self.lake)?;
        let rows = query::run(&self.sql, &lake, &self.postgres, self.at.unwrap_or(AsOf::Newest)).await?;
        let mut out: Box<dyn Write + Send> = match &self.output {
            Some(path) => Box::new(File::create(path).map_err(|error| SettingsError::Value {
                name: "--output",
                reason: format!("cannot write {}: {error}", path.display()),
            })?),
            None => Box::new(Stdout::new()),
        };
        Ok(query::output::write(rows, self.format, &mut BufWriter::new(&mut out)).await?)
    }
}

fn parse_as_of(text: &str) -> Result<AsOf, String> {
    if let Ok(version) = text.parse() {
        return Ok(AsOf::Version(version));
    }
    DateTime::parse_from_rfc3339(text)
        .map(|time| AsOf::Time(time.with_timezone(&Utc)))
        .map_err(|_| "neither a version such as 42 nor a time such as 2026-01-15T07:00:00Z".to_owned())
}
