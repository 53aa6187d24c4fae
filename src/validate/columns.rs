//! Names and types of the lake's columns.

use arrow::datatypes::{DataType, Schema};
use serde_json::Value;

use crate::archive::columns::new_table;
use crate::archive::quarantine;
use crate::event::{ColumnType, EventSchema, TIMESTAMP};
use crate::history::expectations::{CheckResult, Failure, Row, SHOWN_ROWS};
use crate::lake::{QUARANTINE, RAW_EVENTS, TableSnapshot};

const HELP: &str = "find out who changed the table's columns (DESCRIBE HISTORY, or DeltaTable(…).history(), names each commit's writer), and give them back";

/// The columns that every raw_events has, and the types of those that events brought along.
pub(super) fn of_events(events: &TableSnapshot) -> Vec<CheckResult> {
    let expected = new_table(&EventSchema::new(0));
    let is_plain = events.version.is_none();
    let mut results = compare(RAW_EVENTS, &expected, &events.schema, is_plain);
    let added = events
        .schema
        .fields()
        .iter()
        .filter(|field| expected.field_with_name(field.name()).is_err());
    let strange: Vec<(&str, &DataType)> = added
        .filter(|field| !is_plain && ColumnType::from_data_type(field.data_type()).is_none())
        .map(|field| (field.name().as_str(), field.data_type()))
        .collect();
    let name = "columns(added)";
    results.push(match strange.is_empty() {
        true => CheckResult::met(RAW_EVENTS, name),
        false => CheckResult::not_met(
            RAW_EVENTS,
            name,
            Failure {
                reason: "columns that events brought along are of types that events cannot be written to".to_owned(),
                because: Some("such a column is a string, int64, double or boolean".to_owned()),
                offending: strange.len() as u64,
                rows: strange
                    .iter()
                    .take(SHOWN_ROWS)
                    .map(|(column, found)| described(column, Some(found)))
                    .collect(),
                help: HELP.to_owned(),
            },
        ),
    });
    results
}

/// The columns of the quarantine.
pub(super) fn of_quarantine(snapshot: &TableSnapshot) -> Vec<CheckResult> {
    compare(
        QUARANTINE,
        &quarantine::schema(),
        &snapshot.schema,
        snapshot.version.is_none(),
    )
}

fn compare(table: &str, expected: &Schema, found: &Schema, is_plain: bool) -> Vec<CheckResult> {
    let results = expected.fields().iter().map(|wanted| {
        let name = format!("column({})", wanted.name());
        let there = found.field_with_name(wanted.name()).ok();
        let wanted_type = wanted.data_type();
        match there.map(|there| there.data_type()) {
            Some(there) if there == wanted_type || (is_plain && reads_as(there, wanted_type)) => {
                CheckResult::met(table, name)
            }
            None if is_plain && wanted.name() != TIMESTAMP => CheckResult::not_checked(
                table,
                name,
                "a plain Parquet lake has the columns that its writer gave it; this one reads as null",
            ),
            there => {
                let reason = match there {
                    None => format!("there is no column {}", wanted.name()),
                    Some(there) => format!("{} is of type {}", wanted.name(), shown(there)),
                };
                let failure = Failure {
                    reason,
                    because: Some(format!("it is to be of type {}", shown(wanted_type))),
                    offending: 1,
                    rows: vec![described(wanted.name(), there)],
                    help: HELP.to_owned(),
                };
                CheckResult::not_met(table, name, failure)
            }
        }
    });
    results.collect()
}

/// Whether a plain file's column is read as a column of the expected type.
fn reads_as(found: &DataType, expected: &DataType) -> bool {
    match expected {
        _ if *found == DataType::Null => true,
        DataType::Int32 | DataType::Int64 => found.is_integer(),
        DataType::Utf8 => matches!(found, DataType::LargeUtf8 | DataType::Utf8View),
        _ => false,
    }
}

fn described(column: &str, found: Option<&DataType>) -> Row {
    let found = found.map_or(Value::Null, |found| shown(found).into());
    Row::of([("column", column.into()), ("type", found)])
}

/// A type in the words of the event's definition.
fn shown(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, SchemaRef, TimeUnit};

    use super::*;

    fn snapshot(schema: SchemaRef, version: Option<u64>) -> TableSnapshot {
        TableSnapshot {
            version,
            id: String::new(),
            schema,
            partition_columns: vec!["year".to_owned(), "month".to_owned()],
            files: Vec::new(),
        }
    }

    /// The table's columns with one of them changed, taken away or added.
    fn changed(name: &str, data_type: Option<DataType>) -> SchemaRef {
        let all = new_table(&EventSchema::new(0));
        let mut fields: Vec<Field> = all.fields().iter().map(|field| field.as_ref().clone()).collect();
        fields.retain(|field| field.name() != name);
        fields.extend(data_type.map(|data_type| Field::new(name, data_type, true)));
        Arc::new(Schema::new(fields))
    }

    fn failures(results: &[CheckResult]) -> Vec<String> {
        results
            .iter()
            .filter(|result| result.failure().is_some())
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_table_as_archived_has_all_columns() {
        let whole = snapshot(new_table(&EventSchema::new(0)), Some(0));
        let results = of_events(&whole);
        assert_eq!(failures(&results), Vec::<String>::new());
        assert_eq!(results.len(), 17);
        let added = snapshot(changed("id", Some(DataType::Int64)), Some(0));
        assert_eq!(failures(&of_events(&added)), Vec::<String>::new());
        let aside = snapshot(quarantine::schema(), Some(0));
        assert_eq!(failures(&of_quarantine(&aside)), Vec::<String>::new());
    }

    #[test]
    fn a_column_that_is_missing_or_of_another_type_is_named() {
        let cases = [
            (
                changed("user", None),
                "raw_events: column(user): there is no column user: column=\"user\" type=null",
            ),
            (
                changed("timestamp", Some(DataType::Utf8)),
                "raw_events: column(timestamp): timestamp is of type string: column=\"timestamp\" type=\"string\"",
            ),
            (
                changed("_offset", Some(DataType::Int32)),
                "raw_events: column(_offset): _offset is of type int32: column=\"_offset\" type=\"int32\"",
            ),
            (
                changed("born", Some(DataType::Timestamp(TimeUnit::Microsecond, None))),
                "raw_events: columns(added): columns that events brought along are of types that events cannot be written to: column=\"born\" type=\"timestamp\"",
            ),
        ];
        for (schema, expected) in cases {
            assert_eq!(failures(&of_events(&snapshot(schema, Some(0)))), [expected]);
        }
    }

    #[test]
    fn a_plain_lake_may_lack_what_reads_as_null() {
        let lacking = of_events(&snapshot(changed("_partition", None), None));
        assert_eq!(failures(&lacking), Vec::<String>::new());
        let older = of_events(&snapshot(changed("bytes_changed", Some(DataType::Int32)), None));
        assert_eq!(failures(&older), Vec::<String>::new());
        assert_eq!(
            failures(&of_events(&snapshot(changed("timestamp", None), None))).len(),
            1
        );
        let other = of_events(&snapshot(changed("is_bot", Some(DataType::Int64)), None));
        assert_eq!(failures(&other).len(), 1);
    }
}
