//! Adding a version to a table: exactly on top of the state that the caller has seen, or not at all.
//!
//! A [`TableWriter`] holds what a writer must know of a table and nothing else: its version, its schema and the
//! application marks (`txn` actions) that were asked for; never its list of files, so a table with many files costs
//! a writer no more than one with few. [`TableWriter::commit`] puts the next version if nobody else has: that
//! makes comparing a mark and committing on top of it one atomic step, which the fencing of the archiver and of the
//! publisher stands on. When somebody else was first, the writer takes in what they committed and says
//! [`CommitOutcome::Conflict`]; the caller compares again and decides.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use delta_kernel::Snapshot;
use delta_kernel::engine::arrow_conversion::TryIntoKernel;
use delta_kernel::schema::StructType;
use deltalake_core::kernel::transaction::{CommitData, TransactionError};
use deltalake_core::kernel::{Action, Metadata, MetadataExt, Protocol, Transaction, new_metadata};
use deltalake_core::logstore::{CommitOrBytes, LogStoreRef, get_actions};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use object_store::ObjectMeta;
use object_store::path::Path;
use uuid::Uuid;

use super::kernel::{blocking, engine, load};
use super::snapshot::{arrow_schema, delta_fault};
use super::{Lake, LakeError, TableSnapshot, checkpoint};

/// How a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It is the table's version now.
    Committed(u64),
    /// Somebody else committed first, and the writer has taken that in: compare again.
    Conflict,
}

/// The operation of a commit that adds rows or moves marks.
pub fn append() -> DeltaOperation {
    DeltaOperation::Write {
        mode: SaveMode::Append,
        partition_by: None,
        predicate: None,
    }
}

/// One table, as a writer sees it.
pub struct TableWriter {
    log_store: LogStoreRef,
    folder: Path,
    place: String,
    version: u64,
    metadata: Metadata,
    schema: SchemaRef,
    loaded: Arc<Snapshot>,
    /// Those taken in since the log was read, and those of `loaded` once one of them was asked for.
    marks: BTreeMap<String, i64>,
    marks_read: bool,
}

impl TableWriter {
    /// Opens a table of the lake, making it where there is none.
    ///
    /// # Errors
    /// [`LakeError`] where the store fails, the log cannot be read, or the folder holds Parquet files without a log.
    pub async fn open_or_create(
        lake: &Lake,
        table: &str,
        schema: &SchemaRef,
        partition_columns: &[&str],
    ) -> Result<TableWriter, LakeError> {
        if let Some(writer) = TableWriter::open(lake, table).await? {
            return Ok(writer);
        }
        let plain = super::plain::load(lake, table).await;
        if !matches!(plain, Ok(None)) {
            // Another archiver may have made the table since we looked, whose files these are.
            if let Some(writer) = TableWriter::open(lake, table).await? {
                return Ok(writer);
            }
            plain?;
            return Err(LakeError::Table {
                place: lake.shown(table),
                reason: "it holds Parquet files but no Delta log, and a new log would hide them; name another DATA_LAKE_PATH".to_owned(),
            });
        }
        let log_store = lake.log_store(table);
        let place = lake.shown(table);
        let (protocol, metadata) = definition(&place, schema, partition_columns)?;
        let operation = DeltaOperation::Create {
            mode: SaveMode::ErrorIfExists,
            location: log_store.root_url().clone(),
            protocol: protocol.clone(),
            metadata: metadata.clone(),
        };
        let actions = vec![Action::Protocol(protocol), Action::Metadata(metadata)];
        match put_version(&log_store, &place, 0, actions, operation, Vec::new()).await? {
            CommitOutcome::Committed(_) | CommitOutcome::Conflict => {}
        }
        TableWriter::open(lake, table).await?.ok_or_else(|| LakeError::Table {
            place: lake.shown(table),
            reason: "it was made and is gone again; is something else deleting it?".to_owned(),
        })
    }

    /// Opens a table of the lake; none where there is none.
    ///
    /// # Errors
    /// [`LakeError`] where the store fails or the log cannot be read.
    pub async fn open(lake: &Lake, table: &str) -> Result<Option<TableWriter>, LakeError> {
        let log_store = lake.log_store(table);
        let place = lake.shown(table);
        let Some(loaded) = load(&log_store, &place, None).await? else {
            return Ok(None);
        };
        refuse_unwritable(&place, loaded.table_configuration().protocol())?;
        let metadata = loaded.table_configuration().metadata().clone();
        let schema = arrow_schema(&place, &loaded.schema())?;
        Ok(Some(TableWriter {
            version: loaded.version(),
            log_store,
            folder: lake.path(table),
            place,
            metadata,
            schema,
            loaded,
            marks: BTreeMap::new(),
            marks_read: false,
        }))
    }

