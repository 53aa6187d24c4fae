//! What a table's log says of its files, found in one pass over it.
//!
//! The log is read from its end, so what it says first of a file is what holds: it was added and is part of the table, or
//! it was removed. A file whose deleted rows are noted beside it counts anew with each such note.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, MapArray, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{Int32Type, Int64Type};
use delta_kernel::engine::arrow_data::EngineDataArrowExt;
use delta_kernel::schema::{DataType, MapType, SchemaRef, StructField, StructType};
use delta_kernel::{DeltaResult, Engine, Snapshot};
use deltalake_core::kernel::Add;
use object_store::path::Path;
use percent_encoding::percent_decode_str;

use super::DataFile;
use super::snapshot::data_file;

/// The files that make up a table.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// The newest first.
    pub(super) files: Vec<DataFile>,
    /// One of them that has rows which are no part of the table any more.
    pub(super) with_deleted_rows: Option<Path>,
}

/// The files that make up a table in this folder.
pub(super) fn live(snapshot: &Snapshot, engine: &dyn Engine, folder: &Path) -> DeltaResult<Live> {
    let (mut live, mut known) = (Live::default(), HashSet::new());
    for actions in snapshot.log_segment().read_actions(engine, Arc::clone(&WHOLE))? {
        let actions = actions?;
        let is_commit = actions.is_log_batch;
        let batch = actions.actions.try_into_record_batch()?;
        for added in Named::all(&batch, ADD) {
            // A checkpoint, which comes last, names each file once.
            let is_new = match is_commit {
                true => known.insert(added.key()),
                false => !known.contains(&added.key()),
            };
            if !is_new {
                continue;
            }
            let file = data_file(folder, added.add());
            if added.deletion_vector.is_some() {
                live.with_deleted_rows.get_or_insert_with(|| file.path.clone());
            }
            live.files.push(file);
        }
        if is_commit {
            known.extend(Named::all(&batch, REMOVE).map(|removed| removed.key()));
        }
    }
    Ok(live)
}

/// Calls `named` with each path as the log has it, of files that are part of the table and of those that were removed
/// from it; with some more than once. Nothing else is read of the log, and nothing kept.
pub(super) fn each_name(snapshot: &Snapshot, engine: &dyn Engine, mut named: impl FnMut(&str)) -> DeltaResult<()> {
    for actions in snapshot.log_segment().read_actions(engine, Arc::clone(&PATHS))? {
        let batch = actions?.actions.try_into_record_batch()?;
        for action in NAMING {
            Named::all(&batch, action).for_each(|file| named(file.path));
        }
    }
    Ok(())
}

const ADD: &str = "add";
const REMOVE: &str = "remove";
/// The actions that name a file.
const NAMING: [&str; 2] = [ADD, REMOVE];
const PATH: &str = "path";
const SIZE: &str = "size";
const STATS: &str = "stats";
const PARTITION_VALUES: &str = "partitionValues";
const TAGS: &str = "tags";
const DELETION_VECTOR: &str = "deletionVector";
const STORAGE_TYPE: &str = "storageType";
const PLACE: &str = "pathOrInlineDv";
const OFFSET: &str = "offset";

static PATHS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let fields = || StructType::new_unchecked([text_field(PATH)]);
    Arc::new(StructType::new_unchecked(
        NAMING.map(|action| StructField::nullable(action, fields())),
    ))
});

static WHOLE: LazyLock<SchemaRef> = LazyLock::new(|| {
    let texts = |name: &str| StructField::nullable(name, MapType::new(DataType::STRING, DataType::STRING, true));
    let deletion_vector = || {
        let offset = StructField::nullable(OFFSET, DataType::INTEGER);
        let fields = [text_field(STORAGE_TYPE), text_field(PLACE), offset];
        StructField::nullable(DELETION_VECTOR, StructType::new_unchecked(fields))
    };
    let added = StructType::new_unchecked([
        text_field(PATH),
        texts(PARTITION_VALUES),
        StructField::nullable(SIZE, DataType::LONG),
        text_field(STATS),
        texts(TAGS),
        deletion_vector(),
    ]);
    let removed = StructType::new_unchecked([text_field(PATH), deletion_vector()]);
    Arc::new(StructType::new_unchecked([
        StructField::nullable(ADD, added),
        StructField::nullable(REMOVE, removed),
    ]))
});

