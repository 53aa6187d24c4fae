//! Wikimedia's recentchange events, as the stream sends them, turned into lakebed's (contract, section 8).
//!
//! Values are never parsed further than the mapping needs: numbers and nested objects pass through as their own text.

mod members;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde_json::value::RawValue;

use self::members::Members;

/// What a line turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recognition {
    /// A recentchange event, mapped: one compact JSON object.
    Change(Vec<u8>),
    /// A recentchange event that Wikimedia made up to watch its stream.
    Canary,
    /// Anything else, broken JSON too.
    Other,
}

/// Recognises and maps a recentchange event.
///
/// It is an object whose `$schema` (or whose `meta`, in recordings older than that field) names recentchange, or that
/// names nothing but has a `meta` object, `server_name`, `wiki` and `type`. Whatever has `is_bot` or `bytes_changed`
/// was mapped before.
pub fn recognise(line: &[u8]) -> Recognition {
    let change = std::str::from_utf8(line)
        .ok()
        .and_then(|line| Members::read(line, &CHANGE));
    let Some(change) = change else {
        return Recognition::Other;
    };
    let meta = change.get("meta").and_then(|meta| Members::read(meta.get(), &META));
    if !is_change(&change, meta.as_ref()) {
        return Recognition::Other;
    }
    let domain = meta.and_then(|meta| meta.get("domain")).and_then(string);
    if domain.as_deref() == Some("canary") {
        return Recognition::Canary;
    }
    Recognition::Change(event(&change))
}

/// The members of a recentchange event that are looked at; a name missing here is never found below.
const CHANGE: [&str; 19] = [
    "$schema",
    "meta",
    "timestamp",
    "user",
    "title",
    "server_name",
    "type",
    "bot",
    "length",
    "log_params",
    "id",
    "wiki",
    "namespace",
    "comment",
    "minor",
    "patrolled",
    "revision",
    "is_bot",
    "bytes_changed",
];
const META: [&str; 4] = ["stream", "topic", "schema_uri", "domain"];
const SIDES: [&str; 2] = ["old", "new"];

fn is_change(change: &Members<'_>, meta: Option<&Members<'_>>) -> bool {
    let has = |name| change.get(name).is_some();
    if has("is_bot") || has("bytes_changed") {
        return false;
    }
    let in_meta = |name| meta.and_then(|meta| meta.get(name));
    let names = [
        change.get("$schema"),
        in_meta("stream"),
        in_meta("topic"),
        in_meta("schema_uri"),
    ];
    if names.iter().any(Option::is_some) {
        let mut names = names.into_iter().flatten().filter_map(string);
        return names.any(|name| name.contains("recentchange"));
    }
    meta.is_some() && has("server_name") && has("wiki") && has("type")
}

fn event(change: &Members<'_>) -> Vec<u8> {
    let is_new_page = change.get("type").and_then(string).as_deref() == Some("new");
    let server_name = change.get("server_name").and_then(string);
    let mut labels = server_name.as_deref().unwrap_or_default().split('.');
    let language = labels.next().filter(|label| *label != "www");
    let project = labels.next();
    let length = change
        .get("length")
        .and_then(|length| Members::read(length.get(), &SIDES));
    let revision = change
        .get("revision")
        .and_then(|revision| Members::read(revision.get(), &SIDES));
    let revision_id = |side| revision.as_ref().and_then(|revision| revision.get(side));

    let mut event = Event::default();
    event.keep("timestamp", change.get("timestamp"));
    event.keep("user", change.get("user"));
    event.keep("title", change.get("title"));
    event.keep("server_name", change.get("server_name"));
    event.keep("type", change.get("type"));
    event.put(
        "bytes_changed",
        &length
            .and_then(|length| growth(&length))
            .map_or(NULL, |bytes| bytes.to_string().into()),
    );
    event.keep("is_bot", change.get("bot"));
    event.put("is_new_page", if is_new_page { "true" } else { "false" });
    event.put("language", &quoted(language));
    event.put("project", &quoted(project));
    event.keep("log_params", change.get("log_params"));
    for name in ["id", "wiki", "namespace", "comment", "minor", "patrolled"] {
        event.keep(name, change.get(name));
    }
    event.keep("revision_old", revision_id("old"));
    event.keep("revision_new", revision_id("new"));
    event.finish()
}

/// How much longer the page became; a side that is missing or null counts 0. None where a side is no integer.
///
/// Wider than the lake's column, so that a difference that does not fit is kept there as it is.
fn growth(length: &Members<'_>) -> Option<i128> {
    let side = |name| match length.get(name).map(RawValue::get) {
        None | Some("null") => Some(0),
        Some(text) => serde_json::from_str::<i128>(text).ok(),
    };
    side("new")?.checked_sub(side("old")?)
}

/// The text of a JSON string.
fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(serde::Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str(value.get()).ok().map(|Text(text)| text)
}

/// A label as JSON; null where it is missing or empty.
fn quoted(label: Option<&str>) -> Cow<'static, str> {
    match label {
        None | Some("") => NULL,
        Some(label) => serde_json::Value::from(label).to_string().into(),
    }
}

const NULL: Cow<'static, str> = Cow::Borrowed("null");

/// A JSON object in the making; names need no escapes.
#[derive(Default)]
struct Event(String);

impl Event {
    fn put(&mut self, name: &str, json: &str) {
        let begin = if self.0.is_empty() { '{' } else { ',' };
        self.0.push(begin);
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
        self.0.push_str(json);
    }

    fn keep(&mut self, name: &str, value: Option<&RawValue>) {
        if let Some(value) = value {
            self.put(name, value.get());
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.push('}');
        self.0.into_bytes()
    }
}