    /// The version that this writer has seen.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The table's own id.
    pub fn id(&self) -> &str {
        self.metadata.id()
    }

    /// All columns of the version that this writer has seen.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The table as of the version that this writer has seen.
    ///
    /// # Errors
    /// [`LakeError`] where the store fails or the log cannot be read.
    pub async fn snapshot(&mut self) -> Result<TableSnapshot, LakeError> {
        if self.loaded.version() != self.version {
            let (seen, version, engine) = (Arc::clone(&self.loaded), self.version, engine(&self.log_store));
            let builder = Snapshot::builder_from(seen).at_version(version);
            self.loaded = blocking(&self.place, move || builder.build(engine.as_ref())).await?;
        }
        TableSnapshot::of(&self.loaded, &self.log_store, &self.folder, &self.place).await
    }

    /// The mark that an application left with the version that this writer has seen.
    ///
    /// # Errors
    /// [`LakeError`] where the store fails or the log cannot be read.
    pub async fn mark(&mut self, app_id: &str) -> Result<Option<i64>, LakeError> {
        if !self.marks.contains_key(app_id) {
            self.read_marks().await?;
        }
        Ok(self.marks.get(app_id).copied())
    }

    /// All marks that applications have left in the table's log.
    ///
    /// # Errors
    /// [`LakeError`] where the store fails or the log cannot be read.
    pub async fn all_marks(&mut self) -> Result<BTreeMap<String, i64>, LakeError> {
        self.read_marks().await?;
        Ok(self.marks.clone())
    }

    /// Reads the log's marks, all at once: one of them costs a pass over the log, and so do all.
    async fn read_marks(&mut self) -> Result<(), LakeError> {
        if !self.marks_read {
            let (loaded, engine) = (Arc::clone(&self.loaded), engine(&self.log_store));
            let read = blocking(&self.place, move || super::marks::all(&loaded, engine.as_ref())).await?;
            for (name, mark) in read {
                // What was taken in since is newer.
                self.marks.entry(name).or_insert(mark);
            }
            self.marks_read = true;
        }
        Ok(())
    }

    /// Takes in what others have committed since.
    ///
    /// # Errors
    /// [`LakeError`] where the store fails or a commit cannot be read.
    pub async fn refresh(&mut self) -> Result<(), LakeError> {
        while let Some(bytes) = self.read_version(self.version + 1).await? {
            let actions = get_actions(self.version + 1, &bytes).map_err(|error| delta_fault(&self.place, &error))?;
            self.take_in(self.version + 1, &actions)?;
        }
        Ok(())
    }

    /// Puts the next version, if it is still the next: `actions`, and the marks that go with them.
    ///
    /// # Errors
    /// [`LakeError::Store`] where the outcome is not known: [`TableWriter::refresh`] tells by the marks.
    pub async fn commit(
        &mut self,
        actions: Vec<Action>,
        marks: Vec<(String, i64)>,
        operation: DeltaOperation,
    ) -> Result<CommitOutcome, LakeError> {
        let version = self.version + 1;
        let now = chrono::Utc::now().timestamp_millis();
        let transactions: Vec<Transaction> = marks
            .into_iter()
            .map(|(app_id, mark)| Transaction::new_with_last_update(app_id, mark, Some(now)))
            .collect();
        let seen: Vec<Action> = actions
            .iter()
            .filter(|action| matches!(action, Action::Metadata(_)))
            .cloned()
            .chain(transactions.iter().cloned().map(Action::Txn))
            .collect();
        let outcome = put_version(&self.log_store, &self.place, version, actions, operation, transactions).await?;
        match outcome {
            CommitOutcome::Committed(_) => {
                self.take_in(version, &seen)?;
                checkpoint::write_when_due(&self.log_store, &self.place, self.version).await;
            }
            CommitOutcome::Conflict => self.refresh().await?,
        }
        Ok(outcome)
    }

    /// The action that gives a table which an earlier version made the columns of `schema` that it lacks; none where it has
    /// them all.
    ///
    /// # Errors
    /// As [`TableWriter::schema_change`].
    pub fn missing_columns(&self, schema: &SchemaRef) -> Result<Option<Action>, LakeError> {
        let lacking = (schema.fields().iter()).filter(|field| self.schema.field_with_name(field.name()).is_err());
        let all: Vec<_> = self.schema.fields().iter().chain(lacking).cloned().collect();
        if all.len() == self.schema.fields().len() {
            return Ok(None);
        }
        self.schema_change(&Arc::new(Schema::new(all))).map(Some)
    }

    /// The action that gives the table new columns: those of `schema`, which holds all that the table has already.
    ///
    /// # Errors
    /// [`LakeError::Encode`] where a column has a type that Delta does not know.
    pub fn schema_change(&self, schema: &SchemaRef) -> Result<Action, LakeError> {
        let metadata = self
            .metadata
            .clone()
            .with_schema(&kernel_schema(&self.place, schema)?)
            .map_err(|error| LakeError::Encode {
                place: self.place.clone(),
                reason: error.to_string(),
            })?;
        Ok(Action::Metadata(metadata))
    }

