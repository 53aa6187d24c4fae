//! Rows as they are decoded.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};

use super::Reason;
use super::assume::Assumptions;
use super::columns::{Cell, Column};
use super::fields::Fields;
use super::fit::{Rule, column_type, fit};
use super::json::Kind;
use super::rescue::Rescue;
use super::schema::{CORE, ColumnType, EventSchema};
use super::table::Table;
use super::text::unescape;
use super::walk::{Field, Walk};

/// The oldest timestamp that an event can have, epoch seconds: 2001-01-15, the day when Wikipedia began.
pub const OLDEST: i64 = 979_516_800;
/// Seconds that an event's timestamp may be ahead of the clock: how far clocks may differ.
pub const DAY: i64 = 86_400;
/// The text that a column of strings can hold.
const MAX_TEXT: usize = i32::MAX as usize;
/// The bytes that `_rescued`, `_partition` and `_offset` take in a row, apart from text.
const OWN_WIDTH: usize = 5 + 4 + 8;
/// The slot of `timestamp`.
const TIMESTAMP: usize = 0;

/// Rows decoded and not yet flushed.
#[derive(Debug)]
pub struct EventBuffer {
    schema: EventSchema,
    table: Table,
    rescued: Column,
    /// The bytes of all that is rescued.
    rescued_text: usize,
    partitions: Vec<i32>,
    offsets: Vec<i64>,
    walk: Walk,
    fields: Fields,
    rescue: Rescue,
    /// Whether each value of the last message read with care had a column, so that the next is likely to be read straight.
    straight: bool,
}

impl EventBuffer {
    /// An empty buffer for rows of this schema.
    pub fn new(schema: EventSchema) -> Self {
        Self {
            table: Table::new(&schema),
            rescued: Column::new(ColumnType::String),
            rescued_text: 0,
            partitions: Vec::new(),
            offsets: Vec::new(),
            walk: Walk::new(&schema),
            fields: Fields::default(),
            rescue: Rescue::default(),
            straight: true,
            schema,
        }
    }

    /// Appends one row, or appends nothing and says why the message belongs in quarantine. `now` is in epoch seconds.
    ///
    /// Flush well before [`bytes`](Self::bytes) nears 2 GiB, where a column of strings ends: a message that could pass that
    /// limit is refused as [`Reason::TooLarge`].
    pub fn push(&mut self, message: &[u8], partition: i32, offset: i64, now: i64) -> Result<(), Reason> {
        self.push_assuming(message, partition, offset, now, Assumptions::default())
    }

    /// As [`push`](Self::push), where something may be assumed of a timestamp that is none by the rules.
    pub fn push_assuming(
        &mut self,
        message: &[u8],
        partition: i32,
        offset: i64,
        now: i64,
        assumptions: Assumptions,
    ) -> Result<(), Reason> {
        // No column takes more text from a message than the message has.
        if self.text().saturating_add(message.len()) > MAX_TEXT {
            return Err(Reason::TooLarge);
        }
        let text = simdutf8::basic::from_utf8(message).map_err(|_| Reason::NotJson)?;
        self.table.tidy();
        if !(self.straight && self.read_straight(text, now)?) {
            self.read_with_care(text, now, assumptions)?;
        }
        self.partitions.push(partition);
        self.offsets.push(offset);
        Ok(())
    }

    /// The number of rows held.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether no rows are held.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// About how many bytes of memory the rows take.
    pub fn bytes(&self) -> usize {
        self.text() + self.len() * (OWN_WIDTH + self.table.width())
    }

    /// The columns known, those discovered since included.
    pub fn schema(&self) -> &EventSchema {
        &self.schema
    }

    /// Takes the rows as one batch of `schema().arrow_schema()`. The buffer is empty then and goes on with the same schema.
    pub fn take(&mut self) -> RecordBatch {
        let rows = self.len();
        self.rescued_text = 0;
        let mut columns = self.table.finish(rows);
        let own: [ArrayRef; 3] = [
            self.rescued.finish(rows),
            Arc::new(Int32Array::from(std::mem::take(&mut self.partitions))),
            Arc::new(Int64Array::from(std::mem::take(&mut self.offsets))),
        ];
        columns.splice(CORE.len()..CORE.len(), own);
        let batch = RecordBatch::try_new(self.schema.arrow_schema(), columns);
        batch.expect("a batch of its schema") // invariant: every column has its slot's type and was finished at `rows`
    }

