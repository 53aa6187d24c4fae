//! The columns of raw_events as the table holds them and as events are decoded into them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::ArchiveError;
use crate::event::{ColumnType, EventSchema};
use crate::lake::{Lake, LakeError, RAW_EVENTS};

/// The columns that stand in the files' folders.
pub const PARTITION_COLUMNS: [&str; 2] = ["year", "month"];

/// The columns of a new table: an event's, and those of its folder.
pub fn new_table(events: &EventSchema) -> SchemaRef {
    let folder = PARTITION_COLUMNS.map(|name| Arc::new(Field::new(name, DataType::Int32, true)));
    let events = events.arrow_schema();
    Arc::new(Schema::new(
        events.fields().iter().cloned().chain(folder).collect::<Vec<_>>(),
    ))
}

/// The table's columns in their present order, those that only the events have last.
pub fn extended(table: &SchemaRef, events: &EventSchema) -> SchemaRef {
    let events = events.arrow_schema();
    let added = events
        .fields()
        .iter()
        .filter(|field| table.field_with_name(field.name()).is_err());
    Arc::new(Schema::new(
        table.fields().iter().chain(added).cloned().collect::<Vec<_>>(),
    ))
}

/// The columns that events are decoded into, for a table that is there.
///
/// # Errors
/// [`LakeError::Table`] where a column has a type that no event's value takes.
pub fn of_table(lake: &Lake, table: &SchemaRef, max_columns: usize) -> Result<EventSchema, ArchiveError> {
    let core = EventSchema::new(max_columns).arrow_schema();
    let refuse = |field: &Field| LakeError::Table {
        place: lake.shown(RAW_EVENTS),
        reason: format!(
            "its column {} is of type {}, which events cannot be written to; give it another type, or start a new lake",
            field.name(),
            field.data_type()
        ),
    };
    let mut extra = Vec::new();
    for field in table.fields() {
        if PARTITION_COLUMNS.contains(&field.name().as_str()) {
            continue;
        }
        match core.field_with_name(field.name()) {
            Ok(known) if known.data_type() == field.data_type() => {}
            Ok(_) => return Err(refuse(field).into()),
            Err(_) => {
                let column_type = ColumnType::from_data_type(field.data_type()).ok_or_else(|| refuse(field))?;
                extra.push((field.name().clone(), column_type));
            }
        }
    }
    Ok(EventSchema::from_lake(extra, max_columns))
}
