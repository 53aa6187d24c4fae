//! The rollup as the lake keeps it: a Delta table of pieces.
//!
//! Each file bears its range of hours and its check sum in its tags. The file of the hours, of which there is one,
//! bears what the whole table covers, and which files are totals of what: it is replaced by every commit, so these records
//! and the pieces change in one step.
//! A commit goes exactly on top of the version that was read, or not at all.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use chrono::Utc;
use deltalake_core::kernel::{Action, Add, Remove};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use serde::{Deserialize, Serialize};

use super::cut::Seconds;
use super::grain::{GRAIN_COLUMN, Grain, definition, table_columns};
use super::piece::Piece;
use super::plan::Coverage;
use super::totals::Totals;
use crate::fail_point::{self, Step};
use crate::history::publish::write_operation;
use crate::history::scan::Place;
use crate::lake::snapshot::{AsOf, present_files, store_fault};
use crate::lake::{CommitOutcome, DataFile, Lake, LakeError, TableSnapshot, TableWriter};

/// The table's folder under the lake.
pub const FOLDER: &str = "history/rollup";
/// The application whose mark in the table's log is the version of raw_events that the rollup covers.
pub(in crate::history) const MARK: &str = "lakebed-rollup";

const PIECE_TAG: &str = "lakebed.rollup";
const COVERAGE_TAG: &str = "lakebed.covers";
const TOTALS_TAG: &str = "lakebed.totals";
const PARALLEL_PUTS: usize = 8;
/// No run takes so long: what is no part of the table after it is nobody's.
const LONG: Duration = Duration::from_secs(86_400);
/// The folder of a local lake's table in which files wait until they are part of it. Readers of the table pass it over.
const WAITING_ROOM: &str = "_waiting";

/// What the table is, to whoever wants to commit on top of it.
#[derive(Default)]
pub(in crate::history) struct Base {
    table: Option<TableWriter>,
    files: Vec<DataFile>,
    beyond_repair: bool,
}

/// What is kept.
pub(in crate::history) enum Found {
    /// A rollup of this program's definition.
    Kept(Box<Kept>),
    /// None, or none that can be used, with the reason.
    Void {
        /// What to commit on top of.
        base: Box<Base>,
        /// Why there is none.
        reason: String,
    },
}

/// A rollup.
pub(in crate::history) struct Kept {
    pub(super) base: Base,
    pub(super) files: Files,
}

/// What the files of a rollup are.
pub(in crate::history) struct Files {
    pub(super) covered: Coverage,
    /// The pieces of partials.
    pub(super) pieces: Vec<Piece>,
    pub(super) hours: Piece,
    /// Those of the last window, where all of them are there.
    pub(super) totals: Option<Totals>,
}

/// What a file's tag says of it.
#[derive(Serialize, Deserialize)]
struct PieceTag {
    partial: String,
    first: i64,
    last: i64,
    rows: u64,
    crc32: u32,
}

/// What the tag says of totals, their files by name.
#[derive(Serialize, Deserialize)]
struct TotalsTag {
    days: Option<Seconds>,
    partials: BTreeSet<String>,
    top_users: String,
    servers: String,
    pairs: Vec<String>,
    places: String,
}

/// Looks for a kept rollup.
///
/// # Errors
/// [`LakeError`] where the store fails; a table that cannot be used is no error.
pub(in crate::history) async fn find(lake: &Lake) -> Result<Found, LakeError> {
    let beyond_repair = |reason: String| Found::Void {
        base: Box::new(Base {
            beyond_repair: true,
            ..Base::default()
        }),
        reason,
    };
    let mut table = match TableWriter::open(lake, FOLDER).await {
        Ok(Some(table)) => table,
        Ok(None) if present_files(lake, FOLDER).await?.is_empty() => {
            let (base, reason) = (Box::default(), "there was none".to_owned());
            return Ok(Found::Void { base, reason });
        }
        Ok(None) => return Ok(beyond_repair("its log is gone".to_owned())),
        Err(LakeError::Table { reason, .. }) => return Ok(beyond_repair(reason)),
        Err(error) => return Err(error),
    };
    let files = match table.snapshot().await {
        Ok(snapshot) => snapshot.files,
        Err(LakeError::Table { reason, .. }) => return Ok(beyond_repair(reason)),
        Err(error) => return Err(error),
    };
    let read = read(lake, &files);
    let base = Base {
        table: Some(table),
        files,
        beyond_repair: false,
    };
    Ok(match read {
        Ok(files) => Found::Kept(Box::new(Kept { base, files })),
        Err(reason) => Found::Void {
            base: Box::new(base),
            reason,
        },
    })
}

