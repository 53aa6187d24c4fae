//! What came of checking an expectation.

use std::fmt;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Number, Value};

/// Rows that a result shows.
pub const SHOWN_ROWS: usize = 5;

/// An expectation, and whether it is met.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct CheckResult {
    /// The table.
    pub table: String,
    /// What is expected of it, such as `unique(hour_bucket)`.
    pub expectation: String,
    /// Whether it is met.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Whether an expectation is met.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Verdict {
    /// It is.
    Met,
    /// It is not.
    NotMet(Failure),
    /// It could not be checked, or has no meaning here.
    NotChecked {
        /// Why not.
        reason: String,
    },
}

/// What is wrong.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Failure {
    /// What is wrong, in words.
    pub reason: String,
    /// Why it should be otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// How many rows, keys, files or reasons are to blame.
    pub offending: u64,
    /// The first of them, at most [`SHOWN_ROWS`].
    pub rows: Vec<Row>,
    /// What to do.
    pub help: String,
}

/// A row, or what else is to blame: names and values in the order in which they are to be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Row(pub Vec<(String, Value)>);

/// The number of expectations in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// Met.
    pub met: usize,
    /// Not met.
    pub not_met: usize,
    /// Not checked.
    pub not_checked: usize,
}

impl CheckResult {
    /// An expectation that is met.
    pub fn met(table: &str, expectation: impl Into<String>) -> CheckResult {
        CheckResult::of(table, expectation, Verdict::Met)
    }

    /// An expectation that was not checked, and why.
    pub fn not_checked(table: &str, expectation: impl Into<String>, reason: impl Into<String>) -> CheckResult {
        let reason = reason.into();
        CheckResult::of(table, expectation, Verdict::NotChecked { reason })
    }

    /// An expectation that is not met.
    pub fn not_met(table: &str, expectation: impl Into<String>, failure: Failure) -> CheckResult {
        CheckResult::of(table, expectation, Verdict::NotMet(failure))
    }

    fn of(table: &str, expectation: impl Into<String>, verdict: Verdict) -> CheckResult {
        CheckResult {
            table: table.to_owned(),
            expectation: expectation.into(),
            verdict,
        }
    }

    /// What is wrong, where something is.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.verdict {
            Verdict::NotMet(failure) => Some(failure),
            _ => None,
        }
    }
}

impl Tally {
    /// Counts results.
    pub fn of(results: &[CheckResult]) -> Tally {
        let mut tally = Tally::default();
        for result in results {
            match result.verdict {
                Verdict::Met => tally.met += 1,
                Verdict::NotMet(_) => tally.not_met += 1,
                Verdict::NotChecked { .. } => tally.not_checked += 1,
            }
        }
        tally
    }
}

/// In one line: the table, the expectation, what is wrong and with which row.
impl fmt::Display for CheckResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.table, self.expectation)?;
        match &self.verdict {
            Verdict::Met => Ok(()),
            Verdict::NotChecked { reason } => write!(f, ": {reason}"),
            Verdict::NotMet(failure) => {
                write!(f, ": {}", failure.reason)?;
                match failure.rows.first() {
                    Some(row) => write!(f, ": {row}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Row {
    /// These names and values.
    pub fn of<const N: usize>(cells: [(&str, Value); N]) -> Row {
        Row(cells
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect())
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// As a person reads it: each name with its value, in a form that does a terminal no harm.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let before = if index == 0 { "" } else { " " };
            write!(f, "{before}{}=", name.escape_debug())?;
            match value {
                Value::String(text) => write!(f, "{text:?}")?,
                other => write!(f, "{other}")?,
            }
        }
        Ok(())
    }
}

/// The rows of batches, without one of their columns.
pub(super) fn rows_without(left_out: &str, batches: &[RecordBatch]) -> Result<Vec<Row>, ArrowError> {
    let options = FormatOptions::default();
    let mut rows = Vec::new();
    for batch in batches {
        let schema = batch.schema();
        let columns = schema
            .fields()
            .iter()
            .zip(batch.columns())
            .filter(|(field, _)| field.name() != left_out)
            .map(|(field, column)| Ok((field.name(), column, ArrayFormatter::try_new(column, &options)?)))
            .collect::<Result<Vec<_>, ArrowError>>()?;
        rows.extend((0..batch.num_rows()).map(|row| {
            let cells = columns
                .iter()
                .map(|(name, column, formatter)| ((*name).clone(), cell(column, formatter, row)));
            Row(cells.collect())
        }));
    }
    Ok(rows)
}

/// A value as JSON has it: what is no number there, such as NaN, as text.
fn cell(column: &ArrayRef, formatter: &ArrayFormatter<'_>, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    let Ok(text) = formatter.value(row).try_to_string() else {
        // A time that no calendar has.
        return "out of range".into();
    };
    let number = || {
        let integer = text.parse::<i64>().ok().map(Number::from);
        integer.or_else(|| Number::from_f64(text.parse().ok()?))
    };
    match column.data_type() {
        DataType::Boolean => Value::Bool(text == "true"),
        data_type if data_type.is_numeric() => number().map_or_else(|| text.clone().into(), Value::Number),
        _ => text.into(),
    }
}