    async fn read_version(&self, version: u64) -> Result<Option<bytes::Bytes>, LakeError> {
        self.log_store
            .read_commit_entry(version)
            .await
            .map_err(|error| delta_fault(&self.place, &error))
    }

    fn take_in(&mut self, version: u64, actions: &[Action]) -> Result<(), LakeError> {
        for action in actions {
            match action {
                Action::Txn(transaction) => {
                    self.marks.insert(transaction.app_id.clone(), transaction.version);
                }
                Action::Metadata(metadata) => {
                    let schema = metadata
                        .parse_schema()
                        .map_err(|error| delta_fault(&self.place, &error.into()))?;
                    self.schema = arrow_schema(&self.place, &schema)?;
                    self.metadata = metadata.clone();
                }
                Action::Protocol(protocol) => refuse_unwritable(&self.place, protocol)?,
                _ => {}
            }
        }
        self.version = version;
        Ok(())
    }
}

/// lakebed writes to tables of Delta's writer version 2, without table features.
fn refuse_unwritable(place: &str, protocol: &Protocol) -> Result<(), LakeError> {
    if protocol.min_writer_version() <= 2 && protocol.min_reader_version() <= 1 {
        return Ok(());
    }
    Err(LakeError::Table {
        place: place.to_owned(),
        reason: "another writer raised its protocol to features that lakebed does not write; take them back, or start a new table".to_owned(),
    })
}

fn definition(place: &str, schema: &SchemaRef, partition_columns: &[&str]) -> Result<(Protocol, Metadata), LakeError> {
    let fault = |reason: String| LakeError::Encode {
        place: place.to_owned(),
        reason,
    };
    let configuration = [("delta.checkpointInterval", checkpoint::INTERVAL.to_string())];
    let metadata = new_metadata(&kernel_schema(place, schema)?, partition_columns, configuration)
        .map_err(|error| fault(error.to_string()))?;
    let protocol = serde_json::from_value(serde_json::json!({"minReaderVersion": 1, "minWriterVersion": 2}))
        .map_err(|error| fault(error.to_string()))?;
    Ok((protocol, metadata))
}

async fn put_version(
    log_store: &LogStoreRef,
    place: &str,
    version: u64,
    actions: Vec<Action>,
    operation: DeltaOperation,
    transactions: Vec<Transaction>,
) -> Result<CommitOutcome, LakeError> {
    let client = HashMap::from([(
        "clientVersion".to_owned(),
        format!("lakebed.{}", env!("CARGO_PKG_VERSION")).into(),
    )]);
    let bytes = CommitData::new(actions, operation, client, transactions)
        .get_bytes()
        .map_err(|error| delta_fault(place, &error.into()))?;
    match log_store
        .write_commit_entry(version, CommitOrBytes::LogBytes(bytes), Uuid::new_v4())
        .await
    {
        Ok(()) => Ok(CommitOutcome::Committed(version)),
        Err(TransactionError::VersionAlreadyExists(_)) => Ok(CommitOutcome::Conflict),
        Err(error) => Err(delta_fault(place, &error.into())),
    }
}

/// Of these files under a table's folder, by their paths from the root of the store, those that its log does not name,
/// neither as part of the table nor as removed from it.
///
/// # Errors
/// [`LakeError`] where the store fails or the log cannot be read.
pub(super) async fn unnamed(
    lake: &Lake,
    table: &str,
    mut files: BTreeMap<Path, ObjectMeta>,
) -> Result<BTreeMap<Path, ObjectMeta>, LakeError> {
    let (log_store, place, folder) = (lake.log_store(table), lake.shown(table), lake.path(table));
    let loaded = load(&log_store, &place, None).await?;
    // Without a log nothing is known of any file, and who asks may be about to delete what has no name.
    let loaded = loaded.ok_or_else(|| LakeError::Table {
        place: place.clone(),
        reason: "its log is gone; bring its _delta_log back".to_owned(),
    })?;
    let engine = engine(&log_store);
    blocking(&place, move || {
        super::replay::each_name(&loaded, engine.as_ref(), |name| {
            let path = Path::from_url_path(name).unwrap_or_else(|_| Path::from(name));
            files.remove(&folder.parts().chain(path.parts()).collect::<Path>());
        })?;
        Ok(files)
    })
    .await
}

fn kernel_schema(place: &str, schema: &SchemaRef) -> Result<StructType, LakeError> {
    schema.as_ref().try_into_kernel().map_err(|error| LakeError::Encode {
        place: place.to_owned(),
        reason: error.to_string(),
    })
}
