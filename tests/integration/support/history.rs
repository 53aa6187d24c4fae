//! Events for the history, put into a lake without Kafka.

use std::sync::Arc;

use arrow::array::{BooleanArray, Int64Array, RecordBatch, StringArray};
use deltalake_core::kernel::Action;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use lakebed::lake::datafile::{self, NewFile, writer_properties};
use lakebed::lake::{Lake, RAW_EVENTS, TableWriter};

/// Adds a file with an event of each of these users, a minute apart, the first one at `last`, epoch seconds.
pub async fn add_events(lake: &Lake, last: i64, users: &[Option<&str>]) {
    let count = users.len();
    let times: Int64Array = (0..count).map(|n| Some(last - 60 * n as i64)).collect();
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("timestamp", Arc::new(times) as _, true),
        (
            "user",
            Arc::new(users.iter().copied().collect::<StringArray>()) as _,
            true,
        ),
        ("is_bot", Arc::new(BooleanArray::from(vec![true; count])) as _, true),
    ])
    .expect("a batch");
    add_file(lake, batch).await;
}

/// Adds a file of events; the columns of the first one are those of the table.
pub async fn add_file(lake: &Lake, batch: RecordBatch) {
    let mut writer = TableWriter::open_or_create(lake, RAW_EVENTS, &batch.schema(), &[])
        .await
        .expect("a table");
    let file = NewFile {
        path: format!("{}.parquet", uuid::Uuid::new_v4()),
        partition_values: Vec::new(),
        tags: Vec::new(),
        batch,
        properties: writer_properties().build(),
    };
    let add = datafile::write(lake, RAW_EVENTS, file).await.expect("a file");
    let operation = DeltaOperation::Write {
        mode: SaveMode::Append,
        partition_by: None,
        predicate: None,
    };
    writer
        .commit(vec![Action::Add(add)], Vec::new(), operation)
        .await
        .expect("a commit");
}
