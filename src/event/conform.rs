//! Batches made under one schema, brought to another.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::datatypes::{Float64Type, Int64Type};

use super::columns::{Cell, Column};
use super::fit::refit;
use super::rescue::Rescue;
use super::schema::{ColumnType, EventSchema, RESCUED, is_fixed};
use super::text::quote;

/// Brings a batch that [`EventBuffer::take`](super::EventBuffer::take) made under one schema to the lake's present one, and
/// returns it with the schema that it then has.
///
/// - Columns that the lake has and the batch lacks are null.
/// - Columns that the batch has and the lake lacks are appended to the lake's; where the limit or another column's name in
///   other letter case forbids that, their values go to `_rescued`.
/// - Of a column whose type differs in the lake, the values that fit by the rules for messages move over; the others go to
///   `_rescued`.
///
/// The batch must be one that a buffer flushed as [`EventBuffer::push`](super::EventBuffer::push) asks: what is rescued has
/// to fit in one column of strings.
pub fn conform(batch: &RecordBatch, lake: &EventSchema) -> (RecordBatch, EventSchema) {
    let mut schema = lake.clone();
    let mut misfits = Vec::new();
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let name = field.name();
        let Some(from) = ColumnType::from_data_type(field.data_type()).filter(|_| !is_fixed(name)) else {
            continue;
        };
        let to = schema
            .column_type(name)
            .or_else(|| schema.add(name, from).map(|_| from));
        if to != Some(from) {
            misfits.push(Misfits::new(name, array, to));
        }
    }
    let rows = batch.num_rows();
    let arrow_schema = schema.arrow_schema();
    let columns = arrow_schema.fields().iter().map(|field| {
        let array = batch.column_by_name(field.name()).map(Arc::clone);
        let array = array.unwrap_or_else(|| new_null_array(field.data_type(), rows));
        match ColumnType::from_data_type(field.data_type()) {
            _ if field.name() == RESCUED && !misfits.is_empty() => rescue(&array, &misfits),
            Some(to) if array.data_type() != field.data_type() => convert(&array, to),
            _ => array,
        }
    });
    let batch =
        RecordBatch::try_new(Arc::clone(&arrow_schema), columns.collect()).expect("a batch of the lake's schema"); // invariant: each column was made for its field, with the batch's rows
    (batch, schema)
}

/// The values of a column that find no place in the lake's column of that name.
struct Misfits<'a> {
    /// The column's name as JSON text.
    key: String,
    array: &'a ArrayRef,
    /// The type of the lake's column, if it has one.
    to: Option<ColumnType>,
}

impl<'a> Misfits<'a> {
    fn new(name: &str, array: &'a ArrayRef, to: Option<ColumnType>) -> Self {
        let mut key = String::new();
        quote(name, &mut key);
        Self { key, array, to }
    }

    /// The value in this row, if there is one and it finds no place.
    fn get(&self, row: usize) -> Option<Cell<'a>> {
        cell(self.array, row).filter(|cell| self.to.and_then(|to| refit(*cell, to)).is_none())
    }
}

/// The values of a column that fit one of type `to`; the others are null.
fn convert(array: &ArrayRef, to: ColumnType) -> ArrayRef {
    let mut column = Column::new(to);
    for row in 0..array.len() {
        if let Some(cell) = cell(array, row).and_then(|cell| refit(cell, to)) {
            column.append(row, cell);
        }
    }
    column.finish(array.len())
}

/// The `_rescued` column with the misfits added.
fn rescue(rescued: &ArrayRef, misfits: &[Misfits]) -> ArrayRef {
    let (mut column, mut object, mut value) = (Column::new(ColumnType::String), Rescue::default(), String::new());
    for row in 0..rescued.len() {
        object.clear();
        if let Some(Cell::String(text)) = cell(rescued, row) {
            object.extend(text);
        }
        for misfits in misfits {
            if let Some(cell) = misfits.get(row) {
                value.clear();
                write(cell, &mut value);
                object.add(&misfits.key, &value);
            }
        }
        if let Some(text) = object.finish() {
            column.append(row, Cell::String(text));
        }
    }
    column.finish(rescued.len())
}

/// The value of a column in a row; None where it is null.
fn cell(array: &ArrayRef, row: usize) -> Option<Cell<'_>> {
    if array.is_null(row) {
        return None;
    }
    Some(match ColumnType::from_data_type(array.data_type())? {
        ColumnType::String => Cell::String(array.as_string::<i32>().value(row)),
        ColumnType::Int64 => Cell::Int64(array.as_primitive::<Int64Type>().value(row)),
        ColumnType::Double => Cell::Double(array.as_primitive::<Float64Type>().value(row)),
        ColumnType::Boolean => Cell::Boolean(array.as_boolean().value(row)),
    })
}

