//! TOML as the values that serde reads, a table of an array of tables at a time.

use serde_json::{Map, Number, Value as Json};
use toml_edit::{Document, Item, TableLike, Value};

/// One `[[name]]` of a file.
pub(super) struct Entry {
    pub(super) name: String,
    /// The line on which it begins, counted from 1.
    pub(super) line: usize,
    pub(super) value: Json,
}

/// The entries of a file, which may hold nothing else; else why not.
pub(super) fn entries(text: &str) -> Result<Vec<Entry>, String> {
    let document = Document::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line(text, span.start));
        format!("line {line}: {}", error.message())
    })?;
    let mut entries = Vec::new();
    for (name, item) in document.iter() {
        let Item::ArrayOfTables(tables) = item else {
            let line = item.span().map_or(1, |span| line(text, span.start));
            return Err(format!("line {line}: {name} is to be written as [[{name}]]"));
        };
        for table in tables {
            let line = table.span().map_or(1, |span| line(text, span.start));
            let value = object(table).map_err(|reason| format!("line {line}: [[{name}]]: {reason}"))?;
            let name = name.to_owned();
            entries.push(Entry { name, line, value });
        }
    }
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    before.filter(|byte| **byte == b'\n').count() + 1
}

fn object(table: &dyn TableLike) -> Result<Json, String> {
    let mut object = Map::new();
    for (key, item) in table.iter() {
        let value = match item {
            Item::Value(value) => json(value),
            _ => Err(format!("{key} is a table of its own; write it on one line")),
        };
        object.insert(key.to_owned(), value?);
    }
    Ok(Json::Object(object))
}

fn json(value: &Value) -> Result<Json, String> {
    Ok(match value {
        Value::String(text) => Json::String(text.value().clone()),
        Value::Integer(number) => Json::Number((*number.value()).into()),
        Value::Float(number) => {
            let finite = Number::from_f64(*number.value()).ok_or("a number must be finite")?;
            Json::Number(finite)
        }
        Value::Boolean(flag) => Json::Bool(*flag.value()),
        Value::Datetime(_) => return Err("a time has no meaning here".to_owned()),
        Value::Array(values) => Json::Array(values.iter().map(json).collect::<Result<_, _>>()?),
        Value::InlineTable(table) => object(table)?,
    })
}
