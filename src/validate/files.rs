//! The rows of raw_events: by what the table's log says of each file where that settles it, else by the rows themselves.

use arrow::array::{Array, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, SecondsFormat};
use futures::{StreamExt, TryStreamExt, stream};
use parquet::errors::ParquetError;
use serde_json::json;

use super::rules::{Found, RULES, Rule};
use crate::archive::month::Month;
use crate::event::{OFFSET, PARTITION, TIMESTAMP};
use crate::history::HistoryError;
use crate::history::expectations::{CheckResult, Row};
use crate::lake::object::ParquetObject;
use crate::lake::{DataFile, Lake, RAW_EVENTS, TableSnapshot};
use crate::quality::Progress;
use crate::quality::places::{Unread, unread};

/// Files that are read at a time.
const PARALLEL_FILES: usize = 4;

/// The timestamps that events may have, epoch seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) oldest: i64,
    pub(super) newest: i64,
}

/// What came of it.
pub(super) struct Read {
    pub(super) results: Vec<CheckResult>,
    /// Files that were read.
    pub(super) files_read: u64,
}

/// Which of the rules a table can be held to.
fn applies(rule: Rule, events: &TableSnapshot) -> bool {
    let has = |column: &str| events.schema.field_with_name(column).is_ok();
    // A plain Parquet lake has the columns that its writer gave it.
    match rule {
        _ if events.version.is_some() => true,
        Rule::Timestamp | Rule::Limits => true,
        Rule::Partition => has(PARTITION),
        Rule::Offset => has(OFFSET),
        Rule::Folder => has("year") && has("month"),
    }
}

/// Checks each file of the table.
pub(super) async fn check(
    lake: &Lake,
    events: &TableSnapshot,
    limits: Limits,
    progress: &dyn Progress,
) -> Result<Read, HistoryError> {
    let rules: Vec<Rule> = RULES.into_iter().filter(|rule| applies(*rule, events)).collect();
    let unsettled: Vec<&DataFile> = events
        .files
        .iter()
        .filter(|file| !is_settled(file, &rules, limits))
        .collect();
    let total = unsettled.len() as u64;
    let mut found = Found::default();
    let mut reading = stream::iter(unsettled.iter().copied())
        .map(|file| {
            let rules = &rules;
            async move { (file, read(lake, file, rules, limits).await) }
        })
        .buffered(PARALLEL_FILES);
    let mut files_read = 0;
    while let Some((file, done)) = reading.next().await {
        match done {
            Ok(of_file) => found.add(of_file),
            Err(Unread::Damaged(reason)) => found.unreadable(file, &reason),
            Err(Unread::Store(error)) => return Err(error.into()),
        }
        files_read += 1;
        progress.read(files_read, total);
    }
    drop(reading);
    let mut results: Vec<CheckResult> = RULES
        .into_iter()
        .map(|rule| match rules.contains(&rule) {
            true => found.result(rule),
            false => CheckResult::not_checked(
                RAW_EVENTS,
                rule.name(),
                "a plain Parquet lake has the columns and folders that its writer gave it",
            ),
        })
        .collect();
    results.push(found.readable());
    Ok(Read { results, files_read })
}

/// Whether what the table's log says of a file shows that all its rows are as expected.
fn is_settled(file: &DataFile, rules: &[Rule], limits: Limits) -> bool {
    if file.rows == Some(0) {
        return true;
    }
    let Some((oldest, newest)) = file.timestamps else {
        return false;
    };
    rules.iter().all(|rule| match rule {
        Rule::Timestamp => file.nulls.timestamp == Some(0),
        Rule::Partition => file.nulls.partition == Some(0),
        Rule::Offset => file.nulls.offset == Some(0),
        Rule::Limits => limits.oldest <= oldest && newest <= limits.newest,
        Rule::Folder => month_of(file).is_some_and(|month| Month::of(oldest) == month && Month::of(newest) == month),
    })
}

/// The month of a file's partition values and of its folder, which readers without the log go by; none where the two
/// are not the same.
fn month_of(file: &DataFile) -> Option<Month> {
    let value = |name: &str| file.partition_values.get(name)?.as_ref()?.parse().ok();
    let by_log = Month {
        year: value("year")?,
        month: u32::try_from(value("month")?).ok()?,
    };
    let parts: Vec<_> = file.path.parts().collect();
    let part = |name: &str| -> Option<i32> {
        let mut values = parts
            .iter()
            .rev()
            .filter_map(|part| part.as_ref().strip_prefix(name)?.strip_prefix('='));
        values.next()?.parse().ok()
    };
    let by_folder = Month {
        year: part("year")?,
        month: u32::try_from(part("month")?).ok()?,
    };
    (by_log == by_folder).then_some(by_log)
}

/// Reads the rows of a file, a batch at a time.
async fn read(lake: &Lake, file: &DataFile, rules: &[Rule], limits: Limits) -> Result<Found, Unread> {
    let work = async {
        let object = ParquetObject::new(lake, &file.path, file.size);
        let mut batches = object.read(&[TIMESTAMP, PARTITION, OFFSET]).await?;
        let mut found = Found::default();
        while let Some(batch) = batches.try_next().await? {
            judge(&batch, file, rules, limits, &mut found)?;
        }
        Ok(found)
    };
    match work.await {
        Ok(found) => Ok(found),
        Err(ParquetError::External(source)) if source.downcast_ref::<object_store::Error>().is_some() => {
            Err(unread(lake, &file.path, source.to_string()).await)
        }
        Err(error) => Err(Unread::Damaged(error.to_string())),
    }
}

fn judge(
    batch: &RecordBatch,
    file: &DataFile,
    rules: &[Rule],
    limits: Limits,
    found: &mut Found,
) -> Result<(), ParquetError> {
    let [timestamps, partitions, offsets] = [
        numbers(batch, TIMESTAMP)?,
        numbers(batch, PARTITION)?,
        numbers(batch, OFFSET)?,
    ];
    let month = month_of(file);
    let value = |column: &Int64Array, row: usize| column.is_valid(row).then(|| column.value(row));
    for row in 0..batch.num_rows() {
        let (time, partition, offset) = (value(&timestamps, row), value(&partitions, row), value(&offsets, row));
        for rule in rules {
            let is_met = match rule {
                Rule::Timestamp => time.is_some(),
                Rule::Partition => partition.is_some(),
                Rule::Offset => offset.is_some(),
                Rule::Limits => time.is_none_or(|time| (limits.oldest..=limits.newest).contains(&time)),
                Rule::Folder => time.is_none_or(|time| Some(Month::of(time)) == month),
            };
            if !is_met {
                found.row(*rule, || shown(file, time, partition, offset));
            }
        }
    }
    Ok(())
}

/// A column as integers; one that the file lacks is null.
fn numbers(batch: &RecordBatch, name: &str) -> Result<Int64Array, ParquetError> {
    let Some(column) = batch.column_by_name(name) else {
        return Ok(Int64Array::new_null(batch.num_rows()));
    };
    let column =
        cast(column, &DataType::Int64).map_err(|error| ParquetError::General(format!("its column {name}: {error}")))?;
    Ok(column.as_primitive::<Int64Type>().clone())
}

fn shown(file: &DataFile, time: Option<i64>, partition: Option<i64>, offset: Option<i64>) -> Row {
    let utc = time
        .and_then(|time| DateTime::from_timestamp(time, 0))
        .map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true));
    Row::of([
        (PARTITION, json!(partition)),
        (OFFSET, json!(offset)),
        (TIMESTAMP, json!(time)),
        ("time", json!(utc)),
        ("file", json!(file.path.to_string())),
    ])
}
