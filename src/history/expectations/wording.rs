//! Expectations, and what is wrong where they are not met, in words.

use super::definition::Expectation;
use super::kind::{Bound, Comparison, Kind};

impl Expectation {
    /// What is expected, in short, such as `unique(hour_bucket)`.
    pub fn name(&self) -> String {
        match &self.kind {
            Kind::Unique(columns) => format!("unique({})", columns.join(", ")),
            Kind::NotNull(column) => format!("not_null({column})"),
            Kind::Range { column, .. } => format!("range({column})"),
            Kind::Always(that) => format!("always({that})"),
            Kind::Sum { column, other, .. } => format!("sum({column}, {})", other.name),
            Kind::Agrees { with, .. } => format!("agrees({})", with.name),
            Kind::Dense { column, .. } => format!("dense({column})"),
            Kind::Rows { .. } => "rows".to_owned(),
            Kind::RowsRecorded => "rows(recorded)".to_owned(),
            Kind::Query { name, .. } => format!("query({name})"),
            Kind::Fresh { column, .. } => format!("fresh({column})"),
        }
    }

    /// What is wrong where so many rows or keys do not meet it.
    pub(super) fn reason(&self, offending: u64) -> String {
        let rows = |what: &str| match offending {
            1 => format!("1 row {what}"),
            _ => format!("{offending} rows {what}"),
        };
        match &self.kind {
            Kind::Unique(columns) => {
                let columns = columns.join(", ");
                match offending {
                    1 => format!("more than one row has the same {columns}"),
                    _ => format!("{offending} times more than one row has the same {columns}"),
                }
            }
            Kind::NotNull(column) => rows(&format!("without {column}")),
            Kind::Range {
                column,
                at_least,
                at_most,
            } => {
                let between = between(*at_least, *at_most, Bound::sql);
                rows(&format!("whose {column} is not {between}"))
            }
            Kind::Always(_) => rows("of which that is not true"),
            Kind::Sum {
                column,
                comparison,
                other,
                other_column,
            } => {
                let what = match comparison {
                    Comparison::Equals => "is not",
                    Comparison::AtMost => "is more than",
                };
                format!("the sum of {column} {what} that of {}.{other_column}", other.name)
            }
            Kind::Agrees { with, .. } => rows(&format!("that {} does not have, or has otherwise", with.name)),
            Kind::Dense { column, order } => {
                rows(&format!("whose {column} is not its place, counted from 1, by {order}"))
            }
            Kind::Rows { at_least, at_most } => {
                let between = between(*at_least, *at_most, |bound| bound.to_string());
                format!("the number of rows is not {between}")
            }
            Kind::RowsRecorded => "there are not as many rows as were published".to_owned(),
            Kind::Query { .. } => rows("against that"),
            Kind::Fresh { column, within_hours } => {
                let hours = within_hours.unwrap_or_default();
                format!("the newest {column} lies further back than {hours} h, or there is none")
            }
        }
    }
}

/// Bounds in words, such as "at least 0 and at most 1".
fn between<T>(at_least: Option<T>, at_most: Option<T>, shown: fn(T) -> String) -> String {
    let bounds = [("at least", at_least), ("at most", at_most)];
    let bounds = bounds
        .into_iter()
        .filter_map(|(what, bound)| Some(format!("{what} {}", shown(bound?))));
    bounds.collect::<Vec<_>>().join(" and ")
}
