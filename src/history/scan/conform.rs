//! The columns of a file as the columns that are asked for.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use arrow::compute::kernels::cmp::neq;
use arrow::compute::{cast, nullif};
use arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

/// The batch under exactly these columns: one that it lacks is null, one of another type is converted, and a value
/// that does not fit its column's type is null.
///
/// # Errors
/// Where no value of a column's type could be meant, such as a time of day for a number.
pub(super) fn conform(batch: &RecordBatch, columns: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let arrays = columns
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
            Some(column) => convert(column, field.data_type()).map_err(|error| {
                let reason = format!("its column {} cannot be read: {error}", field.name());
                ArrowError::CastError(reason)
            }),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(columns), arrays, &options)
}

fn convert(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    let found = column.data_type();
    if found.is_temporal() && !wanted.is_temporal() {
        return Err(ArrowError::CastError(format!(
            "it is of type {found} in place of {wanted}"
        )));
    }
    if found.is_floating() && wanted == &DataType::Int64 {
        return whole_numbers(column);
    }
    if matches!(
        found,
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_)
    ) {
        return cast(&cast(column, &DataType::Utf8)?, wanted);
    }
    cast(column, wanted)
}

/// Floats as whole numbers, those with a fraction null.
fn whole_numbers(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let floats = cast(column, &DataType::Float64)?;
    let whole = cast(&floats, &DataType::Int64)?;
    let back = cast(&whole, &DataType::Float64)?;
    let rounded = neq(back.as_primitive::<Float64Type>(), floats.as_primitive::<Float64Type>())?;
    nullif(whole.as_primitive::<Int64Type>(), &rounded)
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, Float64Array, Int32Array, Int64Array, StringArray, TimestampSecondArray};
    use arrow::datatypes::{Field, Schema};

    use super::*;

    fn column(name: &str, values: ArrayRef, wanted: DataType) -> Result<ArrayRef, ArrowError> {
        let batch = RecordBatch::try_from_iter_with_nullable([("a", values, true)])?;
        let columns = Arc::new(Schema::new(vec![Field::new(name, wanted, true)]));
        Ok(Arc::clone(conform(&batch, &columns)?.column(0)))
    }

    fn numbers(values: ArrayRef) -> Vec<Option<i64>> {
        let array = column("a", values, DataType::Int64).unwrap();
        array.as_primitive::<Int64Type>().iter().collect()
    }

    fn flags(values: ArrayRef) -> Vec<Option<bool>> {
        column("a", values, DataType::Boolean)
            .unwrap()
            .as_boolean()
            .iter()
            .collect()
    }

    #[test]
    fn what_fits_is_converted_and_what_does_not_is_null() {
        assert_eq!(
            numbers(Arc::new(Int32Array::from(vec![Some(-7), None]))),
            [Some(-7), None]
        );
        let floats = Float64Array::from(vec![3.0, 3.5, f64::NAN, 1e30, -2.0]);
        assert_eq!(numbers(Arc::new(floats)), [Some(3), None, None, None, Some(-2)]);
        assert_eq!(numbers(Arc::new(StringArray::from(vec!["12", "x"]))), [Some(12), None]);
        assert_eq!(
            flags(Arc::new(Int64Array::from(vec![Some(1), Some(0), None]))),
            [Some(true), Some(false), None]
        );
        assert_eq!(
            flags(Arc::new(StringArray::from(vec!["true", "maybe"]))),
            [Some(true), None]
        );
        assert_eq!(flags(Arc::new(BooleanArray::from(vec![true]))), [Some(true)]);
        let lacking = column("b", Arc::new(Int32Array::from(vec![1, 2])), DataType::Int64).unwrap();
        assert_eq!((lacking.len(), lacking.null_count()), (2, 2));
    }

    #[test]
    fn a_time_is_no_number() {
        let times: ArrayRef = Arc::new(TimestampSecondArray::from(vec![1]));
        let error = column("a", times, DataType::Int64).unwrap_err().to_string();
        assert!(error.contains("column a"), "{error}");
    }
}
