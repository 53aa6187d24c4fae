//! The history over lakes in a temporary folder.

mod expectations;
mod figures;
mod kept_rollup;
mod news;
mod publish_lake;
mod reading;
mod sums;
mod views;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, Datelike, Utc};
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use deltalake_core::kernel::Action;
use proptest::prelude::*;

use super::publish::write_operation;
use super::rollup::{Grain, ROLLUP_SQL, SERVER_UNIQUE_USERS_SQL};
use super::tables::compute;
use super::{HISTORY_TABLES, HistoryError, TableRows, Window, compute_tables, session};
use crate::config::LakeSettings;
use crate::lake::datafile::{self, NewFile, writer_properties};
use crate::lake::snapshot::AsOf;
use crate::lake::{CommitOutcome, Lake, LakeError, RAW_EVENTS, TableSnapshot, TableWriter};

/// 2015-09-13T00:00:00Z.
const NOW: i64 = 1_442_102_400;
const HOUR: i64 = 3600;

#[derive(Debug, Clone, Default, PartialEq)]
struct Event {
    timestamp: i64,
    user: Option<&'static str>,
    server_name: Option<&'static str>,
    bytes_changed: Option<i64>,
    is_bot: Option<bool>,
    is_new_page: Option<bool>,
    language: Option<&'static str>,
    project: Option<&'static str>,
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap()
}

fn two_days() -> Window {
    Window::before(now(), 2)
}

fn lake_in(folder: &tempfile::TempDir) -> Lake {
    Lake::open(&settings_of(folder)).unwrap()
}

fn settings_of(folder: &tempfile::TempDir) -> LakeSettings {
    LakeSettings::of_path(folder.path().to_str().unwrap())
}

fn batch(events: &[Event]) -> RecordBatch {
    let text = |field: fn(&Event) -> Option<&'static str>| -> ArrayRef {
        Arc::new(events.iter().map(field).collect::<StringArray>())
    };
    let flag = |field: fn(&Event) -> Option<bool>| -> ArrayRef {
        Arc::new(events.iter().map(field).collect::<BooleanArray>())
    };
    let number =
        |field: fn(&Event) -> Option<i64>| -> ArrayRef { Arc::new(events.iter().map(field).collect::<Int64Array>()) };
    RecordBatch::try_from_iter_with_nullable([
        ("timestamp", number(|event| Some(event.timestamp)), true),
        ("user", text(|event| event.user), true),
        ("server_name", text(|event| event.server_name), true),
        ("bytes_changed", number(|event| event.bytes_changed), true),
        ("is_bot", flag(|event| event.is_bot), true),
        ("is_new_page", flag(|event| event.is_new_page), true),
        ("language", text(|event| event.language), true),
        ("project", text(|event| event.project), true),
    ])
    .unwrap()
}

/// The table's columns: those of an event, and the partition columns among them, not last.
fn raw_schema() -> SchemaRef {
    let mut fields: Vec<Field> = vec![
        Field::new("year", DataType::Int32, true),
        Field::new("month", DataType::Int32, true),
    ];
    let columns = batch(&[]).schema();
    fields.extend(columns.fields().iter().map(|field| field.as_ref().clone()));
    Arc::new(Schema::new(fields))
}

/// Adds the events to raw_events, in as many files as there are months among them.
async fn archive(lake: &Lake, events: &[Event]) {
    let mut writer = TableWriter::open_or_create(lake, RAW_EVENTS, &raw_schema(), &["year", "month"])
        .await
        .unwrap();
    let month = |event: &Event| {
        let time = DateTime::from_timestamp(event.timestamp, 0).unwrap();
        (time.year(), time.month())
    };
    let mut months: Vec<_> = events.iter().map(month).collect();
    months.sort_unstable();
    months.dedup();
    let mut actions = Vec::new();
    for (year, number) in months {
        let of_month: Vec<_> = events
            .iter()
            .filter(|event| month(event) == (year, number))
            .cloned()
            .collect();
        let file = NewFile {
            path: format!("year={year}/month={number:02}/{}.parquet", uuid::Uuid::new_v4()),
            partition_values: vec![
                ("year".to_owned(), year.to_string()),
                ("month".to_owned(), number.to_string()),
            ],
            tags: Vec::new(),
            batch: batch(&of_month),
            properties: writer_properties().build(),
        };
        actions.push(Action::Add(datafile::write(lake, RAW_EVENTS, file).await.unwrap()));
    }
    let outcome = writer
        .commit(actions, Vec::new(), write_operation(false))
        .await
        .unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)));
}

