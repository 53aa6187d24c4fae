//! All marks that a table's log holds, found in one pass over it.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use delta_kernel::actions::LOG_TXN_SCHEMA;
use delta_kernel::engine::arrow_data::EngineDataArrowExt;
use delta_kernel::{DeltaResult, Engine, Snapshot};

/// The newest `txn` version of each application.
pub(super) fn all(snapshot: &Snapshot, engine: &dyn Engine) -> DeltaResult<BTreeMap<String, i64>> {
    let mut marks = BTreeMap::new();
    for batch in snapshot.log_segment().read_actions(engine, LOG_TXN_SCHEMA.clone())? {
        add(&batch?.actions.try_into_record_batch()?, &mut marks);
    }
    Ok(marks)
}

/// Adds the marks of a part of the log. The log is read from its end, so what is known already is newer.
fn add(batch: &RecordBatch, marks: &mut BTreeMap<String, i64>) {
    let Some(transactions) = batch.column_by_name("txn").and_then(|column| column.as_struct_opt()) else {
        return;
    };
    let (Some(names), Some(versions)) = (
        transactions
            .column_by_name("appId")
            .and_then(|column| column.as_string_opt::<i32>()),
        transactions
            .column_by_name("version")
            .and_then(|column| column.as_primitive_opt::<Int64Type>()),
    ) else {
        return;
    };
    for row in (0..batch.num_rows()).filter(|row| names.is_valid(*row) && versions.is_valid(*row)) {
        marks.entry(names.value(row).to_owned()).or_insert(versions.value(row));
    }
}
