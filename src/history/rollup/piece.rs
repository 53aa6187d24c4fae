//! A file of the rollup: rows of one grain, encoded, in memory or in a temporary file until the lake has them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, AsArray};
use arrow::compute::{cast, max, min};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::grain::{Grain, KEY_LOW, PAIR_LOW, SERVER};
use super::order::{Hashes, ordered};
use crate::history::HistoryError;
use crate::history::read_fault::query_fault;
use crate::history::scan::{Codes, Keep, Place, ScanFile, Values};
use crate::history::temporary::TemporaryFile;
use crate::lake::datafile::writer_properties;

/// Bytes of encoded pieces that a run holds in memory; the others wait in temporary files. Tests do both.
const MOST_HELD: usize = if cfg!(test) { 8 * 1024 } else { 48 * 1024 * 1024 };
/// Microseconds of a second.
pub(super) const MICROS: i64 = 1_000_000;

/// Rows whose texts are put in the place of their numbers at a time.
const DECODED: usize = 64 * 1024;

/// Rows of a partial, those of all its pieces, about; some fifty bytes each, and each core works on one partial. More than a
/// batch of events can have: what is left of a batch would be a small partial, and many of these are merged.
pub(super) const ROWS: usize = 1_700_000;

/// A file of the rollup.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// What its rows stand for.
    pub(super) grain: Grain,
    /// The partial that it is part of.
    pub(super) partial: String,
    /// The first instants of its first and its last bucket, epoch seconds.
    pub(super) range: (i64, i64),
    /// Its rows.
    pub(super) rows: u64,
    /// Bytes.
    pub(super) size: u64,
    /// What they add up to.
    pub(super) crc32: u32,
    /// Where they are.
    pub(super) place: Place,
    /// Its name in the lake, where it is kept.
    pub(super) path: String,
}

impl Piece {
    /// Whether it may have rows in buckets that begin in one of these ranges.
    pub(super) fn overlaps(&self, ranges: &[(i64, i64)]) -> bool {
        self.rows > 0
            && ranges
                .iter()
                .any(|(first, last)| self.range.0 <= *last && *first <= self.range.1)
    }

    /// The piece as a file to be read, all its rows.
    pub(super) fn scan(&self) -> ScanFile {
        ScanFile {
            name: match &self.place {
                Place::Store(_, path) => path.to_string(),
                Place::Memory(_) | Place::Temporary(_) => self.path.clone(),
            },
            place: self.place.clone(),
            size: self.size,
            crc32: Some(self.crc32),
            optional: false,
            keep: None,
            prune: None,
        }
    }

    /// The same, only the rows of buckets that begin in one of these ranges.
    pub(super) fn scan_within(&self, ranges: &[(i64, i64)]) -> ScanFile {
        let inside = ranges
            .iter()
            .any(|(first, last)| *first <= self.range.0 && self.range.1 <= *last);
        let keep = (!inside).then(|| Keep {
            column: self.grain.bucket(),
            values: Values::Within(
                ranges
                    .iter()
                    .map(|(first, last)| (micros(*first), micros(*last)))
                    .collect(),
            ),
        });
        ScanFile { keep, ..self.scan() }
    }
}

/// Epoch microseconds, as the files have them.
pub(super) fn micros(seconds: i64) -> i64 {
    seconds.saturating_mul(MICROS)
}

/// Holds encoded pieces in memory up to a limit that all of a run share.
#[derive(Debug, Clone, Default)]
pub(super) struct Holder {
    held: Arc<AtomicUsize>,
    /// Where the others wait, if they can.
    folder: Option<Arc<Path>>,
}

impl Holder {
    /// With a folder for temporary files, out of which they can be moved to where they are to stay.
    pub(super) fn new(folder: Option<PathBuf>) -> Holder {
        Holder {
            folder: folder.map(Arc::from),
            ..Holder::default()
        }
    }

    async fn hold(&self, bytes: Vec<u8>) -> std::io::Result<Place> {
        if self.held.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len() <= MOST_HELD {
            return Ok(Place::Memory(Bytes::from(bytes)));
        }
        self.held.fetch_sub(bytes.len(), Ordering::Relaxed);
        let file = TemporaryFile::write(&bytes, self.folder.as_deref()).await?;
        Ok(Place::Temporary(Arc::new(file)))
    }
}

/// Encodes coded rows as a piece of a partial; none as an empty one.
pub(super) async fn encode(
    holder: &Holder,
    grain: Grain,
    partial: &str,
    rows: &RecordBatch,
    (codes, hashes): (&Codes, &Hashes),
) -> Result<Piece, HistoryError> {
    let fault = |error: ArrowError| query_fault(grain.name(), &error.into());
    let mut writer = PieceWriter::new(grain)?;
    let rows = ordered(grain, rows, hashes).map_err(fault)?;
    for first in (0..rows.num_rows()).step_by(DECODED) {
        let part = rows.slice(first, DECODED.min(rows.num_rows() - first));
        writer.write(&codes.decoded(&part).map_err(fault)?)?;
    }
    writer.finish(holder, partial).await
}