/// Appends a value as JSON text.
fn write(cell: Cell, out: &mut String) {
    match cell {
        Cell::String(text) => quote(text, out),
        Cell::Int64(integer) => out.push_str(&integer.to_string()),
        // The shortest text that reads back as the same float.
        Cell::Double(float) if float.is_finite() => out.push_str(&format!("{float:?}")),
        Cell::Double(float) => quote(&float.to_string(), out),
        Cell::Boolean(boolean) => out.push_str(if boolean { "true" } else { "false" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventBuffer;

    /// The columns beyond the core ones after some events, made without a lake, were brought to one.
    fn conformed(events: &[&str], lake: &EventSchema) -> Vec<(String, Vec<String>)> {
        let mut buffer = EventBuffer::new(EventSchema::new(200));
        for event in events {
            let message = format!(r#"{{"timestamp":1705334400,{event}}}"#);
            assert_eq!(buffer.push(message.as_bytes(), 0, 0, 1_705_334_400), Ok(()));
        }
        let (batch, schema) = conform(&buffer.take(), lake);
        assert_eq!(batch.schema(), schema.arrow_schema());
        let shown = |array: &ArrayRef, row| {
            let mut text = String::new();
            match cell(array, row) {
                Some(Cell::String(string)) => text.push_str(string),
                Some(cell) => write(cell, &mut text),
                None => text.push('-'),
            }
            text
        };
        let own = |name: &str| name == RESCUED || !name.starts_with('_') && schema.slot(name) >= Some(11);
        let fields = batch
            .schema_ref()
            .fields()
            .iter()
            .zip(batch.columns())
            .filter(|(field, _)| own(field.name()));
        let rows = 0..batch.num_rows();
        fields
            .map(|(field, array)| {
                (
                    field.name().clone(),
                    rows.clone().map(|row| shown(array, row)).collect(),
                )
            })
            .collect()
    }

    fn lake(extra: &[(&str, ColumnType)], max_columns: usize) -> EventSchema {
        EventSchema::from_lake(
            extra
                .iter()
                .map(|(name, column_type)| ((*name).to_owned(), *column_type)),
            max_columns,
        )
    }

    fn check(actual: Vec<(String, Vec<String>)>, expected: &[(&str, &[&str])]) {
        let actual: Vec<(&str, Vec<&str>)> = actual
            .iter()
            .map(|(name, rows)| (name.as_str(), rows.iter().map(String::as_str).collect()))
            .collect();
        let expected: Vec<(&str, Vec<&str>)> = expected.iter().map(|(name, rows)| (*name, rows.to_vec())).collect();
        assert_eq!(actual, expected);
    }

    #[test]
    fn columns_are_put_in_the_lakes_order_and_filled_up() {
        let lake = lake(&[("c", ColumnType::Double), ("b", ColumnType::String)], 200);
        check(
            conformed(&[r#""a":1,"b":"x""#, r#""a":2"#], &lake),
            &[
                (RESCUED, &["-", "-"]),
                ("c", &["-", "-"]),
                ("b", &["x", "-"]),
                ("a", &["1", "2"]),
            ],
        );
    }

    #[test]
    fn values_that_fit_another_type_move_and_others_are_rescued() {
        let lake = lake(
            &[
                ("i", ColumnType::Double),
                ("d", ColumnType::Int64),
                ("s", ColumnType::Boolean),
            ],
            200,
        );
        check(
            conformed(
                &[
                    r#""i":1,"d":2.0,"s":"\"\n","is_bot":[]"#,
                    r#""i":9007199254740993,"d":1e300"#,
                ],
                &lake,
            ),
            &[
                (
                    RESCUED,
                    &[r#"{"is_bot":[],"s":"\"\n"}"#, r#"{"i":9007199254740993,"d":1e300}"#],
                ),
                ("i", &["1.0", "-"]),
                ("d", &["2", "-"]),
                ("s", &["-", "-"]),
            ],
        );
    }

    #[test]
    fn columns_that_the_lake_cannot_take_are_rescued() {
        let mut lake = lake(&[("A", ColumnType::Int64)], 19);
        lake.block("Born");
        check(
            conformed(&[r#""a":1,"born":true,"x":null,"y":-0.5,"z":"s""#], &lake),
            &[
                (RESCUED, &[r#"{"a":1,"born":true,"z":"s"}"#]),
                ("A", &["-"]),
                ("y", &["-0.5"]),
            ],
        );
    }

    #[test]
    fn an_object_without_members_is_extended_too() {
        let mut object = Rescue::default();
        object.extend("{}");
        object.add(r#""a""#, "1");
        assert_eq!(object.finish(), Some(r#"{"a":1}"#));
    }
}
