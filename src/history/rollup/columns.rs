//! Columns of a batch by their names and types.

use arrow::array::{Array, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, StringViewArray};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

pub(super) fn numbers<'a, T: ArrowPrimitiveType>(
    rows: &'a RecordBatch,
    name: &str,
) -> Result<&'a PrimitiveArray<T>, ArrowError> {
    typed(rows, name, |column| column.as_primitive_opt::<T>())
}

pub(super) fn flags<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a BooleanArray, ArrowError> {
    typed(rows, name, |column| column.as_boolean_opt())
}

pub(super) fn texts<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a StringViewArray, ArrowError> {
    typed(rows, name, |column| column.as_string_view_opt())
}

fn typed<'a, T>(
    rows: &'a RecordBatch,
    name: &str,
    column: impl Fn(&'a dyn Array) -> Option<&'a T>,
) -> Result<&'a T, ArrowError> {
    let found = rows.column_by_name(name).and_then(|found| column(found.as_ref()));
    found.ok_or_else(|| ArrowError::SchemaError(format!("there is no {name} of its type")))
}