fn read(lake: &Lake, files: &[DataFile]) -> Result<Files, String> {
    if files.is_empty() {
        return Err("there was none".to_owned());
    }
    let tag = |name: &str| files.iter().find_map(|file| file.tags.get(name));
    let covered: Coverage = tag(COVERAGE_TAG)
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or("its record of what it covers cannot be read")?;
    if covered.definition != definition() {
        return Err("it is of another definition".to_owned());
    }
    let all = files.iter().map(|file| piece(lake, file)).collect::<Option<Vec<_>>>();
    let all = all.ok_or("a file of it has lost its tags")?;
    let totals = tag(TOTALS_TAG).and_then(|text| totals(text, &all));
    let (mut hours, others): (Vec<Piece>, Vec<Piece>) = all.into_iter().partition(|piece| piece.grain == Grain::Hours);
    let (Some(hours), true) = (hours.pop(), hours.is_empty()) else {
        return Err("it does not have one file of hours".to_owned());
    };
    let of_partials = others
        .into_iter()
        .filter(|piece| Grain::OF_PARTIALS.contains(&piece.grain));
    Ok(Files {
        covered,
        pieces: of_partials.collect(),
        hours,
        totals,
    })
}

fn totals(tag: &str, pieces: &[Piece]) -> Option<Totals> {
    let tag: TotalsTag = serde_json::from_str(tag).ok()?;
    let named = |path: &String| pieces.iter().find(|piece| piece.path == *path).cloned();
    Some(Totals {
        days: tag.days,
        partials: tag.partials,
        top_users: named(&tag.top_users)?,
        servers: named(&tag.servers)?,
        pairs: tag.pairs.iter().map(named).collect::<Option<_>>()?,
        places: named(&tag.places)?,
    })
}

fn piece(lake: &Lake, file: &DataFile) -> Option<Piece> {
    let tag: PieceTag = serde_json::from_str(file.tags.get(PIECE_TAG)?).ok()?;
    let grain = Grain::named(file.partition_values.get(GRAIN_COLUMN)?.as_deref()?)?;
    let path = file.path.prefix_match(&lake.path(FOLDER))?;
    Some(Piece {
        grain,
        partial: tag.partial,
        range: (tag.first, tag.last),
        rows: tag.rows,
        size: file.size,
        crc32: tag.crc32,
        place: Place::Store(lake.store(), file.path.clone()),
        path: path.collect::<object_store::path::Path>().to_string(),
    })
}

/// The folder out of which files are moved to where they are to stay, where the lake is a local one.
pub(super) fn waiting_room(lake: &Lake) -> Option<PathBuf> {
    lake.folder(FOLDER).map(|folder| folder.join(WAITING_ROOM))
}

