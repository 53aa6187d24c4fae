//! The place in Kafka of each row of a file, read from the file.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::errors::ParquetError;
use roaring::RoaringTreemap;

use crate::lake::object::ParquetObject;
use crate::lake::{Lake, LakeError};

/// Which columns hold a row's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// Those of raw_events; the topic stands in the file's record.
    Events,
    /// Those of the quarantine.
    Quarantine,
}

/// What a file holds.
#[derive(Debug, Default)]
pub struct FilePlaces {
    /// Rows.
    pub rows: u64,
    /// Rows that name no place that can be.
    pub nowhere: u64,
    /// The offsets of each topic's partitions; of raw_events' files, the topic is empty.
    pub partitions: BTreeMap<(String, i32), Offsets>,
}

/// The offsets of one partition's rows.
#[derive(Debug, Clone, Default)]
pub struct Offsets {
    /// All.
    pub held: RoaringTreemap,
    /// Those that came more than once.
    pub twice: RoaringTreemap,
}

/// Why a file gave no answer.
#[derive(Debug)]
pub enum Unread {
    /// It is the file's fault.
    Damaged(String),
    /// It is the store's: asking again may help.
    Store(LakeError),
}

/// Reads the places of a file's rows.
///
/// # Errors
/// [`Unread`].
pub async fn read(lake: &Lake, path: &Path, size: u64, columns: Columns) -> Result<FilePlaces, Unread> {
    match try_read(lake, path, size, columns).await {
        Ok(places) => Ok(places),
        Err(ParquetError::External(source)) if source.downcast_ref::<object_store::Error>().is_some() => {
            Err(unread(lake, path, source.to_string()).await)
        }
        Err(error) => Err(Unread::Damaged(error.to_string())),
    }
}

/// The checksum of a file's bytes, as [`crate::lake::datafile`] notes it.
///
/// # Errors
/// [`Unread`].
pub async fn checksum(lake: &Lake, path: &Path) -> Result<u32, Unread> {
    let mut hasher = crc32fast::Hasher::new();
    let read = async {
        let mut chunks = lake.store().get(path).await?.into_stream();
        while let Some(chunk) = chunks.try_next().await? {
            hasher.update(&chunk);
        }
        Ok::<(), object_store::Error>(())
    };
    match read.await {
        Ok(()) => Ok(hasher.finalize()),
        Err(error) => Err(unread(lake, path, error.to_string()).await),
    }
}

/// Whether one file or the whole store is at fault: the store is if it does not answer to anything else either.
pub async fn unread(lake: &Lake, path: &Path, reason: String) -> Unread {
    match lake.reach().await {
        Ok(()) => Unread::Damaged(reason),
        Err(LakeError::Store { .. }) => Unread::Store(LakeError::Store {
            place: path.to_string(),
            reason,
        }),
        Err(error) => Unread::Store(error),
    }
}

async fn try_read(lake: &Lake, path: &Path, size: u64, columns: Columns) -> Result<FilePlaces, ParquetError> {
    let names: &[&str] = match columns {
        Columns::Events => &["_partition", "_offset"],
        Columns::Quarantine => &["topic", "partition", "offset"],
    };
    let object = ParquetObject::new(lake, path, size);
    let mut batches = object.read(names).await?;
    let mut places = FilePlaces::default();
    while let Some(batch) = batches.try_next().await? {
        add(&batch, names, &mut places)?;
    }
    Ok(places)
}

fn add(batch: &RecordBatch, names: &[&str], places: &mut FilePlaces) -> Result<(), ParquetError> {
    let column = |name: &str, data_type: &DataType| {
        let column = batch
            .column_by_name(name)
            .ok_or_else(|| ParquetError::General(format!("it has no column {name}")))?;
        cast(column, data_type).map_err(|error| ParquetError::General(format!("its column {name}: {error}")))
    };
    let (topics, partition, offset) = match names {
        [topic, partition, offset] => (Some(column(topic, &DataType::Utf8)?), partition, offset),
        [partition, offset] => (None, partition, offset),
        _ => return Ok(()),
    };
    let (partitions, offsets) = (column(partition, &DataType::Int64)?, column(offset, &DataType::Int64)?);
    let (partitions, offsets) = (
        partitions.as_primitive::<Int64Type>(),
        offsets.as_primitive::<Int64Type>(),
    );
    let topics = topics.as_ref().map(|topics| topics.as_string::<i32>());
    let mut present: Option<((&str, i32), Offsets)> = None;
    for row in 0..batch.num_rows() {
        let topic = match topics {
            None => Some(""),
            Some(topics) => topics.is_valid(row).then(|| topics.value(row)),
        };
        let partition = partitions
            .is_valid(row)
            .then(|| i32::try_from(partitions.value(row)).ok());
        let offset = offsets.is_valid(row).then(|| u64::try_from(offsets.value(row)).ok());
        let (Some(topic), Some(Some(partition)), Some(Some(offset))) = (topic, partition, offset) else {
            places.nowhere += 1;
            continue;
        };
        if present.as_ref().is_none_or(|(place, _)| *place != (topic, partition)) {
            places.keep(present.take());
            let known = places.partitions.remove(&(topic.to_owned(), partition));
            present = Some(((topic, partition), known.unwrap_or_default()));
        }
        if let Some((_, known)) = &mut present
            && !known.held.insert(offset)
        {
            known.twice.insert(offset);
        }
    }
    places.keep(present);
    places.rows += batch.num_rows() as u64;
    Ok(())
}

impl FilePlaces {
    fn keep(&mut self, present: Option<((&str, i32), Offsets)>) {
        if let Some(((topic, partition), offsets)) = present {
            self.partitions.insert((topic.to_owned(), partition), offsets);
        }
    }
}

/// Offsets as ranges, each from its first to its last.
pub fn ranges(offsets: &RoaringTreemap) -> Vec<[i64; 2]> {
    let mut ranges: Vec<[i64; 2]> = Vec::new();
    for offset in offsets.iter().filter_map(|offset| i64::try_from(offset).ok()) {
        match ranges.last_mut() {
            Some([_, to]) if *to + 1 == offset => *to = offset,
            _ => ranges.push([offset, offset]),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn offsets_and_their_ranges_are_the_same(values in proptest::collection::btree_set(0i64..300, 0..100)) {
            let set: RoaringTreemap = values.iter().map(|value| u64::try_from(*value).expect("positive")).collect();
            let ranges = ranges(&set);
            let listed = ranges.iter().flat_map(|[from, to]| *from..=*to);
            prop_assert!(listed.eq(values.iter().copied()));
            prop_assert!(ranges.windows(2).all(|pair| pair[0][1] + 1 < pair[1][0]));
        }
    }
}
