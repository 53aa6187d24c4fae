//! The decoding table: what each column accepts, value by value, and what becomes of the rest.

use arrow::array::{Array, RecordBatch};
use arrow::util::display::array_value_to_string;

use super::{ColumnType, EventBuffer, EventSchema, Reason};

const NOW: i64 = 1_705_400_000;

/// Pushes messages into a buffer of one schema and takes what came of them.
fn decode_with(schema: EventSchema, messages: &[&[u8]]) -> (RecordBatch, EventSchema) {
    let mut buffer = EventBuffer::new(schema);
    for (message, offset) in messages.iter().zip(0..) {
        let outcome = buffer.push(message, 7, offset, NOW);
        assert_eq!(
            outcome,
            Ok(()),
            "{}",
            String::from_utf8_lossy(&message[..message.len().min(200)])
        );
    }
    (buffer.take(), buffer.schema().clone())
}

/// The one row that the fields make, together with a timestamp.
fn decode(fields: &str) -> RecordBatch {
    let message = format!(r#"{{"timestamp": 1705334400, {fields}}}"#);
    decode_with(EventSchema::new(200), &[message.as_bytes()]).0
}

/// A value of a column as text; "null" where it is null or the column is not there.
fn show(batch: &RecordBatch, name: &str, row: usize) -> String {
    match batch.column_by_name(name) {
        Some(column) if column.is_valid(row) => array_value_to_string(column, row).unwrap(),
        _ => "null".to_owned(),
    }
}

fn reason(message: &[u8]) -> Option<Reason> {
    let mut buffer = EventBuffer::new(EventSchema::new(200));
    let outcome = buffer.push(message, 0, 0, NOW).err();
    assert_eq!(buffer.len(), usize::from(outcome.is_none()));
    assert!(outcome.is_none() || buffer.schema().extra().is_empty() && buffer.bytes() == 0);
    outcome
}

/// Checks rows of a table: a value in the message, and the column's and the rescued text that it makes, `-` for null.
fn check(column: &str, table: &[(&str, &str, &str)]) {
    for (value, in_column, rescued) in table {
        let batch = decode(&format!(r#""{column}": {value}"#));
        let expected = |text: &str| {
            if text == "-" {
                "null".to_owned()
            } else {
                text.to_owned()
            }
        };
        assert_eq!(show(&batch, column, 0), expected(in_column), "{column}: {value}");
        let rescued = if *rescued == "-" {
            "null".to_owned()
        } else {
            format!(r#"{{"{column}":{rescued}}}"#)
        };
        assert_eq!(show(&batch, "_rescued", 0), rescued, "{column}: {value}");
    }
}

#[test]
fn an_event_as_the_contract_shows_it() {
    let message = br#"{"timestamp": 1705334400, "user": "John", "title": "Python (programming)",
        "server_name": "en.wikipedia.org", "type": "edit", "bytes_changed": 500, "is_bot": false, "is_new_page": false,
        "language": "en", "project": "wikipedia", "log_params": {"key": "value"}, "id": 9, "patrolled": true}"#;
    let (batch, schema) = decode_with(EventSchema::new(200), &[message]);
    assert_eq!(batch.schema(), schema.arrow_schema());
    let row: Vec<_> = batch
        .schema_ref()
        .fields()
        .iter()
        .map(|field| show(&batch, field.name(), 0))
        .collect();
    let expected =
        r#"1705334400|John|Python (programming)|en.wikipedia.org|edit|500|false|false|en|wikipedia|{"key":"value"}"#;
    assert_eq!(row.join("|"), format!("{expected}|null|7|0|9|true"));
    assert_eq!(
        schema.extra(),
        [
            ("id".to_owned(), ColumnType::Int64),
            ("patrolled".to_owned(), ColumnType::Boolean)
        ]
    );
}

#[test]
fn timestamps() {
    let decoded = |value: &str| {
        let message = format!(r#"{{"timestamp": {value}}}"#);
        match reason(message.as_bytes()) {
            Some(reason) => reason.as_str().to_owned(),
            None => show(
                &decode_with(EventSchema::new(200), &[message.as_bytes()]).0,
                "timestamp",
                0,
            ),
        }
    };
    for (value, expected) in [
        ("1705334400", "1705334400"),
        ("1705334400.0", "1705334400"),
        ("1.7053344e9", "1705334400"),
        (r#""1705334400""#, "1705334400"),
        (r#""001705334400""#, "1705334400"),
        (r#""\u0031705334400""#, "1705334400"),
        (r#""2024-01-15T16:00:00Z""#, "1705334400"),
        (r#""2024-01-15T17:30:00.999+01:30""#, "1705334400"),
        ("979516800", "979516800"),
        ("979516799", "timestamp_too_old"),
        ("0", "timestamp_too_old"),
        ("-0", "timestamp_too_old"),
        ("-9223372036854775808", "timestamp_too_old"),
        (r#""1969-12-31T23:59:59Z""#, "timestamp_too_old"),
        ("1705486400", "1705486400"),
        ("1705486401", "timestamp_in_future"),
        ("1705334400000", "timestamp_in_future"),
        ("9223372036854775807", "timestamp_in_future"),
        ("1e18", "timestamp_in_future"),
        ("null", "timestamp_missing"),
        ("9223372036854775808", "timestamp_invalid"),
        ("1e308", "timestamp_invalid"),
        ("1e400", "timestamp_invalid"),
        ("1.5", "timestamp_invalid"),
        ("1705334400.5", "timestamp_invalid"),
        ("true", "timestamp_invalid"),
        ("{}", "timestamp_invalid"),
        ("[1705334400]", "timestamp_invalid"),
        (r#""""#, "timestamp_invalid"),
        (r#""abc""#, "timestamp_invalid"),
        (r#""+1705334400""#, "timestamp_invalid"),
        (r#"" 1705334400""#, "timestamp_invalid"),
        (r#""1705334400.0""#, "timestamp_invalid"),
        (r#""2024-01-15""#, "timestamp_invalid"),
        (r#""\ud800""#, "timestamp_invalid"),
        (r#""1705334400\u0000""#, "timestamp_invalid"),
    ] {
        assert_eq!(decoded(value), expected, "{value}");
    }
    assert_eq!(reason(b"{}"), Some(Reason::TimestampMissing));
    assert_eq!(reason(br#"{"Timestamp": 1705334400}"#), Some(Reason::TimestampMissing));
    assert_eq!(
        reason(br#"{"timestamp": 1705334400, "timestamp": null}"#),
        Some(Reason::TimestampMissing)
    );
    assert_eq!(reason(br#"{"timestamp": "x", "timestamp": 1705334400}"#), None);
    assert_eq!(reason(br#"{"time\u0073tamp": 1705334400}"#), None);
    let end_of_time =
        EventBuffer::new(EventSchema::new(200)).push(br#"{"timestamp": 9223372036854775807}"#, 0, 0, i64::MAX);
    assert_eq!(end_of_time, Ok(()));
}

#[test]
fn messages_that_are_no_objects() {
    let not_json: [&[u8]; 31] = [
        b"",
        b" ",
        b"{",
        b"}",
        b"{]",
        b"[1,]",
        b"{\"a\":1,}",
        b"{\"a\" 1}",
        b"{\"a\":}",
        b"{a:1}",
        b"{\"a\":[1}}",
        b"{\"a\":[{\"b\":1]]}",
        b"[1}",
        b"{'a':1}",
        b"{} {}",
        b"{}\0",
        b"\xef\xbb\xbf{}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"{\"a\":\"\0\"}",
        b"{\"a\":\"\n\"}",
        b"{\"a\":\"\\x\"}",
        b"{\"a\":\"\\u12g4\"}",
        b"{\"a\":01}",
        b"{\"a\":1.}",
        b"{\"a\":.5}",
        b"{\"a\":+1}",
        b"{\"a\":1e}",
        b"{\"a\":NaN}",
        b"{\"a\":nul}",
        b"{\"a\":1\x0c}",
    ];
    for message in not_json {
        assert_eq!(
            reason(message),
            Some(Reason::NotJson),
            "{}",
            String::from_utf8_lossy(message)
        );
    }
    let not_objects: [&[u8]; 6] = [
        b"null",
        b" [ {\"timestamp\": 1705334400} ]\n",
        b"\"{}\"",
        b"1e400",
        b"true",
        b"-0",
    ];
    for message in not_objects {
        assert_eq!(
            reason(message),
            Some(Reason::NotAnObject),
            "{}",
            String::from_utf8_lossy(message)
        );
    }
}

#[test]
fn counts() {
    let table = [
        ("500", "500", "-"),
        ("-500", "-500", "-"),
        ("-0", "0", "-"),
        ("5.0", "5", "-"),
        ("1e3", "1000", "-"),
        ("1.50E+1", "15", "-"),
        ("-0.0", "0", "-"),
        ("9007199254740993.0", "9007199254740993", "-"),
        ("9223372036854775807", "9223372036854775807", "-"),
        (r#""-12""#, "-12", "-"),
        (r#""\u00312""#, "12", "-"),
        ("null", "-", "-"),
        ("9223372036854775808", "-", "9223372036854775808"),
        ("1.5", "-", "1.5"),
        ("1e308", "-", "1e308"),
        ("1e-1", "-", "1e-1"),
        (r#""5.0""#, "-", r#""5.0""#),
        (r#""+5""#, "-", r#""+5""#),
        (r#""""#, "-", r#""""#),
        (r#""9223372036854775808""#, "-", r#""9223372036854775808""#),
        (r#""\ud800""#, "-", r#""\ud800""#),
        ("true", "-", "true"),
        ("[ 1 ]", "-", "[1]"),
        ("{}", "-", "{}"),
    ];
    check("bytes_changed", &table);
}

#[test]
fn flags() {
    let table = [
        ("true", "true", "-"),
        ("false", "false", "-"),
        (r#""true""#, "true", "-"),
        (r#""f\u0061lse""#, "false", "-"),
        ("null", "-", "-"),
        (r#""True""#, "-", r#""True""#),
        (r#"" true""#, "-", r#"" true""#),
        (r#""\udc00""#, "-", r#""\udc00""#),
        ("0", "-", "0"),
        ("1.0", "-", "1.0"),
        ("[true]", "-", "[true]"),
    ];
    check("is_bot", &table);
    check("is_new_page", &table);
}

#[test]
fn texts() {
    let table = [
        (r#""John""#, "John", "-"),
        (r#""""#, "", "-"),
        (
            r#""J\u00f6hn \"\\\/\b\f\n\r\t 😀 \ud83d\ude00""#,
            "Jöhn \"\\/\u{8}\u{c}\n\r\t 😀 😀",
            "-",
        ),
        (r#""a\u0000b""#, "a\0b", "-"),
        ("1.0", "1.0", "-"),
        ("1e5", "1e5", "-"),
        ("-0", "-0", "-"),
        ("123456789012345678901234567890", "123456789012345678901234567890", "-"),
        ("true", "true", "-"),
        ("null", "-", "-"),
        (r#""a\ud800\u0062""#, "-", r#""a\ud800b""#),
        (r#""\uDC00\uD800""#, "-", r#""\uDC00\uD800""#),
        (r#"{ "a" : [ 1 , 2 ] }"#, "-", r#"{"a":[1,2]}"#),
        ("[]", "-", "[]"),
    ];
    for column in ["user", "title", "server_name", "type", "language", "project"] {
        check(column, &table);
    }
}

#[test]
fn log_params() {
    let table = [
        (r#"{"key": "value"}"#, r#"{"key":"value"}"#, "-"),
        (r#"[ 1.0, -0e1 , {} , [ ] ]"#, "[1.0,-0e1,{},[]]", "-"),
        (
            r#"{"\u00e9 ": "\/ \ud83d\ude00 \"\u0000\u001F\u000a"}"#,
            "{\"é \":\"/ 😀 \\\"\\u0000\\u001f\\n\"}",
            "-",
        ),
        (r#"["\ud800", "\uDC00"]"#, r#"["\ud800","\uDC00"]"#, "-"),
        (r#"{"a":1,"a":2}"#, r#"{"a":1,"a":2}"#, "-"),
        (r#""{\"a\": 1} \u00e9""#, "{\"a\": 1} é", "-"),
        ("null", "-", "-"),
        ("5", "-", "5"),
        ("true", "-", "true"),
        (r#""\ud800""#, "-", r#""\ud800""#),
    ];
    check("log_params", &table);
}

#[test]
fn new_fields_become_columns_of_the_type_of_their_first_value() {
    for (value, column_type, shown) in [
        (r#""\u00e9""#, Some(ColumnType::String), "é"),
        (r#"{"a": [1]}"#, Some(ColumnType::String), r#"{"a":[1]}"#),
        ("[ ]", Some(ColumnType::String), "[]"),
        ("5", Some(ColumnType::Int64), "5"),
        ("-0", Some(ColumnType::Int64), "0"),
        ("9223372036854775807", Some(ColumnType::Int64), "9223372036854775807"),
        ("5.0", Some(ColumnType::Double), "5.0"),
        ("1e308", Some(ColumnType::Double), "1e308"),
        ("1e-400", Some(ColumnType::Double), "0.0"),
        ("false", Some(ColumnType::Boolean), "false"),
        ("null", None, "null"),
        ("1e400", None, "null"),
        ("9223372036854775808", None, "null"),
        (r#""\ud800""#, None, "null"),
    ] {
        let message = format!(r#"{{"timestamp": 1705334400, "x": {value}}}"#);
        let (batch, schema) = decode_with(EventSchema::new(200), &[message.as_bytes()]);
        assert_eq!(
            schema.extra().first().map(|(_, column_type)| *column_type),
            column_type,
            "{value}"
        );
        assert_eq!(show(&batch, "x", 0), shown, "{value}");
        let lost = column_type.is_none() && value != "null";
        let rescued = if lost {
            format!(r#"{{"x":{value}}}"#)
        } else {
            "null".to_owned()
        };
        assert_eq!(show(&batch, "_rescued", 0), rescued, "{value}");
    }
}

#[test]
fn columns_that_are_there_accept_what_fits_their_type() {
    let values = [
        r#""5""#,
        "5",
        "-0",
        "5.0",
        "1.5",
        "1e3",
        "9007199254740992",
        "9007199254740993",
        "9223372036854775808",
        "1e400",
        "true",
        "[ 5 ]",
        r#""\ud800""#,
        "null",
    ];
    for (column_type, expected) in [
        (ColumnType::String, r#"5 - - - - - - - - - - [5] - -"#),
        (
            ColumnType::Int64,
            "- 5 0 5 - 1000 9007199254740992 9007199254740993 - - - - - -",
        ),
        (
            ColumnType::Double,
            "- 5.0 0.0 5.0 1.5 1000.0 9007199254740992.0 - - - - - - -",
        ),
        (ColumnType::Boolean, "- - - - - - - - - - true - - -"),
    ] {
        for (value, expected) in values.iter().zip(expected.split(' ')) {
            let message = format!(r#"{{"timestamp": 1705334400, "x": {value}}}"#);
            let schema = EventSchema::from_lake([("x".to_owned(), column_type)], 200);
            let (batch, _) = decode_with(schema, &[message.as_bytes()]);
            let rescued = match expected {
                "-" if *value != "null" => format!(r#"{{"x":{}}}"#, value.replace(' ', "")),
                _ => "null".to_owned(),
            };
            assert_eq!(
                show(&batch, "x", 0).replace("null", "-"),
                expected,
                "{value} as {column_type:?}"
            );
            assert_eq!(show(&batch, "_rescued", 0), rescued, "{value} as {column_type:?}");
        }
    }
}

#[test]
fn names_that_make_no_column_are_rescued() {
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
        r"a\nb",
        r"a\tb",
        r"a\u0000b",
        "_rescued",
        "_Partition",
        "_OFFSET",
        "Year",
        "month",
        "User",
        r"\u0055SER",
        r"\ud800",
        &long,
    ];
    for name in names {
        let batch = decode(&format!(r#""{name}": [ 1 ]"#));
        assert_eq!(batch.num_columns(), 14, "{name}");
        let rescued = format!(r#"{{"{}":[1]}}"#, name.replace(r"\u0055", "U"));
        assert_eq!(show(&batch, "_rescued", 0), rescued, "{name}");
        assert_eq!(
            show(&decode(&format!(r#""{name}": null"#)), "_rescued", 0),
            "null",
            "{name}"
        );
    }
}

#[test]
fn names_compare_unescaped() {
    let batch = decode(r#""us\u0065r": "John", "\u00fcber": 1, "über": 2"#);
    assert_eq!(
        (show(&batch, "user", 0), show(&batch, "über", 0)),
        ("John".to_owned(), "2".to_owned())
    );
    let first: &[u8] = br#"{"timestamp": 1705334400, "a\":5": 1, "b\\t": 2}"#;
    let second: &[u8] = br#"{"timestamp": 1705334400, "a\":5": 3, "b\t": 4}"#;
    let (batch, _) = decode_with(EventSchema::new(200), &[first, first, second]);
    assert_eq!(
        (show(&batch, "a\":5", 2), show(&batch, "b\\t", 2)),
        ("3".to_owned(), "null".to_owned())
    );
    assert_eq!(show(&batch, "_rescued", 2), r#"{"b\t":4}"#);
    let mut buffer = EventBuffer::new(EventSchema::new(200));
    assert_eq!(buffer.push(first, 0, 0, NOW), Ok(()));
    let imitation = br#"{"timestamp": 1705334400, "a":5": 3, "b\t": 4}"#;
    assert_eq!(buffer.push(imitation, 0, 0, NOW), Err(Reason::NotJson));
    let batch = decode(r#""x": 1, "X": 2"#);
    assert_eq!(
        (show(&batch, "x", 0), show(&batch, "_rescued", 0)),
        ("1".to_owned(), r#"{"X":2}"#.to_owned())
    );
}

#[test]
fn of_duplicate_names_the_last_wins() {
    for (fields, column, value, rescued) in [
        (r#""user": "a", "user": "b""#, "user", "b", "null"),
        (r#""user": [], "us\u0065r": "b""#, "user", "b", "null"),
        (r#""user": "a", "user": []"#, "user", "null", r#"{"user":[]}"#),
        (r#""user": "a", "user": null"#, "user", "null", "null"),
        (r#""x": 1, "x": true"#, "x", "true", "null"),
        (r#""x": 1, "y": 2, "x": null"#, "x", "null", "null"),
        (
            r#""a b": 1, "c d": 2, "a\u0020b": 3, "a b": 4"#,
            "user",
            "null",
            r#"{"a b":4,"c d":2}"#,
        ),
        (r#""a b": 1, "c d": 2, "a b": null"#, "user", "null", r#"{"c d":2}"#),
        (r#""\ud800": 1, "\uD800": 2"#, "user", "null", r#"{"\ud800":2}"#),
        (r#""": 1, "": 2"#, "user", "null", r#"{"":2}"#),
    ] {
        let batch = decode(fields);
        assert_eq!(
            (show(&batch, column, 0), show(&batch, "_rescued", 0)),
            (value.to_owned(), rescued.to_owned()),
            "{fields}"
        );
    }
}

#[test]
fn what_is_rescued_keeps_the_order_of_the_message() {
    let batch = decode(r#" "z z": { "b" : 1 }, "is_bot": "\u00e9", "x": 1, "A A": "\/" "#);
    assert_eq!(show(&batch, "_rescued", 0), r#"{"z z":{"b":1},"is_bot":"é","A A":"/"}"#);
    assert_eq!(show(&batch, "x", 0), "1");
}

#[test]
fn past_the_limit_new_fields_are_rescued() {
    let first: &[u8] = br#"{"timestamp": 1705334400, "a": 1, "b": null, "c": "c", "d": true}"#;
    let second: &[u8] = br#"{"timestamp": 1705334400, "b": 2, "a": 3}"#;
    let (batch, schema) = decode_with(EventSchema::new(18), &[first, second]);
    assert_eq!(
        schema.extra().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["a", "c"]
    );
    assert_eq!(show(&batch, "_rescued", 0), r#"{"d":true}"#);
    assert_eq!(show(&batch, "_rescued", 1), r#"{"b":2}"#);
    assert_eq!(
        (show(&batch, "a", 1), show(&batch, "c", 1)),
        ("3".to_owned(), "null".to_owned())
    );
}

#[test]
fn a_message_for_quarantine_leaves_no_trace() {
    let mut buffer = EventBuffer::new(EventSchema::new(200));
    buffer
        .push(br#"{"timestamp": 1705334400, "a": "1"}"#, 0, 0, NOW)
        .unwrap();
    let bytes = buffer.bytes();
    for message in [
        r#"{"timestamp": 1, "b": 1}"#,
        r#"{"b": 1, "timestamp": true}"#,
        r#"{"timestamp": 1705334400, "b": 1,}"#,
    ] {
        assert!(buffer.push(message.as_bytes(), 0, 1, NOW).is_err(), "{message}");
    }
    assert_eq!(
        (buffer.len(), buffer.bytes(), buffer.schema().extra().len()),
        (1, bytes, 1)
    );
    buffer.push(br#"{"timestamp": 1705334400}"#, 0, 2, NOW).unwrap();
    let batch = buffer.take();
    assert_eq!(
        (show(&batch, "a", 0), show(&batch, "a", 1)),
        ("1".to_owned(), "null".to_owned())
    );
    assert_eq!(
        (show(&batch, "_offset", 0), show(&batch, "_offset", 1)),
        ("0".to_owned(), "2".to_owned())
    );
}

#[test]
fn a_buffer_starts_anew_with_the_columns_it_knows() {
    let mut buffer = EventBuffer::new(EventSchema::new(200));
    assert_eq!(
        (buffer.is_empty(), buffer.bytes(), buffer.take().num_rows()),
        (true, 0, 0)
    );
    buffer
        .push(br#"{"timestamp": 1705334400, "user": "a"}"#, 0, 0, NOW)
        .unwrap();
    buffer.push(br#"{"timestamp": 1705334400, "x": 1}"#, 0, 1, NOW).unwrap();
    assert!(buffer.bytes() > 100);
    let batch = buffer.take();
    assert_eq!(
        (batch.num_rows(), show(&batch, "x", 0), show(&batch, "x", 1)),
        (2, "null".to_owned(), "1".to_owned())
    );
    assert_eq!((buffer.is_empty(), buffer.bytes()), (true, 0));
    buffer.push(br#"{"timestamp": 1705334401}"#, 1, 5, NOW).unwrap();
    let batch = buffer.take();
    assert_eq!(
        (batch.num_rows(), show(&batch, "x", 0), show(&batch, "user", 0)),
        (1, "null".to_owned(), "null".to_owned())
    );
    assert_eq!(show(&batch, "timestamp", 0), "1705334401");
    buffer.adopt(EventSchema::from_lake([("y".to_owned(), ColumnType::Double)], 200));
    buffer
        .push(br#"{"timestamp": 1705334401, "y": 1, "x": "s"}"#, 1, 5, NOW)
        .unwrap();
    let batch = buffer.take();
    assert_eq!(
        (show(&batch, "y", 0), show(&batch, "x", 0)),
        ("1.0".to_owned(), "s".to_owned())
    );
}

#[test]
fn bytes_tell_about_how_much_memory_the_rows_take() {
    let mut buffer = EventBuffer::new(EventSchema::new(200));
    let text = "x".repeat(500);
    for row in 0..5000 {
        let numbers: String = (0..30).map(|n| format!(r#","n{n}":{row}"#)).collect();
        let message = format!(r#"{{"timestamp":1705334400,"title":"{text}","x x":"{text}"{numbers}}}"#);
        assert_eq!(buffer.push(message.as_bytes(), 0, row, NOW), Ok(()));
    }
    let bytes = buffer.bytes();
    let batch = buffer.take();
    let held: usize = batch
        .columns()
        .iter()
        .map(|array| array.to_data().get_slice_memory_size().unwrap())
        .sum();
    assert!(
        (held * 4 / 5..held * 5 / 4).contains(&bytes),
        "{bytes} said, {held} held"
    );
}

#[test]
fn depth_is_no_limit() {
    for depth in [10_000, 1_000_000] {
        let list = "[".repeat(depth) + &"]".repeat(depth);
        let objects = r#"{"a":"#.repeat(depth) + "1" + &"}".repeat(depth);
        for value in [list, objects] {
            assert_eq!(
                show(&decode(&format!(r#""log_params": {value}"#)), "log_params", 0),
                value
            );
            assert_eq!(reason(&value.as_bytes()[..value.len() - 1]), Some(Reason::NotJson));
        }
    }
    assert_eq!(reason("[".repeat(1_000_000).as_bytes()), Some(Reason::NotJson));
    assert_eq!(
        reason(("[".repeat(10_000) + &"]".repeat(10_000)).as_bytes()),
        Some(Reason::NotAnObject)
    );
    assert_eq!(
        reason(("[".repeat(10_000) + &"}".repeat(10_000)).as_bytes()),
        Some(Reason::NotJson)
    );
}

#[test]
fn size_is_no_limit() {
    let plain = "é".repeat(5_000_000);
    assert_eq!(show(&decode(&format!(r#""user": "{plain}""#)), "user", 0), plain);
    let escaped = r"\u00e9".repeat(1_700_000);
    assert_eq!(
        show(&decode(&format!(r#""user": "{escaped}""#)), "user", 0).len(),
        3_400_000
    );
    assert_eq!(
        show(&decode(&format!(r#""user": "{escaped}\ud800""#)), "user", 0),
        "null"
    );
    let digits = "1".repeat(10_000_000);
    assert_eq!(
        show(&decode(&format!(r#""bytes_changed": {digits}"#)), "_rescued", 0).len(),
        digits.len() + 18
    );
    let fields: String = (0..100_000).map(|field| format!(r#","f {field}":{field}"#)).collect();
    let message = format!(r#"{{"timestamp": 1705334400{fields}{fields}}}"#);
    let (batch, _) = decode_with(EventSchema::new(200), &[message.as_bytes()]);
    assert_eq!(show(&batch, "_rescued", 0), format!("{{{}}}", &fields[1..]));
}

#[test]
fn a_buffer_that_is_full_refuses_instead_of_failing() {
    // What does not fit is refused before it is read: the pages are never touched.
    let message = vec![0; i32::MAX as usize + 1];
    assert_eq!(reason(&message), Some(Reason::TooLarge));
}
