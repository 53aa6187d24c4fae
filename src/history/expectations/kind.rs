//! The kinds of expectations, and what an entry of a file may say of each.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::relation::Relation;
use crate::history::tables::ColumnType;

/// The names of the kinds, as files have them.
pub(super) const KINDS: [&str; 10] = [
    "unique", "not_null", "range", "always", "sum", "agrees", "dense", "rows", "query", "fresh",
];

/// The kinds of expectations.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// No two rows have the same values in these columns; nulls are equal to each other.
    Unique(Vec<String>),
    /// The column has a value in each row.
    NotNull(String),
    /// The column's values lie between these, both included; null is no value.
    Range {
        column: String,
        at_least: Option<Bound>,
        at_most: Option<Bound>,
    },
    /// The condition is not false for any row.
    Always(String),
    /// The sum of the column compares with that of a column of another table.
    Sum {
        column: String,
        comparison: Comparison,
        other: Relation,
        other_column: String,
    },
    /// Another table has the same keys, and the same values for each.
    Agrees {
        with: Relation,
        on: Vec<String>,
        columns: BTreeMap<String, String>,
    },
    /// The column counts the rows from 1, in this order.
    Dense { column: String, order: String },
    /// The number of rows.
    Rows {
        at_least: Option<u64>,
        at_most: Option<u64>,
    },
    /// There are as many rows as were published.
    RowsRecorded,
    /// The query finds no row.
    Query { name: String, sql: String },
    /// The newest value lies no further back than this; none where that is for a setting to say.
    Fresh { column: String, within_hours: Option<u32> },
}

/// A bound of a range.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Bound {
    Integer(i64),
    Float(f64),
}

/// How two sums compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equals,
    AtMost,
}

impl Bound {
    /// The number in SQL, which is how people read it too.
    pub(super) fn sql(self) -> String {
        match self {
            Bound::Integer(number) => number.to_string(),
            // With a point, so that it is no integer.
            Bound::Float(number) => format!("{number:?}"),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Columns {
    columns: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    columns: Vec<String>,
    at_least: Option<Bound>,
    at_most: Option<Bound>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Always {
    that: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sum {
    column: String,
    equals: Option<String>,
    at_most: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Agrees {
    with: String,
    on: Vec<String>,
    columns: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dense {
    column: String,
    order: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    at_least: Option<u64>,
    at_most: Option<u64>,
    #[serde(default)]
    recorded: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    name: String,
    sql: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fresh {
    column: String,
    within_hours: Option<u32>,
}

/// What an entry of this name expects of a table; in words why it cannot be meant.
pub(super) fn kinds(table: Relation, name: &str, entry: Value) -> Result<Vec<Kind>, String> {
    Ok(match name {
        "unique" => {
            let Columns { columns } = read(entry)?;
            known(table, &columns, |_| true)?;
            vec![Kind::Unique(columns)]
        }
        "not_null" => {
            let Columns { columns } = read(entry)?;
            known(table, &columns, |_| true)?;
            columns.into_iter().map(Kind::NotNull).collect()
        }
        "range" => range(table, read(entry)?)?,
        "always" => {
            let Always { that } = read(entry)?;
            vec![Kind::Always(that)]
        }
        "sum" => vec![sum(table, read(entry)?)?],
        "agrees" => vec![agrees(table, read(entry)?)?],
        "dense" => {
            let Dense { column, order } = read(entry)?;
            known(table, [&column], |column| column == ColumnType::BigInt)?;
            vec![Kind::Dense { column, order }]
        }
        "rows" => rows(&read(entry)?)?,
        "query" => {
            let Query { name, sql } = read(entry)?;
            vec![Kind::Query { name, sql }]
        }
        "fresh" => {
            let Fresh { column, within_hours } = read(entry)?;
            known(table, [&column], |column| column == ColumnType::Timestamp)?;
            vec![Kind::Fresh { column, within_hours }]
        }
        _ => return Err(format!("there is no such kind; the kinds are {}", KINDS.join(", "))),
    })
}

fn read<T: DeserializeOwned>(entry: Value) -> Result<T, String> {
    serde_json::from_value(entry).map_err(|error| error.to_string())
}

/// Whether the table has these columns, at least one, each of a type that suits.
fn known<'a>(
    table: Relation,
    columns: impl IntoIterator<Item = &'a String>,
    suits: fn(ColumnType) -> bool,
) -> Result<(), String> {
    let mut none = true;
    for column in columns {
        none = false;
        match table.column(column) {
            None => return Err(format!("{} has no column {column}", table.name)),
            Some(column_type) if !suits(column_type) => {
                return Err(format!(
                    "{}.{column} is of type {}, of which it has no meaning",
                    table.name,
                    column_type.postgres_name()
                ));
            }
            Some(_) => {}
        }
    }
    if none {
        return Err("it names no column".to_owned());
    }
    Ok(())
}

fn is_number(column_type: ColumnType) -> bool {
    matches!(column_type, ColumnType::BigInt | ColumnType::Double)
}

fn range(table: Relation, range: Range) -> Result<Vec<Kind>, String> {
    known(table, &range.columns, is_number)?;
    let Range { at_least, at_most, .. } = range;
    if at_least.is_none() && at_most.is_none() {
        return Err("it has neither at_least nor at_most".to_owned());
    }
    let of_column = |column| Kind::Range {
        column,
        at_least,
        at_most,
    };
    Ok(range.columns.into_iter().map(of_column).collect())
}

fn sum(table: Relation, sum: Sum) -> Result<Kind, String> {
    let is_integer = |column| column == ColumnType::BigInt;
    let (comparison, other) = match (sum.equals, sum.at_most) {
        (Some(other), None) => (Comparison::Equals, other),
        (None, Some(other)) => (Comparison::AtMost, other),
        _ => return Err("it is to have one of equals and at_most".to_owned()),
    };
    let (name, column) = other
        .split_once('.')
        .ok_or_else(|| format!("{other} is to be written as table.column"))?;
    let (other, other_column) = (relation(name)?, column.to_owned());
    known(table, [&sum.column], is_integer)?;
    known(other, [&other_column], is_integer)?;
    Ok(Kind::Sum {
        column: sum.column,
        comparison,
        other,
        other_column,
    })
}

fn agrees(table: Relation, agrees: Agrees) -> Result<Kind, String> {
    let with = relation(&agrees.with)?;
    for of in [table, with] {
        known(of, &agrees.on, |_| true)?;
    }
    known(table, agrees.columns.keys(), |_| true)?;
    known(with, agrees.columns.values(), |_| true)?;
    Ok(Kind::Agrees {
        with,
        on: agrees.on,
        columns: agrees.columns,
    })
}

fn rows(rows: &Rows) -> Result<Vec<Kind>, String> {
    let Rows {
        at_least,
        at_most,
        recorded,
    } = *rows;
    let limits = (at_least.is_some() || at_most.is_some()).then_some(Kind::Rows { at_least, at_most });
    let kinds: Vec<Kind> = limits
        .into_iter()
        .chain(recorded.then_some(Kind::RowsRecorded))
        .collect();
    if kinds.is_empty() {
        return Err("it has none of at_least, at_most and recorded = true".to_owned());
    }
    Ok(kinds)
}

fn relation(name: &str) -> Result<Relation, String> {
    Relation::named(name).ok_or_else(|| format!("there is no table {name}"))
}
