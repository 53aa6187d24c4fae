//! A table as of one version: its schema and the files that make it up.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use chrono::{DateTime, Utc};
use delta_kernel::Snapshot;
use delta_kernel::engine::arrow_conversion::TryIntoArrow;
use delta_kernel::schema::StructType;
use delta_kernel::table_features::ColumnMappingMode;
use deltalake_core::logstore::LogStoreRef;
use deltalake_core::{DeltaTable, DeltaTableError};
use object_store::ObjectMeta;
use object_store::path::Path;
use serde::Deserialize;

use super::{Lake, LakeError, kernel, plain, replay};

/// A table as of one version.
#[derive(Debug, Clone)]
pub struct TableSnapshot {
    /// The Delta version; none where the table is plain Parquet without a Delta log.
    pub version: Option<u64>,
    /// The table's own id, which a table made anew in the same place does not share.
    pub id: String,
    /// All columns, partition columns among them.
    pub schema: SchemaRef,
    /// The columns whose values stand in the files' folders and not in the files.
    pub partition_columns: Vec<String>,
    /// The files that make up this version.
    pub files: Vec<DataFile>,
}

/// One Parquet file of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Its path from the root of the store.
    pub path: Path,
    /// Bytes.
    pub size: u64,
    /// Rows, where the table's log says so.
    pub rows: Option<u64>,
    /// The smallest and largest `timestamp`, epoch seconds, where the table's log says so.
    pub timestamps: Option<(i64, i64)>,
    /// Rows that lack what each event has.
    pub nulls: NullCounts,
    /// The value of each partition column, as text.
    pub partition_values: BTreeMap<String, Option<String>>,
    /// What the writer noted with the file.
    pub tags: BTreeMap<String, String>,
}

/// Rows of a file that have no value in a column which never lacks one, where the table's log says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NullCounts {
    /// Rows without `timestamp`.
    pub timestamp: Option<u64>,
    /// Rows without `_partition`.
    pub partition: Option<u64>,
    /// Rows without `_offset`.
    pub offset: Option<u64>,
}

impl DataFile {
    /// Whether the file may have a row whose `timestamp` lies in these seconds, both included.
    pub fn may_hold(&self, (first, last): (i64, i64)) -> bool {
        self.rows != Some(0) && self.timestamps.is_none_or(|(low, high)| low <= last && first <= high)
    }
}

/// Which version of a table to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// The newest.
    Newest,
    /// This one.
    Version(u64),
    /// The newest that was committed by this time.
    Time(DateTime<Utc>),
}

impl TableSnapshot {
    /// Reads a table of the lake; none where there is none.
    ///
    /// A folder of plain Parquet files without a Delta log is read as it is, its schemas merged.
    ///
    /// # Errors
    /// [`LakeError`] where the store fails or the table's log cannot be read.
    pub async fn load(lake: &Lake, table: &str, as_of: AsOf) -> Result<Option<TableSnapshot>, LakeError> {
        let (log_store, place) = (lake.log_store(table), lake.shown(table));
        let fault = |error: DeltaTableError| delta_fault(&place, &error);
        let version = match as_of {
            AsOf::Newest => None,
            AsOf::Version(version) => Some(version),
            AsOf::Time(time) => {
                if !log_store.is_delta_table_location().await.map_err(fault)? {
                    return plain::load(lake, table).await;
                }
                let mut delta = DeltaTable::new(log_store.clone());
                delta.load_with_datetime(time).await.map_err(fault)?;
                delta.version()
            }
        };
        let loaded = kernel::load(&log_store, &place, version).await;
        if let (Err(LakeError::Table { .. }), Some(version)) = (&loaded, version) {
            let newest = log_store.get_latest_version(0).await.map_err(fault)?;
            if version > newest {
                let reason = format!("it has no version {version}; its newest is {newest}");
                return Err(LakeError::Table { place, reason });
            }
        }
        let Some(loaded) = loaded? else {
            return plain::load(lake, table).await;
        };
        TableSnapshot::of(&loaded, &log_store, &lake.path(table), &place)
            .await
            .map(Some)
    }

    /// What the kernel has loaded of a table in this folder.
    ///
    /// # Errors
    /// [`LakeError`] where the store fails, the log cannot be read, or the table is of a kind that lakebed does not read.
    pub(super) async fn of(
        loaded: &Arc<Snapshot>,
        log_store: &LogStoreRef,
        folder: &Path,
        place: &str,
    ) -> Result<TableSnapshot, LakeError> {
        let configuration = loaded.table_configuration();
        if configuration.column_mapping_mode() != ColumnMappingMode::None {
            return Err(LakeError::Table {
                place: place.to_owned(),
                reason: "another writer mapped its columns to other names in the files (delta.columnMapping.mode), which lakebed does not read; drop the feature columnMapping".to_owned(),
            });
        }
        let schema = arrow_schema(place, &loaded.schema())?;
        let (snapshot, engine, below) = (Arc::clone(loaded), kernel::engine(log_store), folder.clone());
        let live = kernel::blocking(place, move || replay::live(&snapshot, engine.as_ref(), &below)).await?;
        if let Some(file) = live.with_deleted_rows {
            return Err(LakeError::Table {
                place: place.to_owned(),
                reason: format!(
                    "another writer deleted rows of {file} by a deletion vector, which lakebed does not read; rewrite the files with REORG TABLE … APPLY (PURGE)"
                ),
            });
        }
        Ok(TableSnapshot {
            version: Some(loaded.version()),
            id: configuration.metadata().id().to_owned(),
            schema,
            partition_columns: configuration.metadata().partition_columns().to_vec(),
            files: live.files,
        })
    }
}

