//! What holds for every message: any bytes make a row or a reason, and nothing of a row is lost.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;
use serde_json::value::RawValue;

use super::reference::{Datum, Reference, Row, compact, members};
use super::schema::{CORE, OFFSET, PARTITION, RESCUED};
use super::{ColumnType, EventBuffer, EventSchema, Reason, conform};

const NOW: i64 = 1_705_400_000;
const OWN: [&str; 3] = [RESCUED, PARTITION, OFFSET];

fn space() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", "", " ", "\n", "\r\n\t "])
}

/// Pieces of the text of a string between its quotes.
fn piece() -> impl Strategy<Value = String> {
    let escapes = [
        r#"\""#,
        r"\\",
        r"\/",
        r"\b",
        r"\f",
        r"\n",
        r"\r",
        r"\t",
        r"\u0000",
        r"\u001F",
        r"\u0022",
        r"\u005c",
        r"\u00e9",
        r"\u2028",
        r"\ud800",
        r"\udc00",
        r"\ud83d\ude00",
        r"\uffff",
        "true",
        "false",
        "5",
        "-12",
        "1705334400",
        " ",
        "é",
        "日本",
        "😀",
        "\u{7f}",
        "2024-01-15T16:00:00Z",
    ];
    prop_oneof![
        select(escapes.to_vec()).prop_map(str::to_owned),
        "[a-zA-Z0-9 ]{0,20}",
        any::<char>().prop_map(|c| if matches!(c, '\0'..' ' | '"' | '\\') {
            "ß".to_owned()
        } else {
            c.to_string()
        }),
    ]
}