/// Makes the table hold exactly these pieces, those of the hours and the totals among them, as the record of what they
/// cover says.
///
/// # Errors
/// [`LakeError`] where the lake cannot be written to; what it then holds is what it held, or all of this.
pub(super) async fn keep(
    lake: &Lake,
    mut base: Base,
    wanted: &[Piece],
    covers: &Coverage,
    totals: &Totals,
) -> Result<CommitOutcome, LakeError> {
    if base.beyond_repair {
        match find(lake).await? {
            Found::Void { base, .. } if base.beyond_repair => clear(lake).await?,
            // It was the store that failed, or somebody else has begun it anew.
            _ => return Ok(CommitOutcome::Conflict),
        }
    }
    let mut table = match base.table.take() {
        Some(table) => table,
        None => {
            let table = TableWriter::open_or_create(lake, FOLDER, &table_columns(), &[GRAIN_COLUMN]).await?;
            if table.version() > 0 {
                // Somebody else has made and filled it meanwhile.
                return Ok(CommitOutcome::Conflict);
            }
            table
        }
    };
    let there: HashMap<String, &DataFile> = base
        .files
        .iter()
        .filter_map(|file| Some((within(lake, file)?, file)))
        .collect();
    let new: Vec<&Piece> = wanted.iter().filter(|piece| !there.contains_key(&piece.path)).collect();
    let names: HashSet<&str> = wanted.iter().map(|piece| piece.path.as_str()).collect();
    let removals = there
        .iter()
        .filter(|(path, _)| !names.contains(path.as_str()))
        .map(|(path, file)| removal(path, file));
    let mut actions: Vec<Action> = removals.collect();
    let replaces = !actions.is_empty();
    actions.extend(table.missing_columns(&table_columns())?);
    for piece in &new {
        actions.push(Action::Add(addition(lake, piece, covers, totals)?));
    }
    fail_point::reached(Step::BeforeRollupFiles);
    put_all(lake, &new).await?;
    fail_point::reached(Step::BeforeRollupCommit);
    let mark = i64::try_from(covers.version).unwrap_or(i64::MAX);
    let outcome = table
        .commit(actions, vec![(MARK.to_owned(), mark)], write_operation(replaces))
        .await?;
    fail_point::reached(Step::AfterRollupCommit);
    if outcome == CommitOutcome::Conflict {
        // The store's answer to our own commit may have been lost, and its repetition have found our own file in its way.
        let newest = TableSnapshot::load(lake, FOLDER, AsOf::Newest).await?;
        let files: Vec<String> = newest
            .iter()
            .flat_map(|newest| &newest.files)
            .filter_map(|file| within(lake, file))
            .collect();
        if new.iter().any(|piece| files.contains(&piece.path)) {
            return Ok(CommitOutcome::Committed(
                newest.and_then(|newest| newest.version).unwrap_or_default(),
            ));
        }
        remove_all(lake, new.iter().map(|piece| piece.path.as_str())).await;
    }
    Ok(outcome)
}

/// Deletes the files of the table's folder that have been no part of it for a day: what a run still reads is younger.
pub(super) async fn sweep(lake: &Lake) -> Result<(), LakeError> {
    let objects = present_files(lake, FOLDER).await?;
    let Some(snapshot) = TableSnapshot::load(lake, FOLDER, AsOf::Newest).await? else {
        return Ok(());
    };
    sweep_waiting_room(lake).await;
    let live: HashSet<_> = snapshot.files.iter().map(|file| &file.path).collect();
    let long_ago = Utc::now() - LONG;
    for object in objects {
        if object.last_modified < long_ago && !live.contains(&object.location) {
            // What cannot be deleted now is tried again.
            let _ = lake.store().delete(&object.location).await;
        }
    }
    Ok(())
}

/// Deletes what runs left in the waiting room that were killed.
async fn sweep_waiting_room(lake: &Lake) {
    let Some(folder) = waiting_room(lake) else { return };
    let Ok(mut entries) = tokio::fs::read_dir(folder).await else {
        return;
    };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let modified = entry.metadata().await.and_then(|known| known.modified());
        if modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > LONG)) {
            // What cannot be deleted now is tried again.
            let _ = tokio::fs::remove_file(entry.path()).await;
        }
    }
}

fn within(lake: &Lake, file: &DataFile) -> Option<String> {
    let parts = file.path.prefix_match(&lake.path(FOLDER))?;
    Some(parts.collect::<object_store::path::Path>().to_string())
}

fn under(lake: &Lake, path: &str) -> object_store::path::Path {
    lake.path(&format!("{FOLDER}/{path}"))
}

