//! Rows by the month of the event's own time, which names their folder.

use arrow::array::{AsArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Datelike, Utc};

use crate::event::TIMESTAMP;

/// A month of a year, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    /// The year.
    pub year: i32,
    /// 1 to 12.
    pub month: u32,
}

impl Month {
    /// The month that holds a time, epoch seconds; 1970-01 where the calendar has no such time.
    pub fn of(timestamp: i64) -> Month {
        let time = DateTime::<Utc>::from_timestamp(timestamp, 0).unwrap_or_default();
        Month {
            year: time.year(),
            month: time.month(),
        }
    }

    /// The folder of the month's files, below the table's.
    pub fn folder(self) -> String {
        format!("year={}/month={:02}", self.year, self.month)
    }
}

/// The rows by month, each month's in the order in which they came.
///
/// # Errors
/// Arrow's, where rows cannot be taken, which is a bug.
pub fn split(rows: &RecordBatch) -> Result<Vec<(Month, RecordBatch)>, ArrowError> {
    let Some(timestamps) = rows
        .column_by_name(TIMESTAMP)
        .and_then(|column| column.as_primitive_opt::<Int64Type>())
    else {
        return Err(ArrowError::SchemaError(format!("rows without a column {TIMESTAMP}")));
    };
    let mut months: Vec<(Month, Vec<u32>)> = Vec::new();
    let mut present: Option<(usize, i64, i64)> = None;
    for row in 0..rows.num_rows() {
        let timestamp = timestamps.value(row);
        let index = match present {
            Some((index, from, to)) if (from..to).contains(&timestamp) => index,
            _ => {
                let month = Month::of(timestamp);
                let index = months.iter().position(|(known, _)| *known == month).unwrap_or_else(|| {
                    months.push((month, Vec::new()));
                    months.len() - 1
                });
                let day = timestamp.div_euclid(86_400) * 86_400;
                present = Some((index, day, day + 86_400));
                index
            }
        };
        months[index].1.push(u32::try_from(row).unwrap_or(u32::MAX));
    }
    if let [(month, _)] = months.as_slice() {
        return Ok(vec![(*month, rows.clone())]);
    }
    months
        .into_iter()
        .map(|(month, indices)| Ok((month, take_record_batch(rows, &UInt32Array::from(indices))?)))
        .collect()
}
