//! A flush into Parquet files, one for each month of its events.

use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use deltalake_core::kernel::Add;
use parquet::basic::Encoding;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use uuid::Uuid;

use super::ArchiveError;
use super::flush::Flush;
use super::ledger;
use super::month::{self, Month};
use crate::event::{OFFSET, TIMESTAMP};
use crate::fail_point::{self, Step};
use crate::lake::datafile::{self, EncodedFile, NewFile, writer_properties};
use crate::lake::{Lake, RAW_EVENTS};

/// A flush whose files are in the store, for a commit to make them part of the table.
#[derive(Debug, Clone)]
pub struct Written {
    /// What the files hold.
    pub flush: Flush,
    /// The flush's id, which its files' ledgers bear.
    pub id: Uuid,
    /// The files.
    pub adds: Vec<Add>,
}

/// A flush whose files are made and not in the store yet.
#[derive(Debug)]
pub struct Encoded {
    flush: Flush,
    id: Uuid,
    files: Vec<EncodedFile>,
}

impl Encoded {
    /// Bytes of the files.
    pub fn bytes(&self) -> usize {
        self.files.iter().map(EncodedFile::bytes).sum()
    }

    /// Puts the files into the store.
    ///
    /// # Errors
    /// [`ArchiveError::Lake`] where the store fails; nothing is part of the table then, and the same files can be put
    /// again.
    pub async fn put(&self, lake: &Lake) -> Result<Vec<Add>, ArchiveError> {
        let mut adds = Vec::new();
        for file in &self.files {
            fail_point::reached(Step::BeforeEventsFile);
            adds.push(datafile::put(lake, RAW_EVENTS, file).await?);
            fail_point::reached(Step::AfterEventsFile);
        }
        Ok(adds)
    }

    /// The flush, whose files are in the store now; their bytes are let go.
    pub fn written(self, adds: Vec<Add>) -> Written {
        Written {
            flush: self.flush,
            id: self.id,
            adds,
        }
    }
}

/// Makes the files of a flush.
///
/// # Errors
/// [`ArchiveError::Lake`] where Parquet refuses the rows, which is a bug.
pub async fn encode(lake: &Lake, archive: &str, flush: Flush, now: DateTime<Utc>) -> Result<Encoded, ArchiveError> {
    let id = Uuid::new_v4();
    let mut files = Vec::new();
    if flush.rows.num_rows() > 0 {
        for (month, batch) in month::split(&flush.rows)? {
            let tags = ledger::tags(id, archive, &flush.covered, &batch);
            let file = new_file(month, batch, tags, now);
            files.push(datafile::encode(lake, RAW_EVENTS, file).await?);
        }
    }
    Ok(Encoded { flush, id, files })
}

/// Writes the files of a flush.
///
/// # Errors
/// Those of [`encode`] and [`Encoded::put`].
pub async fn write(lake: &Lake, archive: &str, flush: Flush, now: DateTime<Utc>) -> Result<Written, ArchiveError> {
    let encoded = encode(lake, archive, flush, now).await?;
    let adds = encoded.put(lake).await?;
    Ok(encoded.written(adds))
}

/// A file of raw_events that holds these rows of one month, and bears these tags in its footer too.
pub fn new_file(month: Month, batch: RecordBatch, tags: Vec<(String, String)>, now: DateTime<Utc>) -> NewFile {
    NewFile {
        path: format!("{}/{}", month.folder(), file_name(now)),
        partition_values: vec![
            ("year".to_owned(), month.year.to_string()),
            ("month".to_owned(), month.month.to_string()),
        ],
        properties: properties(&tags),
        tags,
        batch,
    }
}

fn file_name(now: DateTime<Utc>) -> String {
    format!(
        "wiki_events_{}_{}.parquet",
        now.format("%Y%m%d_%H%M%S"),
        Uuid::new_v4().simple()
    )
}

/// Times and offsets grow by small steps, so they are stored as differences, however often they repeat. The file bears its
/// tags too, so that it can be told what it is where no commit names it.
fn properties(tags: &[(String, String)]) -> WriterProperties {
    let tags = tags
        .iter()
        .map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    let builder = writer_properties()
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_key_value_metadata(Some(tags.collect()));
    [TIMESTAMP, OFFSET]
        .into_iter()
        .fold(builder, |builder, name| {
            let column = ColumnPath::new(vec![name.to_owned()]);
            builder
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED)
        })
        .build()
}
