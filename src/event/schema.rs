//! The columns of `raw_events`, and which new ones the table can take.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

/// The type of a column that events can bring along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// UTF-8 text; also objects and lists, as their JSON text.
    String,
    /// A 64-bit signed integer.
    Int64,
    /// A finite 64-bit float.
    Double,
    /// true or false.
    Boolean,
}

impl ColumnType {
    /// The type in Arrow.
    pub fn data_type(self) -> DataType {
        match self {
            ColumnType::String => DataType::Utf8,
            ColumnType::Int64 => DataType::Int64,
            ColumnType::Double => DataType::Float64,
            ColumnType::Boolean => DataType::Boolean,
        }
    }

    /// The type that [`data_type`](Self::data_type) makes `data_type`, if one does.
    pub fn from_data_type(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Utf8 => Some(ColumnType::String),
            DataType::Int64 => Some(ColumnType::Int64),
            DataType::Float64 => Some(ColumnType::Double),
            DataType::Boolean => Some(ColumnType::Boolean),
            _ => None,
        }
    }
}

impl ColumnType {
    /// About how many bytes a row takes in a column of this type, apart from text.
    pub(super) fn width(self) -> usize {
        match self {
            ColumnType::String => 5,
            ColumnType::Int64 | ColumnType::Double => 9,
            ColumnType::Boolean => 1,
        }
    }
}

/// The fields that every event is expected to have, in table order.
pub(super) const CORE: [(&str, ColumnType); 11] = [
    (TIMESTAMP, ColumnType::Int64),
    ("user", ColumnType::String),
    ("title", ColumnType::String),
    ("server_name", ColumnType::String),
    ("type", ColumnType::String),
    ("bytes_changed", ColumnType::Int64),
    ("is_bot", ColumnType::Boolean),
    ("is_new_page", ColumnType::Boolean),
    ("language", ColumnType::String),
    ("project", ColumnType::String),
    ("log_params", ColumnType::String),
];

pub(super) const RESCUED: &str = "_rescued";
/// The column that holds the Kafka partition of an event.
pub const PARTITION: &str = "_partition";
/// The column that holds the Kafka offset of an event.
pub const OFFSET: &str = "_offset";
/// The column that holds an event's own time, epoch seconds.
pub const TIMESTAMP: &str = "timestamp";

/// Columns of the table that no field of an event is written to.
const RESERVED: [&str; 5] = [RESCUED, PARTITION, OFFSET, "year", "month"];

/// The longest column name, in bytes.
const MAX_NAME: usize = 255;

/// The columns of the lake's `raw_events` as far as they are known, in table order: the core columns, then those that
/// events brought along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSchema {
    extra: Vec<(String, ColumnType)>,
    /// By name: the *slot* of a column, its place among the core columns followed by the extra ones.
    slots: HashMap<String, usize>,
    /// The names of all columns of the table in lower case: engines that ignore case must be able to tell them apart.
    taken: HashSet<String>,
    max_columns: usize,
}

impl EventSchema {
    /// The core columns only. `max_columns` limits all columns of the table, core and reserved ones included.
    pub fn new(max_columns: usize) -> Self {
        let core = CORE.iter().map(|(name, _)| *name);
        Self {
            extra: Vec::new(),
            slots: core
                .clone()
                .zip(0..)
                .map(|(name, slot)| (name.to_owned(), slot))
                .collect(),
            taken: core.chain(RESERVED).map(str::to_owned).collect(),
            max_columns,
        }
    }

    /// The columns of a table that exists. `extra` names those beyond the core ones, in table order; they are taken as
    /// they are, even past the limit. Core and reserved names among them are passed over.
    pub fn from_lake(extra: impl IntoIterator<Item = (String, ColumnType)>, max_columns: usize) -> Self {
        let mut schema = Self::new(max_columns);
        for (name, column_type) in extra {
            if !is_fixed(&name) && !schema.slots.contains_key(&name) {
                schema.push(&name, column_type);
            }
        }
        schema
    }

    /// Declares a column of the table that events cannot be written to, because its type is none of [`ColumnType`]'s: a
    /// field of that name is rescued.
    pub fn block(&mut self, name: &str) {
        self.taken.insert(name.to_lowercase());
    }

    /// The columns beyond the core ones, in table order.
    pub fn extra(&self) -> &[(String, ColumnType)] {
        &self.extra
    }

    /// The limit on all columns of the table.
    pub fn max_columns(&self) -> usize {
        self.max_columns
    }

