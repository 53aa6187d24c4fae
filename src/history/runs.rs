//! The record of a run: what it read, what it published and how it ended.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::compute::Computed;
use super::{Figures, RollupReport, Window};
use crate::config::history::PublishMode;
use crate::lake::TableSnapshot;

/// The name of the table of runs, in PostgreSQL and in the lake.
pub const RUNS_TABLE: &str = "lakebed_runs";

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Its tables are what readers see.
    Published,
    /// The mode was ignore and there were rows already: nothing was changed.
    Ignored,
    /// A run over a newer version of the lake had published before: nothing was changed.
    Superseded,
    /// It ended with an error: nothing was changed.
    Failed,
}

impl Outcome {
    /// The outcome as lakebed_runs holds it.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Published => "published",
            Outcome::Ignored => "ignored",
            Outcome::Superseded => "superseded",
            Outcome::Failed => "failed",
        }
    }
}

/// A run, as its row in lakebed_runs holds it and as it is reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunReport {
    /// The run.
    pub id: String,
    /// How it ended.
    pub outcome: Outcome,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it published or gave up.
    pub ended_at: DateTime<Utc>,
    /// The tables cover the events from here
    pub window_start: DateTime<Utc>,
    /// to here, both included.
    pub window_end: DateTime<Utc>,
    /// The id of raw_events; empty where it is plain Parquet.
    pub lake_id: String,
    /// The version of raw_events that the run read; none where it is plain Parquet.
    pub lake_version: Option<u64>,
    /// What it was to do with rows that earlier runs published.
    pub mode: &'static str,
    /// Events in the window; none where the run failed before it knew.
    pub events_read: Option<u64>,
    /// Data files of the window that could not be read and were left out; none where the run failed before it knew.
    pub corrupt_files: Option<usize>,
    /// Their names, from the root of the store.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub corrupt_file_names: BTreeSet<String>,
    /// Rows of each table that this run computed; they are visible where the outcome is published.
    pub rows_per_table: BTreeMap<&'static str, usize>,
    /// Where the tables are published.
    pub published_to: String,
    /// The version of each table that belongs to this run; only where they are published into the lake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_versions: Option<BTreeMap<&'static str, u64>>,
    /// What became of the rollup that the lake keeps; none where the run failed before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollup: Option<RollupReport>,
    /// What it cost; none where it failed before it had begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figures: Option<Figures>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl RunReport {
    /// A run that begins now; it has failed until it has ended otherwise.
    pub(super) fn begin(window: &Window, mode: PublishMode, published_to: String) -> RunReport {
        let now = Utc::now().trunc_subsecs(6);
        RunReport {
            id: Uuid::now_v7().to_string(),
            outcome: Outcome::Failed,
            started_at: now,
            ended_at: now,
            window_start: window.start.trunc_subsecs(6),
            window_end: window.end.trunc_subsecs(6),
            lake_id: String::new(),
            lake_version: None,
            mode: mode.as_str(),
            events_read: None,
            corrupt_files: None,
            corrupt_file_names: BTreeSet::new(),
            rows_per_table: BTreeMap::new(),
            published_to,
            table_versions: None,
            rollup: None,
            figures: None,
            error: None,
        }
    }

    /// Notes which version of the lake the run reads.
    pub(super) fn reads(&mut self, events: &TableSnapshot) {
        self.lake_id.clone_from(&events.id);
        self.lake_version = events.version;
    }

    /// Notes what the run computed.
    pub(super) fn computed(&mut self, computed: &Computed) {
        self.events_read = Some(computed.events);
        self.corrupt_files = Some(computed.left_out.len());
        self.corrupt_file_names.clone_from(&computed.left_out);
        self.rows_per_table = computed
            .rows
            .iter()
            .map(|rows| (rows.table.name, rows.batch.num_rows()))
            .collect();
    }

    /// Notes how the run ends, now; microseconds are what both homes of the row can hold.
    pub(super) fn ends(&mut self, outcome: Outcome) {
        self.outcome = outcome;
        self.ended_at = Utc::now().trunc_subsecs(6);
    }

    /// The version of the lake as a signed number, which PostgreSQL and Delta marks hold.
    pub(super) fn signed_version(&self) -> Option<i64> {
        self.lake_version.and_then(|version| i64::try_from(version).ok())
    }

    /// How many files were left out, as both homes of the row hold it.
    pub(super) fn signed_corrupt_files(&self) -> Option<i64> {
        self.corrupt_files.and_then(|files| i64::try_from(files).ok())
    }

    /// The events read as a signed number, which both homes of the row hold.
    pub(super) fn signed_events(&self) -> Option<i64> {
        self.events_read.and_then(|events| i64::try_from(events).ok())
    }
}

/// Numbers by name as JSON text.
pub(super) fn json_text<V: Serialize>(named: &V) -> String {
    serde_json::to_string(named).unwrap_or_else(|_| "{}".to_owned())
}
