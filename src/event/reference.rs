//! What a message must become, worked out in the most straightforward way, by `serde_json`.

use std::collections::HashSet;
use std::fmt;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::schema::CORE;
use super::{ColumnType, Reason};

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Datum {
    String(String),
    Int64(i64),
    Double(f64),
    Boolean(bool),
}

impl Datum {
    /// The value of a batch's column in a row; None where it is null.
    pub fn of(array: &ArrayRef, row: usize) -> Option<Self> {
        array
            .is_valid(row)
            .then(|| match ColumnType::from_data_type(array.data_type()) {
                Some(ColumnType::String) => Datum::String(array.as_string::<i32>().value(row).to_owned()),
                Some(ColumnType::Int64) => Datum::Int64(array.as_primitive::<Int64Type>().value(row)),
                Some(ColumnType::Double) => Datum::Double(array.as_primitive::<Float64Type>().value(row)),
                Some(ColumnType::Boolean) => Datum::Boolean(array.as_boolean().value(row)),
                None => panic!("no datum in {}", array.data_type()),
            })
    }
}

/// A row: a value for each column that is not null.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    pub data: Vec<(String, Datum)>,
    pub rescued: Option<String>,
}

/// A table and its limit on columns.
pub(super) struct Reference {
    pub columns: Vec<(String, ColumnType)>,
    pub max_columns: usize,
}

impl Reference {
    pub fn new(extra: &[(String, ColumnType)], max_columns: usize) -> Self {
        let core = CORE
            .iter()
            .map(|(name, column_type)| ((*name).to_owned(), *column_type));
        Self {
            columns: core.chain(extra.iter().cloned()).collect(),
            max_columns,
        }
    }

    pub fn decode(&mut self, message: &[u8], now: i64) -> Result<Row, Reason> {
        let members = members(message)?;
        let timestamp = members
            .iter()
            .find(|(name, _)| name == b"timestamp")
            .map(|(_, value)| *value);
        let timestamp = timestamp
            .filter(|value| *value != "null")
            .ok_or(Reason::TimestampMissing)?;
        match fit("timestamp", ColumnType::Int64, timestamp) {
            Some(Datum::Int64(..979_516_800)) => return Err(Reason::TimestampTooOld),
            Some(Datum::Int64(time)) if time - 86_400 > now => {
                return Err(Reason::TimestampInFuture);
            }
            Some(_) => {}
            None => return Err(Reason::TimestampInvalid),
        }
        let (mut data, mut rescued) = (Vec::new(), Vec::new());
        for (name, value) in members.iter().filter(|(_, value)| *value != "null") {
            match self.place(name, value) {
                Some(placed) => data.push(placed),
                None => rescued.push(format!("{}:{}", key_text(name), compact(value))),
            }
        }
        data.sort_by(|(a, _), (b, _)| a.cmp(b));
        let rescued = if rescued.is_empty() {
            None
        } else {
            Some(format!("{{{}}}", rescued.join(",")))
        };
        Ok(Row { data, rescued })
    }

    fn place(&mut self, name: &[u8], value: &str) -> Option<(String, Datum)> {
        let name = str::from_utf8(name).ok()?;
        if let Some((_, column_type)) = self.columns.iter().find(|(column, _)| column == name) {
            return Some((name.to_owned(), fit(name, *column_type, value)?));
        }
        let reserved = ["_rescued", "_partition", "_offset", "year", "month"];
        let lower: HashSet<_> = self.columns.iter().map(|(column, _)| column.to_lowercase()).collect();
        let odd = name.chars().any(|c| " ,;{}()=".contains(c) || c.is_control());
        if odd
            || name.is_empty()
            || name.len() > 255
            || reserved.contains(&&*name.to_lowercase())
            || lower.contains(&name.to_lowercase())
            || self.columns.len() + reserved.len() >= self.max_columns
        {
            return None;
        }
        let column_type = match value.as_bytes()[0] {
            b't' | b'f' => ColumnType::Boolean,
            b'"' | b'{' | b'[' => ColumnType::String,
            _ if value.contains(['.', 'e', 'E']) => ColumnType::Double,
            _ => ColumnType::Int64,
        };
        let datum = fit(name, column_type, value)?;
        self.columns.push((name.to_owned(), column_type));
        Some((name.to_owned(), datum))
    }
}

/// What a column holds for a value, given as its JSON text.
fn fit(name: &str, column_type: ColumnType, value: &str) -> Option<Datum> {
    let core = CORE.iter().any(|(core, _)| *core == name);
    let string: Option<String> = serde_json::from_str(value).ok();
    let (is_string, is_nested) = (value.starts_with('"'), value.starts_with(['{', '[']));
    match column_type {
        ColumnType::String if is_string => string.map(Datum::String),
        ColumnType::String if core && name != "log_params" => (!is_nested).then(|| Datum::String(value.to_owned())),
        ColumnType::String => is_nested.then(|| Datum::String(compact(value))),
        ColumnType::Boolean if core && is_string => match string?.as_str() {
            "true" => Some(Datum::Boolean(true)),
            "false" => Some(Datum::Boolean(false)),
            _ => None,
        },
        ColumnType::Boolean => serde_json::from_str(value).ok().map(Datum::Boolean),
        ColumnType::Int64 if core && is_string => {
            let string = string?;
            let digits = string.strip_prefix('-').unwrap_or(&string);
            if !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()) {
                whole(&string).map(Datum::Int64)
            } else if name == "timestamp" {
                chrono::DateTime::parse_from_rfc3339(&string)
                    .ok()
                    .map(|time| Datum::Int64(time.timestamp()))
            } else {
                None
            }
        }
        ColumnType::Int64 => whole(value).map(Datum::Int64),
        ColumnType::Double if value.contains(['.', 'e', 'E']) && !is_string && !is_nested => value
            .parse()
            .ok()
            .filter(|float: &f64| float.is_finite())
            .map(Datum::Double),
        ColumnType::Double => {
            let integer = whole(value)?;
            (integer as f64 as i128 == i128::from(integer)).then_some(Datum::Double(integer as f64))
        }
    }
}

