//! Columns as they grow.

use std::mem::replace;
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
pub(super) struct Column {
    rows: usize,
    builder: Builder,
}

#[derive(Debug)]
enum Builder {
    String(StringBuilder),
    Int64(Int64Builder),
    Double(Float64Builder),
    Boolean(BooleanBuilder),
}

impl Column {
    pub fn new(column_type: ColumnType) -> Self {
        let builder = match column_type {
            ColumnType::String => Builder::String(StringBuilder::with_capacity(0, 0)),
            ColumnType::Int64 => Builder::Int64(Int64Builder::with_capacity(0)),
            ColumnType::Double => Builder::Double(Float64Builder::with_capacity(0)),
            ColumnType::Boolean => Builder::Boolean(BooleanBuilder::with_capacity(0)),
        };
        Self { rows: 0, builder }
    }

    /// Sets the value of a row, which must lie beyond those set before.
    #[inline(always)]
    pub fn append(&mut self, row: usize, cell: Cell) {
        if self.rows < row {
            self.fill(row);
        }
        self.rows = row + 1;
        match (&mut self.builder, cell) {
            (Builder::String(builder), Cell::String(text)) => builder.append_value(text),
            (Builder::Int64(builder), Cell::Int64(integer)) => builder.append_value(integer),
            (Builder::Double(builder), Cell::Double(float)) => builder.append_value(float),
            (Builder::Boolean(builder), Cell::Boolean(boolean)) => builder.append_value(boolean),
            (builder, cell) => {
                debug_assert!(false, "{cell:?} does not suit {builder:?}");
                self.rows = row;
            }
        }
    }

    /// Takes the first `rows` rows and starts anew, with room for a little more than as many again.
    pub fn finish(&mut self, rows: usize) -> ArrayRef {
        /// What one large batch needed is not kept.
        const MAX_ROWS: usize = 1 << 14;
        const MAX_TEXT: usize = 1 << 20;
        self.fill(rows);
        self.rows = 0;
        let rows = rows.min(MAX_ROWS);
        match &mut self.builder {
            Builder::String(builder) => {
                let text = builder.values_slice().len();
                let anew = StringBuilder::with_capacity(rows, (text + text / 8).min(MAX_TEXT));
                Arc::new(replace(builder, anew).finish())
            }
            Builder::Int64(builder) => Arc::new(replace(builder, Int64Builder::with_capacity(rows)).finish()),
            Builder::Double(builder) => Arc::new(replace(builder, Float64Builder::with_capacity(rows)).finish()),
            Builder::Boolean(builder) => Arc::new(replace(builder, BooleanBuilder::with_capacity(rows)).finish()),
        }
    }

    /// Appends nulls up to `rows` rows.
    #[inline(never)]
    fn fill(&mut self, rows: usize) {
        let nulls = rows.saturating_sub(self.rows);
        if nulls > 0 {
            self.rows = rows;
            match &mut self.builder {
                Builder::String(builder) => builder.append_nulls(nulls),
                Builder::Int64(builder) => builder.append_nulls(nulls),
                Builder::Double(builder) => builder.append_nulls(nulls),
                Builder::Boolean(builder) => builder.append_nulls(nulls),
            }
        }
    }
}
