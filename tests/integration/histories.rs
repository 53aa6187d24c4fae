//! Whatever history a seed draws, of files, late events, runs over whole and partial windows, what `lakebed process` has
//! published is what DuckDB computes straight from the events of the window.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use chrono::{DateTime, SecondsFormat};
use lakebed::config::LakeSettings;
use lakebed::demo::random::Random;
use lakebed::lake::Lake;
use serde_json::json;

use crate::support::history::add_file;
use crate::support::oracle::others_compute_the_same;
use crate::support::parallel;
use crate::support::program::{json, lakebed};

const NOW: i64 = 1_768_608_000;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const SEEDS: std::ops::Range<u64> = 0..6;
/// Runs in one history.
const RUNS: u64 = 5;

#[test]
fn whatever_history_a_seed_draws_the_tables_are_those_of_its_events() {
    parallel::each(SEEDS.collect(), 2, |seed| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(history(seed));
    });
}

async fn history(seed: u64) {
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().to_str().expect("UTF-8");
    let lake = Lake::open(&LakeSettings::of_path(place)).expect("a lake");
    // Spark passes over files whose names begin with a dot.
    let mut written = tempfile::Builder::new()
        .prefix("events-")
        .suffix(".ndjson")
        .tempfile()
        .expect("a file");
    // The columns of the first file are those of the table.
    add(&lake, &mut written, edits(&mut random, 400), &COLUMNS).await;
    for _ in 0..RUNS {
        for _ in 0..random.below(4) {
            let count = 1 + random.below(300);
            let events = edits(&mut random, count);
            let columns: Vec<&str> = COLUMNS.into_iter().filter(|_| random.percent(90)).collect();
            add(&lake, &mut written, events, &columns).await;
        }
        written.flush().expect("room on the disk");
        let Window { arguments, first, last } = window(&mut random);
        let mut process = lakebed(&["process", "--validate", "--format", "json"]);
        process.args(&arguments).env("DATA_LAKE_PATH", place);
        process.args(random.percent(15).then_some("--full"));
        let report = json(&mut process);
        assert_eq!(report["outcome"], json!("published"), "seed {seed}, {arguments:?}");
        let events = written.path().to_str().expect("UTF-8");
        eprintln!(
            "seed {seed}: {arguments:?}, {} events, {}",
            report["events_read"], report["rollup"]["state"]
        );
        others_compute_the_same(events, first, last, |query| {
            query.env("DATA_LAKE_PATH", place);
        });
    }
}

const COLUMNS: [&str; 7] = [
    "user",
    "server_name",
    "bytes_changed",
    "is_bot",
    "is_new_page",
    "language",
    "project",
];

/// An event's values as JSON has them, by column.
type Edit = BTreeMap<&'static str, serde_json::Value>;

/// Events as hard on the tables as a few hundred can be: nulls everywhere, users and servers of which few have most, ties,
/// empty hours, edges of hours and days, some months.
fn edits(random: &mut Random, count: u64) -> Vec<Edit> {
    let around = NOW - random.skewed_below(90) as i64 * DAY;
    (0..count)
        .map(|_| {
            let second = match random.below(8) {
                0 => -(random.below(72) as i64) * HOUR,
                1 => -(random.below(5) as i64) * DAY - random.below(2) as i64,
                2 => random.below(2) as i64,
                _ => -(random.skewed_below(4 * 86_400) as i64),
            };
            let user = random.skewed_below(250);
            let server = random.skewed_below(80);
            let mut edit = Edit::from([("timestamp", json!(around + second))]);
            let mut put = |column, value: serde_json::Value, random: &mut Random| {
                if !random.percent(5) {
                    edit.insert(column, value);
                }
            };
            let names = [
                "User",
                "user",
                "Ü",
                "U\u{308}",
                "a name that is too long to be held in a few bytes",
            ];
            put("user", json!(format!("{} {user}", names[(user % 5) as usize])), random);
            put("server_name", json!(format!("s{server}.example.org")), random);
            put("bytes_changed", json!(random.length() - 2000), random);
            put("is_bot", json!(random.percent(30)), random);
            put("is_new_page", json!(random.percent(10)), random);
            put("language", json!(format!("l{}", server % 30)), random);
            put(
                "project",
                json!(if server.is_multiple_of(3) {
                    "wikidata"
                } else {
                    "wikipedia"
                }),
                random,
            );
            edit
        })
        .collect()
}

/// Adds a file with these columns of the events, and the events, as far as the file has them, to the oracle's.
async fn add(lake: &Lake, written: &mut tempfile::NamedTempFile, mut edits: Vec<Edit>, columns: &[&str]) {
    for edit in &mut edits {
        edit.retain(|column, _| *column == "timestamp" || columns.contains(column));
        writeln!(written, "{}", json!(edit)).expect("room on the disk");
    }
    let numbers = |column| -> ArrayRef {
        let values = edits
            .iter()
            .map(|edit| edit.get(column).and_then(serde_json::Value::as_i64));
        Arc::new(values.collect::<Int64Array>())
    };
    let texts = |column| -> ArrayRef {
        let values = edits
            .iter()
            .map(|edit| edit.get(column).and_then(serde_json::Value::as_str));
        Arc::new(values.collect::<StringArray>())
    };
    let flags = |column| -> ArrayRef {
        let values = edits
            .iter()
            .map(|edit| edit.get(column).and_then(serde_json::Value::as_bool));
        Arc::new(values.collect::<BooleanArray>())
    };
    let arrays = columns.iter().map(|column| {
        let array = match *column {
            "bytes_changed" => numbers(column),
            "is_bot" | "is_new_page" => flags(column),
            _ => texts(column),
        };
        (*column, array, true)
    });
    let all = [("timestamp", numbers(&"timestamp"), true)].into_iter().chain(arrays);
    add_file(lake, RecordBatch::try_from_iter_with_nullable(all).expect("a batch")).await;
}

/// A window, as the program is told it and as seconds, both ends included.
struct Window {
    arguments: Vec<String>,
    first: i64,
    last: i64,
}

fn window(random: &mut Random) -> Window {
    let time = |second| {
        let time = DateTime::from_timestamp(second, 0).expect("a time");
        time.to_rfc3339_opts(SecondsFormat::Secs, true)
    };
    let named = |arguments: &[&str]| arguments.iter().map(|text| (*text).to_owned()).collect();
    if random.percent(60) {
        let (days, last) = (
            random.pick(&[1, 2, 7, 100]),
            NOW - random.pick(&[0, 0, 0, 1, 2000, HOUR, 30 * HOUR]),
        );
        return Window {
            arguments: named(&["--days", &days.to_string(), "--now", &time(last)]),
            first: last - days * DAY,
            last,
        };
    }
    let first = NOW - random.skewed_below(90 * 86_400) as i64;
    let last = first + random.skewed_below(20 * 86_400) as i64;
    Window {
        arguments: named(&["--from", &time(first), "--to", &time(last)]),
        first,
        last,
    }
}