/// The integer that a number stands for: its point moved digit by digit.
fn whole(number: &str) -> Option<i64> {
    if !number.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
        return None;
    }
    let lower = number.to_lowercase();
    let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let sign = if mantissa.starts_with('-') { "-" } else { "" };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut before = before.trim_start_matches('-').to_owned();
    let mut after = after.to_owned();
    if format!("{before}{after}").bytes().all(|digit| digit == b'0') {
        return Some(0);
    }
    // Further than this no number of a test has its point from where it counts.
    let exponent: i64 = exponent
        .parse()
        .ok()
        .filter(|exponent| (-5000..5000).contains(exponent))?;
    for _ in 0..exponent {
        before.push(if after.is_empty() { '0' } else { after.remove(0) });
    }
    for _ in exponent..0 {
        after.insert(0, before.pop().unwrap_or('0'));
    }
    let fits = after.bytes().all(|digit| digit == b'0');
    let before = before.trim_start_matches('0');
    fits.then(|| {
        format!("{sign}{}", if before.is_empty() { "0" } else { before })
            .parse()
            .ok()
    })?
}

/// A value without insignificant whitespace, each escape judged by `serde_json`.
pub(super) fn compact(value: &str) -> String {
    let parse = |escape: &str| serde_json::from_str::<String>(&format!("\"{escape}\"")).ok();
    let (mut out, mut rest, mut in_string) = (String::new(), value, false);
    while let Some(character) = rest.chars().next() {
        let mut length = character.len_utf8();
        match character {
            '\\' => {
                length = if rest.as_bytes()[1] == b'u' { 6 } else { 2 };
                let mut parsed = parse(&rest[..length]);
                if parsed.is_none() && rest.get(6..12).is_some_and(|next| next.starts_with(r"\u")) {
                    parsed = parse(&rest[..12]);
                    length = if parsed.is_some() { 12 } else { 6 };
                }
                let quoted = parsed.map(|text| serde_json::to_string(&text).unwrap());
                out.push_str(quoted.as_ref().map_or(&rest[..length], |text| &text[1..text.len() - 1]));
            }
            ' ' | '\n' | '\r' | '\t' if !in_string => {}
            _ => {
                in_string ^= character == '"';
                out.push(character);
            }
        }
        rest = &rest[length..];
    }
    out
}

/// A name as JSON text, its lone surrogates as escapes.
fn key_text(name: &[u8]) -> String {
    let mut text = String::from("\"");
    for chunk in name.utf8_chunks() {
        let valid = serde_json::to_string(chunk.valid()).unwrap();
        text.push_str(&valid[1..valid.len() - 1]);
        // An invalid sequence comes in pieces of which the first is the surrogates' leading byte.
        if let [0xed] = chunk.invalid() {
            let at = chunk.invalid().as_ptr() as usize - name.as_ptr() as usize;
            let unit =
                u32::from(name[at] & 15) << 12 | u32::from(name[at + 1] & 63) << 6 | u32::from(name[at + 2] & 63);
            text.push_str(&format!("\\u{unit:04x}"));
        }
    }
    text + "\""
}

/// The members of the object that a message is, each name once with its last value.
pub(super) fn members(message: &[u8]) -> Result<Vec<(Vec<u8>, &str)>, Reason> {
    let raw: &RawValue = serde_json::from_slice(message).map_err(|_| Reason::NotJson)?;
    if !raw.get().starts_with('{') {
        return Err(Reason::NotAnObject);
    }
    let all: Members = serde_json::from_str(raw.get()).expect("an object");
    let mut members: Vec<(Vec<u8>, &str)> = Vec::new();
    for (name, value) in all.0 {
        match members.iter_mut().find(|(earlier, _)| *earlier == name) {
            Some(member) => member.1 = value,
            None => members.push((name, value)),
        }
    }
    Ok(members)
}

/// The members of an object as they come, names as bytes since lone surrogates make no text.
struct Members<'a>(Vec<(Vec<u8>, &'a str)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name(Vec<u8>);
        impl<'de> Deserialize<'de> for Name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Bytes;
                impl Visitor<'_> for Bytes {
                    type Value = Name;
                    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                        f.write_str("a name")
                    }
                    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Name, E> {
                        Ok(Name(bytes.to_vec()))
                    }
                }
                deserializer.deserialize_bytes(Bytes)
            }
        }
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<Name, &RawValue>()? {
                    members.push((name, value.get()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