fn string() -> impl Strategy<Value = String> {
    vec(piece(), 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn number() -> impl Strategy<Value = String> {
    let odd = [
        "0",
        "-0",
        "-0.0",
        "5.0",
        "1e3",
        "1.50e1",
        "1e308",
        "1e400",
        "-1e400",
        "1e-400",
        "9007199254740992",
        "9007199254740993",
        "9007199254740993.0",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "9223372036854775807.0",
        "922337203685477580.70e1",
        "1705334400",
        "1705334400.0",
        "0e99999999999999999999",
        "1e99999999999999999999",
        "1e-99999999999999999999",
    ];
    prop_oneof![
        select(odd.to_vec()).prop_map(str::to_owned),
        "-?(0|[1-9][0-9]{0,20})",
        "-?(0|[1-9][0-9]{0,12})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,2})?",
    ]
}

/// JSON values as text.
fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        select(vec!["null", "true", "false", r#""true""#, r#""false""#, r#""5""#]).prop_map(str::to_owned),
        number(),
        string(),
    ];
    scalar.prop_recursive(4, 24, 5, |inner| {
        let list = vec((space(), inner.clone(), space()), 0..5);
        let object = vec((space(), string(), space(), space(), inner, space()), 0..5);
        let join = |items: Vec<String>, open: &str, close: &str| format!("{open}{}{close}", items.join(","));
        prop_oneof![
            list.prop_map(move |items| join(items.iter().map(|(a, b, c)| format!("{a}{b}{c}")).collect(), "[", "]")),
            (space(), object).prop_map(move |(inside, items)| {
                let items: Vec<_> = items
                    .iter()
                    .map(|(a, b, c, d, e, f)| format!("{a}{b}{c}:{d}{e}{f}"))
                    .collect();
                if items.is_empty() {
                    format!("{{{inside}}}")
                } else {
                    join(items, "{", "}")
                }
            }),
        ]
    })
}

/// Keys as text: columns, names that can become columns, and names that cannot.
fn key() -> impl Strategy<Value = String> {
    let core = CORE.map(|(name, _)| format!("\"{name}\""));
    let odd = [
        r#""us\u0065r""#,
        r#""User""#,
        r#""_rescued""#,
        r#""Month""#,
        r#""a b""#,
        r#""a\u0020b""#,
        r#""""#,
        r#""\ud800""#,
        r#""a\n""#,
        r#""Ü""#,
        r#""ü""#,
        r#""\u00fc""#,
        r#""x""#,
        r#""X""#,
        r#""y""#,
        r#""z\/""#,
        r#""q\":5""#,
        r#""b\\t""#,
        r#""b\t""#,
    ];
    prop_oneof![
        3 => select(core.to_vec()),
        3 => select(odd.to_vec()).prop_map(str::to_owned),
        1 => string(),
    ]
}

/// Messages that are objects, most of them with a timestamp that will do.
fn message() -> impl Strategy<Value = String> {
    let timestamp = prop_oneof![8 => Just("1705334400".to_owned()), 1 => number(), 1 => value()];
    let members = vec((space(), key(), space(), space(), value(), space()), 0..10);
    (members, timestamp, any::<prop::sample::Index>(), space()).prop_map(|(members, timestamp, place, around)| {
        let mut members: Vec<_> = members
            .iter()
            .map(|(a, b, c, d, e, f)| format!("{a}{b}{c}:{d}{e}{f}"))
            .collect();
        members.insert(place.index(members.len() + 1), format!(r#""timestamp":{timestamp}"#));
        format!("{around}{{{}}}{around}", members.join(","))
    })
}

fn column_type() -> impl Strategy<Value = ColumnType> {
    select(vec![
        ColumnType::String,
        ColumnType::Int64,
        ColumnType::Double,
        ColumnType::Boolean,
    ])
}

/// Columns beyond the core ones; no two names that differ by case alone.
fn extra() -> impl Strategy<Value = Vec<(String, ColumnType)>> {
    let types = vec(prop::option::of(column_type()), 4);
    (types, select(vec!["ü", "Ü"])).prop_map(|(types, umlaut)| {
        let names = ["x", umlaut, "y", "z/"];
        names
            .into_iter()
            .zip(types)
            .filter_map(|(name, column_type)| Some((name.to_owned(), column_type?)))
            .collect()
    })
}

/// The row of a batch, as the reference has it.
fn row(batch: &RecordBatch, row: usize) -> Row {
    let fields = batch.schema_ref().fields().iter().zip(batch.columns());
    let events = fields.filter(|(field, _)| !OWN.contains(&field.name().as_str()));
    let data = events.filter_map(|(field, array)| Some((field.name().clone(), Datum::of(array, row)?)));
    let mut data: Vec<_> = data.collect();
    data.sort_by(|(a, _), (b, _)| a.cmp(b));
    Row {
        data,
        rescued: rescued(batch, row),
    }
}

fn rescued(batch: &RecordBatch, row: usize) -> Option<String> {
    let array = batch.column_by_name(RESCUED)?.as_string::<i32>();
    array.is_valid(row).then(|| array.value(row).to_owned())
}

/// Pushes and says what came of it, which is exactly one row or one reason.
fn push(buffer: &mut EventBuffer, message: &[u8], offset: i64) -> Result<(), Reason> {
    let (rows, bytes, columns) = (buffer.len(), buffer.bytes(), buffer.schema().extra().len());
    let outcome = buffer.push(message, 3, offset, NOW);
    match outcome {
        Ok(()) => assert_eq!(buffer.len(), rows + 1),
        Err(_) => assert_eq!(
            (buffer.len(), buffer.bytes(), buffer.schema().extra().len()),
            (rows, bytes, columns)
        ),
    }
    outcome
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_make_a_row_or_a_reason(messages in vec(vec(any::<u8>(), 0..200), 1..8)) {
        let mut buffer = EventBuffer::new(EventSchema::new(200));
        for message in &messages {
            let _ = push(&mut buffer, message, 0);
        }
        prop_assert_eq!(buffer.len(), buffer.take().num_rows());
    }

    #[test]
    fn rows_are_what_the_reference_says(
        messages in vec(message(), 1..8),
        extra in extra(),
        max_columns in 16_usize..26,
    ) {
        let mut reference = Reference::new(&extra, max_columns);
        let mut buffer = EventBuffer::new(EventSchema::from_lake(extra, max_columns));
        let mut rows = Vec::new();
        for (message, offset) in messages.iter().zip(0..) {
            let expected = reference.decode(message.as_bytes(), NOW);
            prop_assert_eq!(push(&mut buffer, message.as_bytes(), offset).err(), expected.as_ref().err().copied(), "{}", message);
            rows.extend(expected.ok().map(|row| (row, offset, message)));
        }
        prop_assert_eq!(&reference.columns[CORE.len()..], buffer.schema().extra());
        let batch = buffer.take();
        prop_assert_eq!(batch.schema(), buffer.schema().arrow_schema());
        prop_assert_eq!(batch.num_rows(), rows.len());
        for (place, (expected, offset, message)) in rows.into_iter().enumerate() {
            prop_assert_eq!(row(&batch, place), expected, "{}", message);
            prop_assert_eq!(batch["_offset"].as_primitive::<Int64Type>().value(place), offset);
            prop_assert_eq!(batch["_partition"].as_primitive::<Int32Type>().value(place), 3);
        }
    }

    #[test]
    fn nothing_is_lost(message in message(), max_columns in 16_usize..26) {
        let mut buffer = EventBuffer::new(EventSchema::new(max_columns));
        if push(&mut buffer, message.as_bytes(), 0).is_ok() {
            let batch = buffer.take();
            let rescued = rescued(&batch, 0).unwrap_or("{}".to_owned());
            let rescued = members(rescued.as_bytes()).expect("an object");
            let mut left = rescued.len();
            for (name, value) in members(message.as_bytes()).expect("an object") {
                let name_of_column = str::from_utf8(&name).ok().filter(|name| !OWN.contains(name));
                let column = name_of_column.and_then(|name| batch.column_by_name(name));
                let in_column = column.is_some_and(|column| column.is_valid(0));
                let kept = rescued.iter().find(|(rescued, _)| *rescued == name);
                left -= usize::from(kept.is_some());
                match kept {
                    Some((_, kept)) => prop_assert_eq!(*kept, compact(value), "{}", message),
                    None => prop_assert_eq!(in_column, value != "null", "{} of {}", value, message),
                }
            }
            prop_assert_eq!(left, 0, "{}", message);
        }
    }

    #[test]
    fn syntax_is_what_serde_json_accepts(
        text in prop_oneof![message(), value()],
        changes in vec((any::<prop::sample::Index>(), 0..3, select(b"{}[]\",:\\ux0123e.E+-tfnul \n\x00\x1f\x7f\x80\xc3\xff".to_vec())), 0..4),
    ) {
        let mut bytes = text.into_bytes();
        for (place, change, byte) in changes {
            let place = place.index(bytes.len() + 1);
            match change {
                0 => bytes.insert(place, byte),
                1 if place < bytes.len() => bytes[place] = byte,
                _ if place < bytes.len() => drop(bytes.remove(place)),
                _ => {}
            }
        }
        let expected = match serde_json::from_slice::<&RawValue>(&bytes) {
            Err(_) => Some(Reason::NotJson),
            Ok(raw) if !raw.get().starts_with('{') => Some(Reason::NotAnObject),
            Ok(_) => None,
        };
        let outcome = push(&mut EventBuffer::new(EventSchema::new(200)), &bytes, 0).err();
        let outcome = outcome.filter(|reason| matches!(reason, Reason::NotJson | Reason::NotAnObject));
        prop_assert_eq!(outcome, expected, "{}", String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn log_params_stay_equal(value in value()) {
        let message = format!(r#"{{"timestamp":1705334400,"log_params":{value}}}"#);
        let mut buffer = EventBuffer::new(EventSchema::new(200));
        prop_assert_eq!(push(&mut buffer, message.as_bytes(), 0), Ok(()));
        if let (true, Ok(expected)) = (value.starts_with(['{', '[']), serde_json::from_str::<Value>(&value)) {
            let Some(Datum::String(text)) = Datum::of(&buffer.take()["log_params"], 0) else { panic!("null: {value}") };
            prop_assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(expected), "{}", text);
            prop_assert!(text.len() <= value.len());
        }
    }

    #[test]
    fn conforming_loses_nothing(
        messages in vec(message(), 1..6),
        old in extra(),
        lake in extra(),
        max_columns in 16_usize..26,
    ) {
        let mut buffer = EventBuffer::new(EventSchema::from_lake(old, 200));
        for (message, offset) in messages.iter().zip(0..) {
            let _ = push(&mut buffer, message.as_bytes(), offset);
        }
        let batch = buffer.take();
        let lake = EventSchema::from_lake(lake, max_columns);
        let (conformed, schema) = conform(&batch, &lake);
        prop_assert_eq!(conformed.schema(), schema.arrow_schema());
        prop_assert!(schema.extra().starts_with(lake.extra()));
        prop_assert!(schema.extra().len() == lake.extra().len() || schema.extra().len() + 16 <= max_columns);
        prop_assert_eq!(&conformed.columns()[..11], &batch.columns()[..11]);
        prop_assert_eq!(&conformed.columns()[12..14], &batch.columns()[12..14]);
        for place in 0..batch.num_rows() {
            let before = rescued(&batch, place).unwrap_or("{}".to_owned());
            let after = rescued(&conformed, place).unwrap_or("{}".to_owned());
            prop_assert!(after.starts_with(before.trim_end_matches('}')) || before.ends_with("}}"), "{} {}", before, after);
            let (before, after) = (members(before.as_bytes()).expect("an object"), members(after.as_bytes()).expect("an object"));
            prop_assert_eq!(&after[..before.len()], before.as_slice());
            let mut moved = after[before.len()..].iter();
            for (name, _) in buffer.schema().extra() {
                let Some(old) = Datum::of(&batch[name.as_str()], place) else { continue };
                let new = conformed.column_by_name(name).and_then(|array| Datum::of(array, place));
                let same = match (&old, new) {
                    (Datum::Double(old), Some(Datum::Int64(new))) => *old == new as f64,
                    (Datum::Int64(old), Some(Datum::Double(new))) => *old == new as i64,
                    (old, Some(new)) => *old == new,
                    (old, None) => {
                        let (key, text) = moved.next().expect("a value without a column is rescued");
                        key == name.as_bytes() && match &old {
                            Datum::String(old) => serde_json::from_str(text).ok().as_ref() == Some(old),
                            Datum::Int64(old) => text.parse() == Ok(*old),
                            Datum::Double(old) => text.parse() == Ok(*old),
                            Datum::Boolean(old) => text.parse() == Ok(*old),
                        }
                    }
                };
                prop_assert!(same, "{} of {:?}", name, old);
            }
            prop_assert_eq!(moved.next(), None);
        }
        // What has been conformed is as the lake has it.
        let (again, unchanged) = conform(&conformed, &schema);
        prop_assert_eq!(again, conformed);
        prop_assert_eq!(unchanged, schema);
    }
}