fn removal(path: &str, file: &DataFile) -> Action {
    Action::Remove(Remove {
        path: path.to_owned(),
        data_change: true,
        deletion_timestamp: Some(Utc::now().timestamp_millis()),
        extended_file_metadata: Some(true),
        partition_values: Some(file.partition_values.clone().into_iter().collect()),
        size: i64::try_from(file.size).ok(),
        ..Remove::default()
    })
}

fn addition(lake: &Lake, piece: &Piece, covers: &Coverage, totals: &Totals) -> Result<Add, LakeError> {
    let text = |value: serde_json::Result<String>| {
        value.map_err(|error| LakeError::Encode {
            place: lake.shown(FOLDER),
            reason: error.to_string(),
        })
    };
    let tag = PieceTag {
        partial: piece.partial.clone(),
        first: piece.range.0,
        last: piece.range.1,
        rows: piece.rows,
        crc32: piece.crc32,
    };
    let mut tags = HashMap::from([(PIECE_TAG.to_owned(), Some(text(serde_json::to_string(&tag))?))]);
    if piece.grain == Grain::Hours {
        tags.insert(COVERAGE_TAG.to_owned(), Some(text(serde_json::to_string(covers))?));
        let totals = TotalsTag {
            days: totals.days,
            partials: totals.partials.clone(),
            top_users: totals.top_users.path.clone(),
            servers: totals.servers.path.clone(),
            pairs: totals.pairs.iter().map(|piece| piece.path.clone()).collect(),
            places: totals.places.path.clone(),
        };
        tags.insert(TOTALS_TAG.to_owned(), Some(text(serde_json::to_string(&totals))?));
    }
    Ok(Add {
        path: piece.path.clone(),
        partition_values: HashMap::from([(GRAIN_COLUMN.to_owned(), Some(piece.grain.name().to_owned()))]),
        size: i64::try_from(piece.size).unwrap_or(i64::MAX),
        modification_time: Utc::now().timestamp_millis(),
        data_change: true,
        stats: Some(serde_json::json!({"numRecords": piece.rows}).to_string()),
        tags: Some(tags),
        ..Add::default()
    })
}

async fn put_all(lake: &Lake, pieces: &[&Piece]) -> Result<(), LakeError> {
    let puts: Vec<_> = pieces.iter().map(|piece| put(lake.clone(), (*piece).clone())).collect();
    stream::iter(puts).buffer_unordered(PARALLEL_PUTS).try_collect().await
}

async fn put(lake: Lake, piece: Piece) -> Result<(), LakeError> {
    let bytes = match &piece.place {
        Place::Memory(bytes) => bytes.clone(),
        Place::Temporary(file) => {
            if let Some(folder) = lake.folder(FOLDER)
                && file.move_to(&folder.join(&piece.path)).await.is_ok()
            {
                return Ok(());
            }
            let read = tokio::fs::read(file.path()).await;
            read.map_err(|error| LakeError::Encode {
                place: lake.shown(FOLDER),
                reason: format!("a temporary file is gone: {error}"),
            })?
            .into()
        }
        Place::Store(..) => return Ok(()),
    };
    let put = lake.store().put(&under(&lake, &piece.path), bytes.into()).await;
    put.map(|_| ())
        .map_err(|error| store_fault(&lake.shown(FOLDER), &error))
}

async fn remove_all(lake: &Lake, paths: impl Iterator<Item = &str>) {
    for path in paths {
        // A file that no commit names is no part of the table, and is swept later.
        let _ = lake.store().delete(&under(lake, path)).await;
    }
}

/// Empties the folder of a table whose log cannot be read: everything in it can be computed again.
async fn clear(lake: &Lake) -> Result<(), LakeError> {
    let fault = |error| store_fault(&lake.shown(FOLDER), &error);
    let store = lake.store();
    let objects: Vec<_> = store
        .list(Some(&lake.path(FOLDER)))
        .try_collect()
        .await
        .map_err(fault)?;
    // What waits belongs to a run, this one among others.
    let waits = lake.path(FOLDER).join(WAITING_ROOM);
    for object in objects.iter().filter(|object| !object.location.prefix_matches(&waits)) {
        match store.delete(&object.location).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(fault(error)),
        }
    }
    Ok(())
}