/// The Parquet files below a Delta table's folder that no version names, neither as part of it nor as removed from it.
///
/// # Errors
/// [`LakeError`] where the store fails or the table's log cannot be read.
pub async fn unnamed(lake: &Lake, table: &str) -> Result<Vec<ObjectMeta>, LakeError> {
    // Listed first: what is written after the listing is not looked at, and what it lists is named by now or not.
    let objects = plain::list(lake, table).await?;
    let files = objects
        .into_iter()
        .map(|object| (object.location.clone(), object))
        .collect();
    let unnamed = super::commit::unnamed(lake, table, files).await?;
    Ok(unnamed.into_values().collect())
}

/// The Parquet files that lie below a table's folder.
///
/// # Errors
/// [`LakeError`] where the store fails.
pub async fn present_files(lake: &Lake, table: &str) -> Result<Vec<ObjectMeta>, LakeError> {
    plain::list(lake, table).await
}

/// A table's schema, as the query engine's types.
///
/// # Errors
/// [`LakeError::Table`] where it has a type that lakebed does not read.
pub(super) fn arrow_schema(place: &str, schema: &StructType) -> Result<SchemaRef, LakeError> {
    let arrow: Schema = schema.try_into_arrow().map_err(|error| LakeError::Table {
        place: place.to_owned(),
        reason: format!("its schema has a type that lakebed does not read: {error}"),
    })?;
    Ok(Arc::new(arrow))
}

pub(super) fn under(folder: &Path, relative: &str) -> Path {
    folder.parts().chain(Path::from(relative).parts()).collect()
}

pub(super) fn data_file(folder: &Path, add: deltalake_core::kernel::Add) -> DataFile {
    let stats: Stats = add
        .stats
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    DataFile {
        path: under(folder, &add.path),
        size: u64::try_from(add.size).unwrap_or_default(),
        rows: stats.num_records,
        timestamps: stats.min_values.timestamp.zip(stats.max_values.timestamp),
        nulls: NullCounts {
            timestamp: stats.null_count.timestamp.known(),
            partition: stats.null_count.partition.known(),
            offset: stats.null_count.offset.known(),
        },
        partition_values: add.partition_values.into_iter().collect(),
        tags: add
            .tags
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect(),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Stats {
    num_records: Option<u64>,
    min_values: Bound,
    max_values: Bound,
    null_count: Nulls,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Bound {
    timestamp: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Nulls {
    timestamp: Count,
    #[serde(rename = "_partition")]
    partition: Count,
    #[serde(rename = "_offset")]
    offset: Count,
}

/// A number; whatever else stands in its place is none, and does not make the other statistics unreadable.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Count {
    Known(u64),
    #[default]
    Unknown,
    Other(serde::de::IgnoredAny),
}

impl Count {
    fn known(&self) -> Option<u64> {
        match self {
            Count::Known(count) => Some(*count),
            Count::Unknown | Count::Other(_) => None,
        }
    }
}

/// Tells a Delta library's error apart by what its reader must do.
pub(super) fn delta_fault(place: &str, error: &DeltaTableError) -> LakeError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(known) = cause {
        if let Some(store) = known.downcast_ref::<object_store::Error>() {
            return store_fault(place, store);
        }
        if let Some(kernel) = known.downcast_ref::<delta_kernel::Error>() {
            return kernel_fault(place, kernel);
        }
        cause = known.source();
    }
    damaged_log(place, error)
}

fn damaged_log(place: &str, error: &dyn std::error::Error) -> LakeError {
    LakeError::Table {
        place: place.to_owned(),
        reason: format!(
            "{}; a file of its _delta_log is damaged or gone, bring it back",
            full_reason(error)
        ),
    }
}

/// The kernel keeps its causes, and a backtrace, to itself, so they are looked for by name.
fn kernel_fault(place: &str, error: &delta_kernel::Error) -> LakeError {
    match error {
        delta_kernel::Error::Backtraced { source, .. } => kernel_fault(place, source),
        delta_kernel::Error::ObjectStore(store) => store_fault(place, store),
        other => damaged_log(place, other),
    }
}

/// Tells a store's error apart by what its reader must do.
pub(crate) fn store_fault(place: &str, error: &object_store::Error) -> LakeError {
    let (place, reason) = (place.to_owned(), full_reason(error));
    if let Some(fault) = io_error(error).and_then(|error| io_fault(&place, error)) {
        return fault;
    }
    if ["XMinioStorageFull", "507 Insufficient Storage"]
        .iter()
        .any(|code| reason.contains(code))
    {
        return LakeError::Full { place, reason };
    }
    let refused = matches!(
        error,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }
    );
    if refused
        || ["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"]
            .iter()
            .any(|code| reason.contains(code))
    {
        return LakeError::Refused { place, reason };
    }
    if reason.contains("NoSuchBucket") {
        return LakeError::Settings {
            path: place,
            reason: "the bucket does not exist; create it, or correct DATA_LAKE_PATH".to_owned(),
        };
    }
    LakeError::Store { place, reason }
}

/// What the system says of a local folder, where waiting does not mend it.
pub(super) fn io_fault(place: &str, error: &io::Error) -> Option<LakeError> {
    let (place, reason) = (place.to_owned(), error.to_string());
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Some(LakeError::Full { place, reason })
        }
        ErrorKind::PermissionDenied => Some(LakeError::Refused { place, reason }),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists | ErrorKind::ReadOnlyFilesystem => {
            Some(LakeError::Settings {
                path: place,
                reason: format!("no folder can be there ({reason}); correct DATA_LAKE_PATH"),
            })
        }
        _ => None,
    }
}

