//! Parquet files that lie in a table's folder and that its log does not name.

use futures::{StreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path;

use super::finding::Place;
use super::records::{Origin, ledger_places};
use crate::archive::ledger::{LEDGER_TAG, Ledger, REPLAY_TAG, Replay};
use crate::lake::snapshot::unnamed;
use crate::lake::{Lake, LakeError, footer};

/// Footers that are read at a time.
const PARALLEL_FOOTERS: usize = 16;
/// How the footers of files begin to name their writer that lakebed wrote.
const OURS: &str = "lakebed";

/// Files that no commit names.
#[derive(Debug, Clone, Default)]
pub struct Unnamed {
    /// Those that lakebed wrote, each with the offsets that it covers.
    pub ours: Vec<(Path, Vec<Place>)>,
    /// Those that it did not, or that cannot be read.
    pub strays: Vec<Path>,
}

impl Unnamed {
    /// Whether a file is among them.
    pub fn has(&self, path: &Path) -> bool {
        self.strays.contains(path) || self.ours.iter().any(|(ours, _)| ours == path)
    }

    /// Adds those of another table.
    pub fn add(&mut self, other: Unnamed) {
        self.ours.extend(other.ours);
        self.strays.extend(other.strays);
    }
}

/// The Parquet files of a table's folder that its log names neither as present nor as removed.
///
/// # Errors
/// [`LakeError`] where the store fails or the table's log cannot be read.
pub async fn find(lake: &Lake, table: &str) -> Result<Unnamed, LakeError> {
    let mut found = Unnamed::default();
    let mut footers = stream::iter(unnamed(lake, table).await?)
        .map(|object| origin(lake, object))
        .buffered(PARALLEL_FOOTERS);
    while let Some((object, origin)) = footers.next().await {
        match origin {
            Written::ByUs(places) => found.ours.push((object.location, places)),
            Written::ByAnother => found.strays.push(object.location),
            Written::AndGone => {}
        }
    }
    Ok(found)
}

/// The offsets that these files cover, by the ledgers in their footers; those without are left out.
pub async fn ledgers(lake: &Lake, files: Vec<ObjectMeta>) -> Vec<(Path, Vec<Place>)> {
    stream::iter(files)
        .map(|object| origin(lake, object))
        .buffered(PARALLEL_FOOTERS)
        .filter_map(async |(object, origin)| match origin {
            Written::ByUs(places) if !places.is_empty() => Some((object.location, places)),
            _ => None,
        })
        .collect()
        .await
}

enum Written {
    ByUs(Vec<Place>),
    ByAnother,
    /// It was deleted since it was listed, as an archiver does with what a dead one left.
    AndGone,
}

async fn origin(lake: &Lake, object: ObjectMeta) -> (ObjectMeta, Written) {
    let written = match footer::read(lake, &object).await {
        Ok(footer) => {
            let ledger = footer::note(&footer, LEDGER_TAG).and_then(|text| serde_json::from_str::<Ledger>(text).ok());
            let replay = footer::note(&footer, REPLAY_TAG).and_then(|text| serde_json::from_str::<Replay>(text).ok());
            let by_us = footer
                .file_metadata()
                .created_by()
                .is_some_and(|by| by.starts_with(OURS));
            match (ledger, replay) {
                (Some(ledger), _) => Written::ByUs(ledger_places(&ledger)),
                (_, Some(replay)) => Written::ByUs(Origin::Replay(replay.into()).places()),
                _ if by_us => Written::ByUs(Vec::new()),
                _ => Written::ByAnother,
            }
        }
        Err(_) => {
            use object_store::ObjectStoreExt;
            match lake.store().head(&object.location).await {
                Err(object_store::Error::NotFound { .. }) => Written::AndGone,
                _ => Written::ByAnother,
            }
        }
    };
    (object, written)
}
