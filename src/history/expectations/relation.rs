//! What expectations can be about: the five tables, and the runs whose rows they hold.

use arrow::datatypes::SchemaRef;

use crate::history::runs::RUNS_TABLE;
use crate::history::tables::{ColumnType, HISTORY_TABLES, schema_of};

/// A table as expectations see it.
#[derive(Debug, Clone, Copy)]
pub struct Relation {
    /// Its name.
    pub name: &'static str,
    /// Its columns.
    pub columns: &'static [(&'static str, ColumnType)],
    /// The order in which its rows are shown, as SQL.
    pub order: &'static str,
    /// Its file of expectations.
    pub expectations: &'static str,
}

/// The runs of a release: those columns of lakebed_runs that both of its homes have alike.
pub(in crate::history) const RUNS: Relation = Relation {
    name: RUNS_TABLE,
    columns: &[
        ("id", ColumnType::Text),
        ("mode", ColumnType::Text),
        ("started_at", ColumnType::Timestamp),
        ("ended_at", ColumnType::Timestamp),
        ("window_start", ColumnType::Timestamp),
        ("window_end", ColumnType::Timestamp),
        ("lake_version", ColumnType::BigInt),
        ("events_read", ColumnType::BigInt),
    ],
    order: "ended_at",
    expectations: include_str!("../../../views/lakebed_runs.toml"),
};

impl Relation {
    /// All of them, the five tables first.
    pub fn all() -> impl Iterator<Item = Relation> {
        let tables = HISTORY_TABLES.iter().map(|table| Relation {
            name: table.name,
            columns: table.columns,
            order: table.order,
            expectations: table.expectations,
        });
        tables.chain([RUNS])
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Relation> {
        Relation::all().find(|relation| relation.name == name)
    }

    /// The type of a column.
    pub fn column(&self, name: &str) -> Option<ColumnType> {
        let (_, column_type) = self.columns.iter().find(|(known, _)| *known == name)?;
        Some(*column_type)
    }

    /// Its columns in memory.
    pub fn schema(&self) -> SchemaRef {
        schema_of(self.columns)
    }
}
