//! Columns as they grow.

use std::mem::take;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, NullBufferBuilder, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};

use super::rescue::MAX_KEPT;
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
/// comes or the column is finished, so that a column which an event lacks costs that event nothing, and one that every
/// event has costs nothing for nulls.
#[derive(Debug)]
pub(super) struct Column {
    rows: usize,
    values: Values,
    /// Which of the rows before the last null are there.
    known: NullBufferBuilder,
}

#[derive(Debug)]
enum Values {
    String {
        text: Vec<u8>,
        /// Where each row's text ends, after the place where the first begins.
        ends: Vec<i32>,
    },
    Int64(Vec<i64>),
    Double(Vec<f64>),
    /// Packed into bits when the column is finished.
    Boolean(Vec<bool>),
}

impl Column {
    pub fn new(column_type: ColumnType) -> Self {
        let values = match column_type {
            ColumnType::String => Values::string(0, 0),
            ColumnType::Int64 => Values::Int64(Vec::new()),
            ColumnType::Double => Values::Double(Vec::new()),
            ColumnType::Boolean => Values::Boolean(Vec::new()),
        };
        Self {
            rows: 0,
            values,
            known: NullBufferBuilder::new(0),
        }
    }

    /// Sets the value of a row, which must lie beyond those set before. All texts of a column together must be less than
    /// 2 GiB.
    #[inline(always)]
    pub fn append(&mut self, row: usize, cell: Cell) {
        if self.rows < row {
            self.fill(row);
        }
        // Looked at first is the cell, whose kind the caller's code knows mostly.
        let suits = match cell {
            Cell::String(value) => self.values.push_string(value),
            Cell::Int64(value) => self.values.push_int64(value),
            Cell::Double(value) => self.values.push_double(value),
            Cell::Boolean(value) => self.values.push_boolean(value),
        };
        debug_assert!(suits.is_some(), "{cell:?} does not suit {:?}", self.values);
        self.rows = row + usize::from(suits.is_some());
    }

    /// The rows that are set, nulls before the last one included.
    #[inline(always)]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of a row, if the column has numbers and the row one.
    pub fn int64(&self, row: usize) -> Option<i64> {
        match &self.values {
            Values::Int64(values) => values.get(row).copied(),
            _ => None,
        }
    }

    /// Takes back the value of a row, which must be the last, if it has one.
    pub fn unset(&mut self, row: usize) {
        if self.rows <= row {
            return;
        }
        self.rows = row;
        match &mut self.values {
            Values::String { text, ends } => {
                ends.truncate(row + 1);
                let length = text.len();
                text.truncate(ends.last().map_or(0, |end| *end as usize));
                // What one large value needed is not kept.
                if length - text.len() > MAX_KEPT {
                    text.shrink_to_fit();
                }
            }
            Values::Int64(values) => values.truncate(row),
            Values::Double(values) => values.truncate(row),
            Values::Boolean(values) => values.truncate(row),
        }
    }

    /// Takes the first `rows` rows and starts anew, with room for a little more than as many again.
    pub fn finish(&mut self, rows: usize) -> ArrayRef {
        /// What one large batch needed is not kept.
        const MAX_ROWS: usize = 1 << 14;
        const MAX_TEXT: usize = 1 << 20;
        self.fill(rows);
        self.rows = 0;
        let nulls = self.nulls(rows);
        let rows = rows.min(MAX_ROWS);
        match &mut self.values {
            Values::String { text, ends } => {
                let room = (text.len() + text.len() / 8).min(MAX_TEXT);
                let (text, ends) = (take(text), take(ends));
                self.values = Values::string(rows, room);
                // SAFETY: the text was appended whole value by whole value, and each end lies behind one and the ends before.
                Arc::new(unsafe {
                    let ends = OffsetBuffer::new_unchecked(ends.into());
                    StringArray::new_unchecked(ends, Buffer::from_vec(text), nulls)
                })
            }
            Values::Int64(values) => {
                let values = std::mem::replace(values, Vec::with_capacity(rows));
                Arc::new(Int64Array::new(values.into(), nulls))
            }
            Values::Double(values) => {
                let values = std::mem::replace(values, Vec::with_capacity(rows));
                Arc::new(Float64Array::new(values.into(), nulls))
            }
            Values::Boolean(values) => {
                let values = std::mem::replace(values, Vec::with_capacity(rows));
                Arc::new(BooleanArray::new(values.into(), nulls))
            }
        }
    }

    /// Appends nulls up to `rows` rows.
    #[inline(never)]
    fn fill(&mut self, rows: usize) {
        let nulls = rows.saturating_sub(self.rows);
        if nulls == 0 {
            return;
        }
        self.known.append_n_non_nulls(self.rows - self.known.len());
        self.known.append_n_nulls(nulls);
        self.rows = rows;
        match &mut self.values {
            Values::String { text, ends } => ends.resize(rows + 1, end(text)),
            Values::Int64(values) => values.resize(rows, 0),
            Values::Double(values) => values.resize(rows, 0.0),
            Values::Boolean(values) => values.resize(rows, false),
        }
    }

    /// Which of the rows are null, where any is; forgotten with that.
    fn nulls(&mut self, rows: usize) -> Option<NullBuffer> {
        self.known.append_n_non_nulls(rows - self.known.len());
        self.known.finish()
    }
}

impl Values {
    #[inline(always)]
    fn push_string(&mut self, value: &str) -> Option<()> {
        let Values::String { text, ends } = self else {
            return None;
        };
        text.extend_from_slice(value.as_bytes());
        ends.push(end(text));
        Some(())
    }

    #[inline(always)]
    fn push_int64(&mut self, value: i64) -> Option<()> {
        let Values::Int64(values) = self else { return None };
        values.push(value);
        Some(())
    }

    #[inline(always)]
    fn push_double(&mut self, value: f64) -> Option<()> {
        let Values::Double(values) = self else { return None };
        values.push(value);
        Some(())
    }

    #[inline(always)]
    fn push_boolean(&mut self, value: bool) -> Option<()> {
        let Values::Boolean(values) = self else { return None };
        values.push(value);
        Some(())
    }

    fn string(rows: usize, text: usize) -> Values {
        let mut ends = Vec::with_capacity(rows + 1);
        ends.push(0);
        Values::String {
            text: Vec::with_capacity(text),
            ends,
        }
    }
}

/// Where the text ends so far.
#[inline(always)]
fn end(text: &[u8]) -> i32 {
    // invariant: the buffer refuses messages before its text could pass what a column holds.
    i32::try_from(text.len()).expect("less than 2 GiB of text")
}