async fn raw_events(lake: &Lake) -> TableSnapshot {
    TableSnapshot::load(lake, RAW_EVENTS, AsOf::Newest)
        .await
        .unwrap()
        .unwrap()
}

/// Each grain of the rollup, and what is computed of them for a window, by the SQL that defines it.
async fn grains_by_sql(events: &[Event], window: &Window) -> SessionContext {
    let ctx = session().unwrap();
    let add = |name: &str, batches: Vec<RecordBatch>| {
        let table = MemTable::try_new(batches[0].schema(), vec![batches]).unwrap();
        ctx.register_table(name, Arc::new(table)).unwrap();
    };
    add("events", vec![batch(events)]);
    let second = |second: i64| ScalarValue::Int64(Some(second));
    let edges = vec![
        ("first", second(window.first_second())),
        ("last", second(window.last_second())),
    ];
    let sums = [("rollup", ROLLUP_SQL)];
    let grains = [
        Grain::HourUsers,
        Grain::Users,
        Grain::ServerUsers,
        Grain::Places,
        Grain::Hours,
    ]
    .into_iter()
    .filter_map(|grain| Some((grain.name(), grain.sql()?)));
    let windows = [("server_unique_users", SERVER_UNIQUE_USERS_SQL)];
    for (name, sql) in sums.into_iter().chain(grains).chain(windows) {
        let frame = ctx.sql(sql).await.unwrap();
        let frame = if name == "rollup" {
            frame.with_param_values(edges.clone()).unwrap()
        } else {
            frame
        };
        let empty = RecordBatch::new_empty(Arc::new(frame.schema().as_arrow().clone()));
        let rows = frame.collect().await.unwrap();
        add(name, [vec![empty], rows].concat());
    }
    ctx
}

/// The tables over events in memory.
async fn computed_within(events: &[Event], window: &Window) -> Result<Vec<TableRows>, HistoryError> {
    let ctx = grains_by_sql(events, window).await;
    let mut all = Vec::new();
    for table in &HISTORY_TABLES {
        all.push(compute(&ctx, table).await?);
    }
    Ok(all)
}

async fn computed(events: &[Event]) -> Result<Vec<TableRows>, HistoryError> {
    computed_within(events, &two_days()).await
}

/// Events that are hard on the tables, most of them in the two days before now.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let text = || {
        prop::sample::select(vec![
            None,
            Some(""),
            Some("a"),
            Some("A"),
            Some("ä"),
            Some("a\u{308}"),
            Some("𝄞"),
            Some("\u{FFFD}"),
        ])
    };
    let flag = || prop::option::of(any::<bool>());
    let time = prop_oneof![
        Just(NOW),
        Just(NOW + 1),
        Just(NOW - 48 * HOUR),
        Just(NOW - 48 * HOUR - 1),
        (0..40_i64, 0..HOUR).prop_map(|(hour, second)| NOW - hour * hour * HOUR / 32 - second),
    ];
    let bytes = prop::option::of(prop_oneof![-5..5_i64, -1_000_000_000_000..1_000_000_000_000_i64]);
    let event = (time, text(), text(), bytes, flag(), flag(), text(), text()).prop_map(
        |(timestamp, user, server_name, bytes_changed, is_bot, is_new_page, language, project)| Event {
            timestamp,
            user,
            server_name,
            bytes_changed,
            is_bot,
            is_new_page,
            language,
            project,
        },
    );
    prop::collection::vec(event, 1..120)
}

async fn tables_of(lake: &Lake) -> Vec<TableRows> {
    compute_tables(lake, &raw_events(lake).await, &two_days(), &|_| ())
        .await
        .unwrap()
        .1
}

/// Rows as text, a column after the other, ␀ for null.
fn lines(rows: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("␀");
    let columns: Vec<_> = rows
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    (0..rows.num_rows())
        .map(|row| {
            let cells: Vec<_> = columns.iter().map(|column| column.value(row).to_string()).collect();
            cells.join("|")
        })
        .collect()
}

fn text(rows: &TableRows) -> Vec<String> {
    lines(&rows.batch)
}

fn texts(all: &[TableRows]) -> Vec<Vec<String>> {
    all.iter().map(text).collect()
}
