//! The statistics that stand beside each file in a table's log, by which readers leave files out.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::{max, min};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

/// Characters of a string that a bound keeps.
const BOUND_CHARACTERS: usize = 32;

/// The statistics of a batch as Delta's log holds them: a JSON object with numRecords, minValues, maxValues, nullCount.
pub(super) fn statistics(batch: &RecordBatch) -> String {
    let (mut mins, mut maxs, mut nulls) = (Map::new(), Map::new(), Map::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        nulls.insert(field.name().clone(), column.null_count().into());
        if let Some((low, high)) = bounds(column) {
            mins.insert(field.name().clone(), low);
            maxs.insert(field.name().clone(), high);
        }
    }
    json!({"numRecords": batch.num_rows(), "minValues": mins, "maxValues": maxs, "nullCount": nulls}).to_string()
}

/// The smallest and largest value; none where there is none, or none that a reader could trust.
fn bounds(column: &ArrayRef) -> Option<(Value, Value)> {
    match column.data_type() {
        DataType::Int32 => {
            let values = column.as_primitive::<Int32Type>();
            Some((min(values)?.into(), max(values)?.into()))
        }
        DataType::Int64 => {
            let values = column.as_primitive::<Int64Type>();
            Some((min(values)?.into(), max(values)?.into()))
        }
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>();
            let (low, high) = (min(values)?, max(values)?);
            (low.is_finite() && high.is_finite()).then(|| (low.into(), high.into()))
        }
        DataType::Utf8 => {
            let (low, high) = string_bounds(column.as_string())?;
            Some((low_string(low), high_string(high)?))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let values = column.as_primitive::<TimestampMicrosecondType>();
            // Bounds are written in milliseconds, so the upper one is rounded up.
            Some((
                time(min(values)?.div_euclid(1000))?,
                time(max(values)?.div_euclid(1000) + 1)?,
            ))
        }
        _ => None,
    }
}

/// The smallest and the largest, in one pass.
fn string_bounds(values: &StringArray) -> Option<(&str, &str)> {
    let mut values = values.iter().flatten().map(|value| (beginning(value), value));
    let first = values.next()?;
    // What equals the smallest, as all do in many a column, need not be compared with the largest.
    let (low, high) = values.fold((first, first), |(low, high), value| match value.cmp(&low) {
        Ordering::Less => (value, high),
        Ordering::Greater if value > high => (low, value),
        Ordering::Equal | Ordering::Greater => (low, high),
    });
    Some((low.1, high.1))
}

/// A number made of a text's first bytes, whose order is that of texts wherever it tells two apart: most are, by their
/// beginnings, and numbers are compared in no time.
fn beginning(value: &str) -> u64 {
    let bytes = value.as_bytes();
    match bytes.first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => (0..8).fold(0, |number, place| {
            number << 8 | u64::from(bytes.get(place).copied().unwrap_or_default())
        }),
    }
}

fn low_string(value: &str) -> Value {
    value.chars().take(BOUND_CHARACTERS).collect::<String>().into()
}

/// A long string's bound must lie above it: its first characters, the last that can grow grown by one.
fn high_string(value: &str) -> Option<Value> {
    if value.chars().nth(BOUND_CHARACTERS).is_none() {
        return Some(value.into());
    }
    let mut kept: Vec<char> = value.chars().take(BOUND_CHARACTERS).collect();
    while let Some(last) = kept.pop() {
        if let Some(next) = next_character(last) {
            kept.push(next);
            return Some(kept.into_iter().collect::<String>().into());
        }
    }
    None
}

fn next_character(character: char) -> Option<char> {
    match character {
        char::MAX => None,
        // The surrogates between these two are no characters.
        '\u{D7FF}' => Some('\u{E000}'),
        _ => char::from_u32(u32::from(character) + 1),
    }
}

fn time(millis: i64) -> Option<Value> {
    let time = DateTime::from_timestamp_millis(millis)?;
    Some(time.to_rfc3339_opts(SecondsFormat::Millis, true).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_smallest_and_the_largest_are_found(values in prop::collection::vec("[\0ab]{0,12}|\\PC{0,12}", 0..6)) {
            let array = StringArray::from_iter_values(&values);
            let found = string_bounds(&array);
            let bounds = values.iter().min().zip(values.iter().max());
            prop_assert_eq!(found, bounds.map(|(low, high)| (low.as_str(), high.as_str())));
        }

        #[test]
        fn a_string_lies_between_its_bounds(value in "\\PC{0,80}|[\u{10FFFF}]{30,40}|.{0,60}") {
            let low = low_string(&value);
            prop_assert!(low.as_str().is_some_and(|low| low <= value.as_str()));
            if let Some(high) = high_string(&value) {
                prop_assert!(high.as_str().is_some_and(|high| high >= value.as_str()));
                prop_assert!(high.as_str().is_some_and(|high| high.chars().count() <= BOUND_CHARACTERS));
            }
        }
    }
}
