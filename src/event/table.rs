//! The columns of a schema as they grow, each with the rule by which it takes values.

use arrow::array::ArrayRef;

use super::columns::{Cell, Column};
use super::fit::{Rule, fit};
use super::json::Value;
use super::rescue::MAX_KEPT;
use super::schema::{ColumnType, EventSchema};

/// Columns by their slots.
#[derive(Debug, Default)]
pub(super) struct Table {
    columns: Vec<(Rule, Column)>,
    text: usize,
    width: usize,
    room: String,
}

impl Table {
    pub fn new(schema: &EventSchema) -> Self {
        let mut table = Self::default();
        for (name, column_type) in schema.columns() {
            table.add(name, column_type);
        }
        table
    }

    /// Adds the column of the next slot.
    pub fn add(&mut self, name: &str, column_type: ColumnType) {
        self.columns
            .push((Rule::of(name, column_type), Column::new(column_type)));
        self.width += column_type.width();
    }

    /// The bytes of all texts held.
    pub fn text(&self) -> usize {
        self.text
    }

    /// The bytes that a row takes apart from its texts.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Sets the value of a row, the last one, if it suits the column and the row has none there yet.
    #[inline(always)]
    pub fn set(&mut self, slot: usize, row: usize, value: Value) -> bool {
        let (rule, column) = &mut self.columns[slot];
        if column.rows() > row {
            return false;
        }
        let Some(cell) = fit(*rule, value, &mut self.room) else {
            return false;
        };
        if let Cell::String(text) = cell {
            self.text += text.len();
        }
        column.append(row, cell);
        true
    }

    /// Sets the number of a row, the last one, in a column of numbers.
    #[inline(always)]
    pub fn set_int64(&mut self, slot: usize, row: usize, value: i64) {
        self.columns[slot].1.append(row, Cell::Int64(value));
    }

    /// Whether a row, the last one, has its value.
    #[inline(always)]
    pub fn has(&self, slot: usize, row: usize) -> bool {
        self.columns[slot].1.rows() > row
    }

    /// The number that a row, the last one, has.
    #[inline(always)]
    pub fn int64(&self, slot: usize, row: usize) -> Option<i64> {
        self.columns[slot].1.int64(row)
    }

    /// Takes back all values of a row, the last one; `text` bytes of texts were held before it.
    #[cold]
    pub fn unset(&mut self, row: usize, text: usize) {
        self.text = text;
        self.columns.iter_mut().for_each(|(_, column)| column.unset(row));
    }

    /// Gives back what one large value needed.
    #[inline(always)]
    pub fn tidy(&mut self) {
        self.room.clear();
        self.room.shrink_to(MAX_KEPT);
    }

    /// Takes the first `rows` rows of all columns, and starts anew.
    pub fn finish(&mut self, rows: usize) -> Vec<ArrayRef> {
        self.text = 0;
        self.columns.iter_mut().map(|(_, column)| column.finish(rows)).collect()
    }
}
