//! All files that a table's log names, found in one pass that reads nothing else of it and keeps none.

use std::sync::{Arc, LazyLock};

use arrow::array::AsArray;
use delta_kernel::engine::arrow_data::EngineDataArrowExt;
use delta_kernel::schema::{DataType, SchemaRef, StructField, StructType};
use delta_kernel::{DeltaResult, Engine, Snapshot};

/// The actions that name a file.
const NAMING: [&str; 2] = ["add", "remove"];

static PATHS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let path = || StructType::new_unchecked([StructField::nullable("path", DataType::STRING)]);
    Arc::new(StructType::new_unchecked(
        NAMING.map(|action| StructField::nullable(action, path())),
    ))
});

/// Calls `named` with each path as the log has it, of files that are part of the table and of those that were removed
/// from it; with some more than once.
pub(super) fn each(snapshot: &Snapshot, engine: &dyn Engine, mut named: impl FnMut(&str)) -> DeltaResult<()> {
    for batch in snapshot.log_segment().read_actions(engine, Arc::clone(&PATHS))? {
        let batch = batch?.actions.try_into_record_batch()?;
        for action in NAMING {
            let paths = batch
                .column_by_name(action)
                .and_then(|column| column.as_struct_opt())
                .and_then(|action| action.column_by_name("path"))
                .and_then(|paths| paths.as_string_opt::<i32>());
            paths
                .into_iter()
                .flat_map(|paths| paths.iter().flatten())
                .for_each(&mut named);
        }
    }
    Ok(())
}
