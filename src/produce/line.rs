//! What one line of the input is: an event, a canary, a stream's position, or nothing.

use std::borrow::Cow;

use super::recentchange::{self, Recognition};

/// What one line of NDJSON or of a server-sent-events stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line<'a> {
    /// A message for the topic: owned where it was mapped from a recentchange event, else the line's own bytes,
    /// whether they make sense or not: the archiver judges them, not we.
    Message(Cow<'a, [u8]>),
    /// An event by which Wikimedia watches its own streams: left out, but counted.
    Canary,
    /// The stream's place after the event that this belongs to, to be sent as `Last-Event-ID` after a lost connection.
    Position(&'a [u8]),
    /// Nothing for the topic: an empty line, or a comment, an event's name or a retry time of the stream.
    Blank,
}

/// Says what a line is, given without its line end.
pub fn recognise(line: &[u8]) -> Line<'_> {
    match stream_field(line) {
        Some((b"data", payload)) => message(payload),
        Some((b"id", position)) => Line::Position(position),
        Some(_) => Line::Blank,
        None => message(line),
    }
}

fn message(payload: &[u8]) -> Line<'_> {
    if payload.trim_ascii().is_empty() {
        return Line::Blank;
    }
    match recentchange::recognise(payload) {
        Recognition::Change(event) => Line::Message(Cow::Owned(event)),
        Recognition::Canary => Line::Canary,
        Recognition::Other => Line::Message(Cow::Borrowed(payload)),
    }
}

/// The name and value of a server-sent event's field; a comment has no name. JSON never begins like any of them.
fn stream_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    const FIELDS: [&[u8]; 5] = [b"", b"data", b"event", b"id", b"retry"];
    let colon = line.iter().take(6).position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    FIELDS
        .contains(&name)
        .then(|| (name, value.strip_prefix(b" ").unwrap_or(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHANGE: &str = r#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{"domain":"en.wikipedia.org"},"type":"edit","timestamp":1720931936,"server_name":"en.wikipedia.org"}"#;
    const MAPPED: &str = r#"{"timestamp":1720931936,"server_name":"en.wikipedia.org","type":"edit","bytes_changed":null,"is_new_page":false,"language":"en","project":"wikipedia"}"#;

    fn as_it_is(line: &[u8]) -> Line<'_> {
        Line::Message(Cow::Borrowed(line))
    }

    fn is_as_it_is(line: &[u8]) -> bool {
        matches!(recognise(line), Line::Message(Cow::Borrowed(bytes)) if bytes == line)
    }

    #[test]
    fn a_change_is_mapped_as_a_line_and_in_a_stream() {
        for line in [
            CHANGE.to_owned(),
            format!("data: {CHANGE}"),
            format!("data:{CHANGE}"),
            format!("  {CHANGE} "),
        ] {
            assert_eq!(
                recognise(line.as_bytes()),
                Line::Message(Cow::Owned(MAPPED.into())),
                "{line}"
            );
        }
    }

    #[test]
    fn a_stream_holds_more_than_events() {
        let position: &[u8] = br#"[{"topic":"eqiad.mediawiki.recentchange","partition":0,"timestamp":1596207527001}]"#;
        assert_eq!(
            recognise(&[b"id: ", position].concat()),
            Line::Position(position),
            "the place to go on from"
        );
        for line in [
            "",
            " ",
            "\t",
            ":ok",
            ":",
            "event: message",
            "retry: 1000",
            "data:",
            "data: ",
        ] {
            assert_eq!(recognise(line.as_bytes()), Line::Blank, "{line:?}");
        }
    }

    #[test]
    fn whatever_is_no_change_keeps_its_bytes() {
        let lines: [&[u8]; 14] = [
            br#"{"timestamp": 1705334400, "user": "John", "server_name": "en.wikipedia.org", "wiki": "enwiki", "type": "edit", "bytes_changed": 500, "is_bot": false}"#,
            br#" {"timestamp":"1705334400"}  "#,
            br#"{"$schema":"/mediawiki/revision/create/2.0.0","meta":{"domain":"canary"},"database":"enwiki"}"#,
            br#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{},"bytes_changed":5}"#,
            br#"{"$schema":"/mediawiki/recentchange/1.0.0","meta":{"domain":"en.wiki"#,
            br#"{"$schema":"/mediawiki/recentchange/1.0.0"} {}"#,
            b"{\"$schema\":\"/mediawiki/recentchange/1.0.0\",\"parsedcomment\":\"\xff\"}",
            br#"[{"$schema":"/mediawiki/recentchange/1.0.0"}]"#,
            b"null",
            b"oops",
            b"\xff\xfe",
            b"idle: no field of a stream",
            b"database: neither",
            b"\0",
        ];
        for line in lines {
            assert!(is_as_it_is(line), "{}", String::from_utf8_lossy(line));
        }
        assert_eq!(recognise(b"data: oops "), as_it_is(b"oops "));
        assert_eq!(recognise(b"data:  oops"), as_it_is(b" oops"));
    }

    #[test]
    fn nesting_of_any_depth_is_fine() {
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        assert!(is_as_it_is(deep.as_bytes()));
        assert!(is_as_it_is(&vec![b'['; 1_000_000]));
        let nested = CHANGE.replacen('{', &format!(r#"{{"log_params":{deep},"#), 1);
        let Line::Message(Cow::Owned(event)) = recognise(nested.as_bytes()) else {
            panic!("not mapped");
        };
        let held = format!(r#""log_params":{deep}"#);
        assert!(String::from_utf8_lossy(&event).contains(&held));
    }

    proptest! {
        #[test]
        fn no_bytes_are_judged(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let blank = line.trim_ascii().is_empty() || stream_field(&line).is_some();
            prop_assert!(blank || is_as_it_is(&line));
        }

        #[test]
        fn a_change_cut_short_or_damaged_is_passed_on(at in 0..CHANGE.len(), byte in any::<u8>()) {
            let cut = &CHANGE.as_bytes()[..at];
            prop_assert!(cut.is_empty() || is_as_it_is(cut));
            let mut damaged = CHANGE.as_bytes().to_vec();
            damaged[at] = byte;
            match recognise(&damaged) {
                Line::Message(Cow::Borrowed(bytes)) => prop_assert_eq!(bytes, &damaged[..]),
                Line::Message(Cow::Owned(event)) => {
                    prop_assert!(serde_json::from_slice::<Box<serde_json::value::RawValue>>(&event).is_ok());
                }
                other => prop_assert!(at == 0, "{:?}", other),
            }
        }

        #[test]
        fn an_event_of_ours_keeps_its_bytes(title in "\\PC{0,40}", bytes in any::<i64>(), spaces in " {0,3}") {
            let event = format!(r#"{spaces}{{"title":{title:?},{spaces}"bytes_changed":{bytes}}}{spaces}"#);
            prop_assert!(is_as_it_is(event.as_bytes()));
        }
    }
}