fn io_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e io::Error> {
    let mut cause = Some(error);
    while let Some(known) = cause {
        if let Some(found) = known.downcast_ref::<io::Error>() {
            return Some(found);
        }
        cause = known.source();
    }
    None
}

/// An error and its causes in one line, a cause left out where its parent has said it already.
fn full_reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    in_short(&text)
}

/// Of an S3 server's answer, which is XML, its code and its message; of a request that got none, its address and the
/// last failure, without the counts of its repetitions; of a gap in a table's log, the files around it; anything else as
/// it is.
fn in_short(text: &str) -> String {
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0.trim())
    };
    if let (Some(code), Some(message)) = (element("Code"), element("Message")) {
        return format!("{code}: {message}");
    }
    if let Some((head, failure)) = text.split_once(" - ")
        && let Some((_, request)) = head.rsplit_once("Error performing ")
        && let Some(address) = request.split(['?', ' ']).nth(1)
    {
        return format!("{address}: {failure}");
    }
    if let Some((said, files)) = text.split_once(": ParsedLogPath") {
        let names: Vec<&str> = files
            .split("filename: \"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        return format!("{said} ({})", names.join(", "));
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_store(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LakeError {
        let source = source.into();
        store_fault("lake", &object_store::Error::Generic { store: "S3", source })
    }

    #[test]
    fn statistics_are_read_as_far_as_they_can_be() {
        let file = |stats: &str| {
            let add = deltalake_core::kernel::Add {
                path: "a.parquet".to_owned(),
                stats: Some(stats.to_owned()),
                ..Default::default()
            };
            data_file(&Path::from("table"), add)
        };
        let whole = file(
            r#"{"numRecords": 3, "minValues": {"timestamp": 1}, "maxValues": {"timestamp": 2},
                "nullCount": {"timestamp": 0, "_partition": 1, "_offset": 2, "user": 3}}"#,
        );
        assert_eq!((whole.rows, whole.timestamps), (Some(3), Some((1, 2))));
        let counts = |timestamp, partition, offset| NullCounts {
            timestamp,
            partition,
            offset,
        };
        assert_eq!(whole.nulls, counts(Some(0), Some(1), Some(2)));
        let partial =
            file(r#"{"numRecords": 3, "nullCount": {"timestamp": null, "_partition": {"a": 1}, "_offset": -1}}"#);
        assert_eq!((partial.rows, partial.nulls), (Some(3), NullCounts::default()));
        assert_eq!(file("{").nulls, NullCounts::default());
    }

    #[test]
    fn no_room_is_told_apart_from_a_store_that_is_away() {
        const EFBIG: i32 = 27;
        const ENOSPC: i32 = 28;
        const EDQUOT: i32 = 122;
        for code in [EFBIG, ENOSPC, EDQUOT] {
            let fault = of_store(io::Error::from_raw_os_error(code));
            assert!(matches!(fault, LakeError::Full { .. }), "{fault}");
        }
        for answer in [
            "507 Insufficient Storage: ",
            "507: <Error><Code>XMinioStorageFull</Code>\n<Message>no drive</Message></Error>",
        ] {
            let fault = of_store(answer);
            assert!(matches!(fault, LakeError::Full { .. }), "{fault}");
        }
        let fault = of_store("503 Service Unavailable");
        assert!(matches!(fault, LakeError::Store { .. }), "{fault}");
    }

    #[test]
    fn reasons_are_short_and_in_one_line() {
        let away = "Generic S3 error: Error performing list request: Error performing GET http://host:9/bucket?list-type=2 in 2.1s, after 10 retries, max_retries: 10, retry_timeout: 30s  - HTTP error: refused";
        assert_eq!(in_short(away), "http://host:9/bucket: HTTP error: refused");
        let answer =
            "403 Forbidden: <?xml?>\n<Error><Code>AccessDenied</Code><Message>No.</Message><HostId>1</HostId></Error>";
        assert_eq!(in_short(answer), "AccessDenied: No.");
        assert_eq!(in_short("anything - else"), "anything - else");
    }
}
