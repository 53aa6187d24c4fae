//! What a generated day holds, by reading it back.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;

const START: i64 = 1_705_334_400 + 1234;

fn parsed(message: &Message) -> Option<Value> {
    serde_json::from_slice(message.value.as_ref()?).ok()
}

/// Each message's fields, where it is an event with a timestamp in the day that is written as an integer.
fn events(messages: &[Message]) -> Vec<Value> {
    let in_day = |event: &Value| {
        event["timestamp"]
            .as_i64()
            .is_some_and(|time| (START..START + 86_400).contains(&time))
    };
    messages.iter().filter_map(parsed).filter(in_day).collect()
}

#[test]
fn a_seed_fixes_every_byte() {
    let day_of = |seed| day(seed, 500, START).collect::<Vec<_>>();
    assert_eq!(day_of(7), day_of(7));
    assert_ne!(day_of(7), day_of(8));
}

#[test]
fn any_count_and_start_will_do() {
    for count in [0, 1, 2, 29, 30, 66, 67, 1999, 2000, 2001, 2999] {
        assert_eq!(day(1, count, START).count(), count);
    }
    for start in [i64::MIN, -1, 0, i64::MAX] {
        assert_eq!(day(1, 2000, start).count(), 2000);
    }
}

#[test]
fn all_oddities_come_with_two_thousand() {
    for (seed, count) in [(0, 2000), (1, 2000), (2, 2001), (3, 3000), (4, 20_000), (5, 100_000)] {
        let messages: Vec<Message> = day(seed, count, START).collect();
        let parsed: Vec<Value> = messages.iter().filter_map(parsed).collect();
        let has = |what: &str, test: &dyn Fn(&Value) -> bool| {
            assert!(parsed.iter().any(test), "{what} of {count}");
        };
        has("text", &|event| {
            event["timestamp"]
                .as_str()
                .is_some_and(|time| time.parse::<i64>().is_ok())
        });
        has("Z", &|event| {
            event["timestamp"].as_str().is_some_and(|time| time.ends_with('Z'))
        });
        has("offset", &|event| {
            event["timestamp"].as_str().is_some_and(|time| time.ends_with("+05:30"))
        });
        has("float", &|event| event["timestamp"].is_f64());
        has("bytes", &|event| event["bytes_changed"] == "-42");
        has("no number", &|event| event["bytes_changed"] == "lots");
        has("boolean", &|event| {
            event["is_bot"].is_string() && event["is_new_page"].is_string()
        });
        has("title", &|event| event["title"] == 1984);
        has("hidden", &|event| {
            event.get("user").is_none() && event["is_bot"].is_null()
        });
        has("one label", &|event| {
            event["server_name"] == "localhost" && event["project"].is_null()
        });
        has("params", &|event| event["log_params"].is_string());
        has("field", &|event| event["damage_score"] == 12);
        has("other type", &|event| event["damage_score"] == "high");
        has("nested", &|event| event["performer"].is_object());
        has("unnameable", &|event| event.get("edit count; (total)").is_some());
        has("comment", &|event| {
            event["comment"].as_str().is_some_and(|text| text.len() > 20_000)
        });
        has("list", &|event| event.is_array());
        has("no timestamp", &|event| {
            event.is_object() && event.get("timestamp").is_none()
        });
        has("1970", &|event| {
            event["timestamp"].as_i64().is_some_and(|time| time < 86_400)
        });
        has("ahead", &|event| event["timestamp"] == START + 8 * 86_400);
        has("milliseconds", &|event| {
            event["timestamp"].as_i64().is_some_and(|time| time > START * 900)
        });
        let values: Vec<&[u8]> = messages.iter().filter_map(|message| message.value.as_deref()).collect();
        for (what, test) in [
            ("no JSON", (|value| value.starts_with(b"<html>")) as fn(&[u8]) -> bool),
            ("truncated", |value| value.starts_with(b"{") && !value.ends_with(b"}")),
            ("not UTF-8", |value| {
                value.ends_with(b"}") && std::str::from_utf8(value).is_err()
            }),
            ("empty", <[u8]>::is_empty),
            ("spaced", |value| {
                value.contains(&b'\n') && serde_json::from_slice::<Value>(value).is_ok()
            }),
        ] {
            assert!(values.iter().any(|value| test(value)), "{what} of {count}");
        }
        assert!(count - values.len() >= 2, "tombstones of {count}");
    }
}

#[test]
fn few_are_broken() {
    let count = 100_000;
    let messages: Vec<Message> = day(9, count, START).collect();
    let broken = messages
        .iter()
        .filter(|message| message.key.is_some() && message.value.is_some())
        .count();
    assert!((270..330).contains(&broken), "{broken}");
    let tombstones = messages.iter().filter(|message| message.value.is_none()).count();
    assert!((50..90).contains(&tombstones), "{tombstones}");
    assert!(events(&messages).len() > count - 2000);
}

#[test]
fn one_hour_is_empty_and_a_few_events_are_late() {
    let events = events(&day(3, 20_000, START).collect::<Vec<_>>());
    let times: Vec<i64> = events.iter().filter_map(|event| event["timestamp"].as_i64()).collect();
    let hours: BTreeSet<i64> = times.iter().map(|time| time.div_euclid(3600)).collect();
    assert_eq!(hours.len(), 24, "25 hours are touched");
    let late = times.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!((200..800).contains(&late), "{late}");
}

#[test]
fn the_day_looks_like_wikipedia() {
    let events = events(&day(3, 20_000, START).collect::<Vec<_>>());
    let count_by = |name: &str| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for event in &events {
            *counts.entry(event[name].to_string()).or_default() += 1;
        }
        counts
    };
    assert!(
        count_by("server_name").len() > 60,
        "the fifty largest are fewer than all"
    );
    let (users, bots) = (count_by("user"), count_by("is_bot"));
    assert!(
        users.len() > 1500 && users["\"SchlurcherBot\""] > 1000,
        "{} users",
        users.len()
    );
    assert!((3000..8000).contains(&bots["true"]), "{bots:?}");
    assert_eq!(count_by("type").len(), 4);
    for (what, test) in [
        (
            "null bytes",
            (|event| event["bytes_changed"].is_null()) as fn(&Value) -> bool,
        ),
        ("negative bytes", |event| {
            event["bytes_changed"].as_i64().is_some_and(|bytes| bytes < 0)
        }),
        ("null language", |event| {
            event["language"].is_null() && event["project"] == "wikidata"
        }),
        ("log_params", |event| event["log_params"].is_object()),
        ("new pages", |event| {
            event["is_new_page"] == true && event["revision_old"].is_null()
        }),
    ] {
        let found = events.iter().filter(|event| test(event)).count();
        assert!(found > 500, "{what}: {found}");
    }
}