/// Encodes rows that need no codes and no order as a piece of its own.
pub(super) async fn written(holder: &Holder, grain: Grain, rows: &RecordBatch) -> Result<Piece, HistoryError> {
    written_for(holder, grain, &uuid::Uuid::new_v4().to_string(), rows).await
}

/// The same as a piece of a partial.
pub(super) async fn written_for(
    holder: &Holder,
    grain: Grain,
    partial: &str,
    rows: &RecordBatch,
) -> Result<Piece, HistoryError> {
    let mut writer = PieceWriter::new(grain)?;
    writer.write(rows)?;
    writer.finish(holder, partial).await
}

/// Takes the rows of a piece batch by batch.
pub(super) struct PieceWriter {
    grain: Grain,
    writer: ArrowWriter<Vec<u8>>,
    rows: u64,
    range: Option<(i64, i64)>,
}

impl PieceWriter {
    pub(super) fn new(grain: Grain) -> Result<PieceWriter, HistoryError> {
        let options = ArrowWriterOptions::new()
            .with_properties(properties(grain))
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), grain.columns(), options);
        Ok(PieceWriter {
            grain,
            writer: writer.map_err(|error| unencoded(grain, error))?,
            rows: 0,
            range: None,
        })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), HistoryError> {
        let batch = conformed(self.grain, batch)?;
        self.rows += u64::try_from(batch.num_rows()).unwrap_or_default();
        self.range = joined(self.range, buckets(&batch));
        self.writer.write(&batch).map_err(|error| unencoded(self.grain, error))
    }

    /// The rows so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) async fn finish(self, holder: &Holder, partial: &str) -> Result<Piece, HistoryError> {
        let (grain, range) = (self.grain, self.range);
        let bytes = self.writer.into_inner().map_err(|error| unencoded(grain, error))?;
        let (size, crc32) = (bytes.len(), crc32fast::hash(&bytes));
        let place = holder.hold(bytes).await.map_err(|error| HistoryError::Temporary {
            folder: std::env::temp_dir().display().to_string(),
            reason: error.to_string(),
        })?;
        Ok(Piece {
            grain,
            partial: partial.to_owned(),
            range: range.unwrap_or_default(),
            rows: self.rows,
            size: u64::try_from(size).unwrap_or_default(),
            crc32,
            place,
            path: format!("grain={}/{partial}.parquet", grain.name()),
        })
    }
}

/// A batch under exactly the columns of a grain.
pub(super) fn conformed(grain: Grain, batch: &RecordBatch) -> Result<RecordBatch, HistoryError> {
    let columns = grain.columns();
    let arrays = columns.fields().iter().map(|field| {
        let column = batch.column_by_name(field.name());
        let column = column.ok_or_else(|| ParquetError::General(format!("there is no {}", field.name())))?;
        Ok(cast(column, field.data_type())?)
    });
    arrays
        .collect::<Result<Vec<_>, ParquetError>>()
        .and_then(|arrays| Ok(RecordBatch::try_new(Arc::clone(&columns), arrays)?))
        .map_err(|error| unencoded(grain, error))
}

/// The first instants of the first and the last bucket among the rows, epoch seconds; the first column is the bucket.
fn buckets(batch: &RecordBatch) -> Option<(i64, i64)> {
    let times = batch.column(0).as_primitive_opt::<TimestampMicrosecondType>()?;
    if times.null_count() == times.len() {
        return None;
    }
    Some((min(times)?.div_euclid(MICROS), max(times)?.div_euclid(MICROS)))
}

fn joined(one: Option<(i64, i64)>, other: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (one, other) {
        (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
        (one, other) => one.or(other),
    }
}

fn properties(grain: Grain) -> WriterProperties {
    // Nobody prunes by a column of the rollup.
    let properties = writer_properties()
        .set_statistics_enabled(EnabledStatistics::None)
        .set_max_row_group_row_count(Some(256 * 1024));
    let columns = grain.columns();
    let encoded = columns.fields().iter().fold(properties, |properties, field| {
        let column = ColumnPath::from(field.name().as_str());
        match field.name().as_str() {
            name if SERVER.contains(&name) => properties,
            // A dictionary of these would be thrown away half-way.
            "user" | "bytes_sum" => properties.set_column_dictionary_enabled(column, false),
            // As random as can be, which nothing makes smaller.
            KEY_LOW | PAIR_LOW => properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_compression(column, Compression::UNCOMPRESSED),
            // Numbers that are small, or close to the one before, as keys in their order are.
            _ if !matches!(field.data_type(), DataType::Boolean) => properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_compression(column.clone(), Compression::UNCOMPRESSED)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED),
            _ => properties,
        }
    });
    encoded.build()
}

fn unencoded(grain: Grain, error: ParquetError) -> HistoryError {
    query_fault(grain.name(), &error.into())
}
