//! Columns as they grow.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder};

use super::schema::ColumnType;

/// A value that suits its column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    String(&'a str),
    Int64(i64),
    Double(f64),
    Boolean(bool),
}

/// A column under construction. Rows that nothing was appended for are null; they are filled in when the next value
/// comes or the column is finished, so that a column which an event lacks costs that event nothing.
#[derive(Debug)]
pub(super) enum Column {
    String(StringBuilder),
    Int64(Int64Builder),
    Double(Float64Builder),
    Boolean(BooleanBuilder),
}

impl Column {
    pub fn new(column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::String => Column::String(StringBuilder::with_capacity(0, 0)),
            ColumnType::Int64 => Column::Int64(Int64Builder::with_capacity(0)),
            ColumnType::Double => Column::Double(Float64Builder::with_capacity(0)),
            ColumnType::Boolean => Column::Boolean(BooleanBuilder::with_capacity(0)),
        }
    }

    /// Sets the value of a row, which must lie beyond those set before.
    #[inline]
    pub fn append(&mut self, row: usize, cell: Cell) {
        self.fill(row);
        match (self, cell) {
            (Column::String(builder), Cell::String(text)) => builder.append_value(text),
            (Column::Int64(builder), Cell::Int64(integer)) => builder.append_value(integer),
            (Column::Double(builder), Cell::Double(float)) => builder.append_value(float),
            (Column::Boolean(builder), Cell::Boolean(boolean)) => builder.append_value(boolean),
            (column, cell) => debug_assert!(false, "{cell:?} does not suit {column:?}"),
        }
    }

    /// Takes the first `rows` rows and starts anew.
    pub fn finish(&mut self, rows: usize) -> ArrayRef {
        self.fill(rows);
        match self {
            Column::String(builder) => Arc::new(builder.finish()),
            Column::Int64(builder) => Arc::new(builder.finish()),
            Column::Double(builder) => Arc::new(builder.finish()),
            Column::Boolean(builder) => Arc::new(builder.finish()),
        }
    }

    /// Appends nulls up to `rows` rows.
    #[inline]
    fn fill(&mut self, rows: usize) {
        use arrow::array::ArrayBuilder;
        let length = match self {
            Column::String(builder) => builder.len(),
            Column::Int64(builder) => builder.len(),
            Column::Double(builder) => builder.len(),
            Column::Boolean(builder) => builder.len(),
        };
        let nulls = rows.saturating_sub(length);
        if nulls > 0 {
            match self {
                Column::String(builder) => builder.append_nulls(nulls),
                Column::Int64(builder) => builder.append_nulls(nulls),
                Column::Double(builder) => builder.append_nulls(nulls),
                Column::Boolean(builder) => builder.append_nulls(nulls),
            }
        }
    }
}