    /// Goes on with another schema: the lake's moved on because another writer added columns.
    ///
    /// Only for an empty buffer. One that holds rows keeps its schema, and [`conform`](super::conform()) brings its batch to
    /// the lake's.
    pub fn adopt(&mut self, schema: EventSchema) {
        debug_assert!(self.is_empty(), "a buffer that holds rows cannot change its schema");
        // Its columns keep the room that the rows before needed.
        if self.is_empty() && self.schema != schema {
            *self = Self::new(schema);
        }
    }

    /// The bytes of all texts held.
    fn text(&self) -> usize {
        self.table.text() + self.rescued_text
    }

    /// Sets the values of the next row while they are found, as can be done where each has a column that it suits, no name
    /// comes twice and the time lies within the bounds: in nearly every message. False where that does not hold, or it is
    /// not known yet; nothing is set then.
    #[inline(always)]
    fn read_straight(&mut self, text: &str, now: i64) -> Result<bool, Reason> {
        let (row, before) = (self.len(), self.table.text());
        let Self {
            schema, table, walk, ..
        } = self;
        let walked = walk.fields(text, schema, |field| match field.slot() {
            Some(slot) if field.is_null() => !table.has(slot, row),
            Some(slot) => table.set(slot, row, field.value(text)),
            None => field.is_null(),
        });
        let time = self.table.int64(TIMESTAMP, row);
        if walked == Ok(true) && time.is_some_and(|time| within_bounds(time, now).is_ok()) {
            return Ok(true);
        }
        self.table.unset(row, before);
        walked.map(|_| false)
    }

    /// Finds all fields of a message before it sets the values of the next row.
    #[inline(never)]
    fn read_with_care(&mut self, text: &str, now: i64, assumptions: Assumptions) -> Result<(), Reason> {
        self.fields.scan(text, &self.schema, &mut self.walk)?;
        let timestamp = self
            .timestamp(text, now)
            .or_else(|reason| self.assumed(text, now, assumptions).ok_or(reason))?;

        // The message is a row: nothing fails from here on.
        let row = self.len();
        self.table.set_int64(TIMESTAMP, row, timestamp);
        self.rescue.clear();
        let found = self.fields.lend();
        for field in &found {
            self.append(field, text, row);
        }
        self.fields.give_back(found);
        let rescued = self.rescue.finish();
        self.straight = rescued.is_none();
        if let Some(rescued) = rescued {
            self.rescued_text += rescued.len();
            self.rescued.append(row, Cell::String(rescued));
        }
        Ok(())
    }

    /// The message's time in epoch seconds, if it lies within the bounds.
    fn timestamp(&self, text: &str, now: i64) -> Result<i64, Reason> {
        let value = self
            .fields
            .get(TIMESTAMP, text)
            .filter(|value| value.kind != Kind::Null);
        let value = value.ok_or(Reason::TimestampMissing)?;
        match fit(Rule::Timestamp, value, &mut String::new()) {
            Some(Cell::Int64(time)) => within_bounds(time, now),
            _ => Err(Reason::TimestampInvalid),
        }
    }

    /// The message's time under assumptions, if it lies within the bounds.
    #[cold]
    fn assumed(&self, text: &str, now: i64, assumptions: Assumptions) -> Option<i64> {
        let value = self
            .fields
            .get(TIMESTAMP, text)
            .filter(|value| value.kind != Kind::Null);
        within_bounds(assumptions.timestamp(value)?, now).ok()
    }

    /// Sets a field's value in its column, in a new column, or in what is rescued.
    fn append(&mut self, field: &Field, text: &str, row: usize) {
        if field.is_null() || field.slot() == Some(TIMESTAMP) {
            return;
        }
        let value = field.value(text);
        let slot = field.slot().or_else(|| self.discover(field, text));
        if !slot.is_some_and(|slot| self.table.set(slot, row, value)) {
            self.rescue.add(field.key(text), value.text);
        }
    }

    /// Makes a column for a field that has none, and returns its slot, if the table can hold it.
    #[cold]
    fn discover(&mut self, field: &Field, text: &str) -> Option<usize> {
        let mut name = String::new();
        if !unescape(field.name(text), &mut name) || !self.schema.can_add(&name) {
            return None;
        }
        let column_type = column_type(field.value(text), &mut String::new())?;
        let slot = self.schema.add(&name, column_type)?;
        self.table.add(&name, column_type);
        self.walk.learn(&name);
        Some(slot)
    }
}

/// A time in epoch seconds, if an event can have it.
fn within_bounds(time: i64, now: i64) -> Result<i64, Reason> {
    match time {
        _ if time < OLDEST => Err(Reason::TimestampTooOld),
        _ if time > now.saturating_add(DAY) => Err(Reason::TimestampInFuture),
        _ => Ok(time),
    }
}