fn text_field(name: &str) -> StructField {
    StructField::nullable(name, DataType::STRING)
}

/// What one action says of a file.
struct Named<'a> {
    action: &'a StructArray,
    row: usize,
    path: &'a str,
    /// The id of the note of its deleted rows.
    deletion_vector: Option<String>,
}

impl<'a> Named<'a> {
    fn all(batch: &'a RecordBatch, action: &str) -> impl Iterator<Item = Named<'a>> {
        let action = batch.column_by_name(action).and_then(|column| column.as_struct_opt());
        let paths = action.and_then(|action| Some((action, texts(action, PATH)?)));
        paths.into_iter().flat_map(|(action, paths)| {
            let named = (0..paths.len()).filter(|row| action.is_valid(*row) && paths.is_valid(*row));
            named.map(move |row| Named {
                action,
                row,
                path: paths.value(row),
                deletion_vector: deletion_vector(action, row),
            })
        })
    }

    fn key(&self) -> (String, Option<String>) {
        (self.path.to_owned(), self.deletion_vector.clone())
    }

    fn add(&self) -> Add {
        let sizes = self.action.column_by_name(SIZE);
        let size = sizes.and_then(|sizes| sizes.as_primitive_opt::<Int64Type>());
        Add {
            path: percent_decode_str(self.path).decode_utf8_lossy().into_owned(),
            size: size.map_or(0, |sizes| sizes.value(self.row)),
            stats: text(self.action, STATS, self.row).map(str::to_owned),
            partition_values: map(self.action, PARTITION_VALUES, self.row),
            tags: Some(map(self.action, TAGS, self.row)),
            ..Add::default()
        }
    }
}

fn deletion_vector(action: &StructArray, row: usize) -> Option<String> {
    let vectors = action.column_by_name(DELETION_VECTOR)?.as_struct_opt()?;
    let offsets = vectors.column_by_name(OFFSET)?.as_primitive_opt::<Int32Type>()?;
    let offset = offsets.is_valid(row).then(|| offsets.value(row));
    let (kind, place) = (text(vectors, STORAGE_TYPE, row)?, text(vectors, PLACE, row)?);
    Some(format!("{kind}{place}@{offset:?}"))
}

fn texts<'a>(fields: &'a StructArray, name: &str) -> Option<&'a StringArray> {
    fields.column_by_name(name)?.as_string_opt()
}

fn text<'a>(fields: &'a StructArray, name: &str, row: usize) -> Option<&'a str> {
    let texts = texts(fields, name).filter(|texts| fields.is_valid(row) && texts.is_valid(row));
    texts.map(|texts| texts.value(row))
}

fn map(fields: &StructArray, name: &str, row: usize) -> HashMap<String, Option<String>> {
    let maps: Option<&MapArray> = fields.column_by_name(name).and_then(|maps| maps.as_map_opt());
    let Some(entries) = maps.filter(|maps| maps.is_valid(row)).map(|maps| maps.value(row)) else {
        return HashMap::new();
    };
    let (names, values) = (
        entries.column(0).as_string_opt::<i32>(),
        entries.column(1).as_string_opt::<i32>(),
    );
    let (names, values) = (names.into_iter().flatten(), values.into_iter().flatten());
    let named = names.zip(values);
    named
        .filter_map(|(name, value)| Some((name?.to_owned(), value.map(str::to_owned))))
        .collect()
}

#[cfg(test)]
mod tests;
