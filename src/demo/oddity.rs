//! Messages off the ordinary: events that are written otherwise but valid, broken messages, and tombstones.

use chrono::{DateTime, SecondsFormat};

use super::event::{Event, quoted};
use super::generate::Message;

/// What makes a message odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    TimestampText,
    TimestampRfc3339,
    TimestampRfc3339Offset,
    TimestampFloat,
    BytesText,
    BytesNoNumber,
    BytesFraction,
    BooleansText,
    NumberAsTitle,
    UserHidden,
    ServerOfOneLabel,
    LogParamsText,
    NewField,
    NewFieldOfOtherType,
    NewFieldNested,
    NewFieldUnnameable,
    Spaced,
    Escaped,
    LongComment,
    NotJson,
    Truncated,
    InvalidUtf8,
    List,
    NoTimestamp,
    Year1970,
    WeekAhead,
    Milliseconds,
    EmptyValue,
    Tombstone,
}

use Oddity::*;

/// All of them, in the order in which they come, over and over: each at least once in a cycle, the field that changes
/// its type first as a number, the broken ones and tombstones apart from each other.
pub const CYCLE: [Oddity; 30] = [
    NewField,
    TimestampText,
    NotJson,
    TimestampRfc3339,
    BytesText,
    Truncated,
    BooleansText,
    Tombstone,
    InvalidUtf8,
    TimestampFloat,
    NumberAsTitle,
    List,
    BytesNoNumber,
    UserHidden,
    NoTimestamp,
    ServerOfOneLabel,
    LogParamsText,
    Year1970,
    NewFieldNested,
    Spaced,
    WeekAhead,
    Escaped,
    Tombstone,
    Milliseconds,
    BytesFraction,
    LongComment,
    EmptyValue,
    NewFieldUnnameable,
    TimestampRfc3339Offset,
    NewFieldOfOtherType,
];

/// How many of a cycle are broken.
pub const BROKEN: usize = 9;

impl Oddity {
    /// Makes an ordinary event odd; `time` is its time, `end` that of the day.
    pub fn message(self, mut event: Event, time: i64, end: i64) -> Message {
        let key = event.get("wiki").trim_matches('"').as_bytes().to_vec();
        match self {
            Tombstone => {
                return Message {
                    key: Some(key),
                    value: None,
                };
            }
            EmptyValue => return broken(key, Vec::new()),
            NotJson => {
                return broken(
                    key,
                    b"<html><head><title>502 Bad Gateway</title></head></html>".to_vec(),
                );
            }
            List => return broken(key, format!("[{}]", event.json("")).into_bytes()),
            Truncated => return broken(key, halved(&event)),
            InvalidUtf8 => return broken(key, in_latin_1(event)),
            NoTimestamp => event.remove("timestamp"),
            Year1970 => event.set("timestamp", (time.rem_euclid(86_400)).to_string()),
            WeekAhead => event.set("timestamp", end.saturating_add(7 * 86_400).to_string()),
            Milliseconds => event.set("timestamp", time.saturating_mul(1000).to_string()),
            odd => odd.vary(&mut event, time),
        }
        let value = match self {
            Spaced => event.json(" \n\t"),
            Escaped => escaped(&event.json("")),
            _ => event.json(""),
        };
        match self {
            NoTimestamp | Year1970 | WeekAhead | Milliseconds => broken(key, value.into_bytes()),
            _ => Message {
                key: None,
                value: Some(value.into_bytes()),
            },
        }
    }

    /// What an odd but valid event has otherwise.
    fn vary(self, event: &mut Event, time: i64) {
        match self {
            TimestampText => event.set_text("timestamp", &time.to_string()),
            TimestampRfc3339 => event.set("timestamp", rfc3339(time, "Z")),
            TimestampRfc3339Offset => event.set("timestamp", rfc3339(time.saturating_add(5 * 3600 + 1800), "+05:30")),
            TimestampFloat => event.set("timestamp", format!("{:e}", time as f64)),
            BytesText => event.set_text("bytes_changed", "-42"),
            BytesNoNumber => event.set_text("bytes_changed", "lots"),
            BytesFraction => event.set("bytes_changed", "12.5"),
            BooleansText => {
                for name in ["is_bot", "is_new_page"] {
                    let text = event.get(name).to_owned();
                    event.set_text(name, &text);
                }
            }
            NumberAsTitle => event.set("title", "1984"),
            UserHidden => {
                event.remove("user");
                event.set("is_bot", "null");
            }
            ServerOfOneLabel => {
                event.set_text("server_name", "localhost");
                event.set_text("language", "localhost");
                event.set("project", "null");
            }
            LogParamsText => event.set_text("log_params", "5::old\n6::\"new\""),
            NewField => event.set("damage_score", "12"),
            NewFieldOfOtherType => event.set_text("damage_score", "high"),
            NewFieldNested => event.set("performer", r#"{"user_id":4711,"groups":["*","autoconfirmed"]}"#),
            NewFieldUnnameable => event.set("edit count; (total)", "3"),
            LongComment => event.set_text("comment", &"Wörter über Wörter, 字，".repeat(1500)),
            _ => {}
        }
    }
}

fn broken(key: Vec<u8>, value: Vec<u8>) -> Message {
    Message {
        key: Some(key),
        value: Some(value),
    }
}

fn halved(event: &Event) -> Vec<u8> {
    let mut json = event.json("").into_bytes();
    json.truncate(json.len() / 2);
    json
}

/// The event with a title that somebody wrote in another encoding.
fn in_latin_1(mut event: Event) -> Vec<u8> {
    const MARK: &str = "M\u{1}nster";
    event.set("title", format!("\"{MARK}\""));
    let mut json = event.json("").into_bytes();
    for byte in &mut json {
        if *byte == 1 {
            *byte = 0xfc;
        }
    }
    json
}

/// The same JSON in ASCII only, as Python's writer has it by default.
fn escaped(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            ascii.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            ascii.push_str(&format!("\\u{unit:04x}"));
        }
    }
    ascii
}

fn rfc3339(time: i64, zone: &str) -> String {
    let time = DateTime::from_timestamp(time, 0).unwrap_or_default();
    let utc = time.to_rfc3339_opts(SecondsFormat::Secs, true);
    quoted(&utc.replace('Z', zone))
}