    /// The columns as Arrow has them: core, `_rescued`, `_partition`, `_offset`, extra. `year` and `month`, by which the
    /// table is partitioned, are made elsewhere.
    pub fn arrow_schema(&self) -> SchemaRef {
        let core = CORE.iter().map(|(name, column_type)| (*name, column_type.data_type()));
        let own = [
            (RESCUED, DataType::Utf8),
            (PARTITION, DataType::Int32),
            (OFFSET, DataType::Int64),
        ];
        let extra = self
            .extra
            .iter()
            .map(|(name, column_type)| (name.as_str(), column_type.data_type()));
        let fields = core
            .chain(own)
            .chain(extra)
            .map(|(name, data_type)| Field::new(name, data_type, true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// These columns and those of `other`, or None where the two do not go together in one table: a name of two types,
    /// names that differ only in case, or too many columns.
    pub fn merged(&self, other: &EventSchema) -> Option<EventSchema> {
        let mut merged = self.clone();
        for (name, column_type) in &other.extra {
            match merged.column_type(name) {
                Some(known) if known == *column_type => {}
                Some(_) => return None,
                None => {
                    merged.add(name, *column_type)?;
                }
            }
        }
        Some(merged)
    }

    /// The slot of the column of this very name.
    pub(super) fn slot(&self, name: &str) -> Option<usize> {
        self.slots.get(name).copied()
    }

    /// The type of the column of this very name.
    pub(super) fn column_type(&self, name: &str) -> Option<ColumnType> {
        self.columns().nth(self.slot(name)?).map(|(_, column_type)| column_type)
    }

    /// Names and types in the order of their slots.
    pub(super) fn columns(&self) -> impl Iterator<Item = (&str, ColumnType)> {
        let extra = self
            .extra
            .iter()
            .map(|(name, column_type)| (name.as_str(), *column_type));
        CORE.into_iter().chain(extra)
    }

    /// Adds a column and returns its slot, or None where the table cannot hold it.
    pub(super) fn add(&mut self, name: &str, column_type: ColumnType) -> Option<usize> {
        self.can_add(name).then(|| self.push(name, column_type))
    }

    /// Whether the table can hold another column, of this name.
    pub(super) fn can_add(&self, name: &str) -> bool {
        let room = self.taken.len() < self.max_columns;
        room && is_column_name(name) && !self.taken.contains(&name.to_lowercase())
    }

    fn push(&mut self, name: &str, column_type: ColumnType) -> usize {
        let slot = CORE.len() + self.extra.len();
        self.extra.push((name.to_owned(), column_type));
        self.slots.insert(name.to_owned(), slot);
        self.taken.insert(name.to_lowercase());
        slot
    }
}

/// Whether every table has a column of this name, from the start.
pub(super) fn is_fixed(name: &str) -> bool {
    CORE.iter().any(|(core, _)| *core == name) || RESERVED.contains(&name)
}

/// Whether Delta and Parquet take `name` for a column.
fn is_column_name(name: &str) -> bool {
    let forbidden = |c: char| c.is_control() || " ,;{}()=".contains(c);
    !name.is_empty() && name.len() <= MAX_NAME && !name.contains(forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_core_own_and_extra_columns_in_this_order() {
        let schema = EventSchema::from_lake([("id".to_owned(), ColumnType::Int64)], 200);
        let arrow = schema.arrow_schema();
        let names: Vec<_> = arrow.fields().iter().map(|field| field.name().as_str()).collect();
        let expected = "timestamp user title server_name type bytes_changed is_bot is_new_page language project log_params \
                        _rescued _partition _offset id";
        assert_eq!(names, expected.split(' ').collect::<Vec<_>>());
        assert!(arrow.fields().iter().all(|field| field.is_nullable()));
    }

    #[test]
    fn names_that_the_table_cannot_hold_are_refused() {
        let mut schema = EventSchema::from_lake([("Straße".to_owned(), ColumnType::String)], 200);
        let long = "x".repeat(256);
        let names = [
            "",
            "a b",
            "a,b",
            "a;b",
            "a{b",
            "a}b",
            "a(b",
            "a)b",
            "a=b",
            "a\nb",
            "a\tb",
            "a\0b",
            "\u{7f}",
            "\u{85}",
            "_rescued",
            "_OFFSET",
            "_Partition",
            "YEAR",
            "month",
            "User",
            "straße",
            "STRAßE",
            &long,
        ];
        for name in names {
            assert_eq!(schema.add(name, ColumnType::String), None, "{name:?}");
        }
        for name in ["users", "a.b", "ü", "日本", "@type", "_", &long[1..]] {
            assert!(schema.add(name, ColumnType::String).is_some(), "{name:?}");
            assert_eq!(schema.add(name, ColumnType::String), None, "{name:?} a second time");
        }
    }

    #[test]
    fn the_limit_counts_every_column_of_the_table() {
        let mut schema = EventSchema::new(17);
        assert_eq!(schema.add("a", ColumnType::Double), Some(11));
        assert_eq!(schema.add("b", ColumnType::Double), None);
        assert_eq!(EventSchema::new(16).add("a", ColumnType::Double), None);
        assert_eq!(EventSchema::new(0).add("a", ColumnType::Double), None);
    }

    #[test]
    fn a_lake_is_taken_as_it_is() {
        let names = ["a", "b c", "user", "year", "_offset", "a"];
        let schema = EventSchema::from_lake(names.map(|name| (name.to_owned(), ColumnType::String)), 3);
        assert_eq!(
            schema.extra().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["a", "b c"]
        );
        assert_eq!(
            (schema.slot("b c"), schema.slot("user"), schema.slot("User")),
            (Some(12), Some(1), None)
        );
    }

    #[test]
    fn a_blocked_name_counts_and_cannot_be_added() {
        let mut schema = EventSchema::new(18);
        schema.block("Born");
        assert_eq!(
            (schema.slot("Born"), schema.add("born", ColumnType::String)),
            (None, None)
        );
        assert_eq!(schema.add("a", ColumnType::String), Some(11));
        assert_eq!(schema.add("b", ColumnType::String), None);
    }
}
