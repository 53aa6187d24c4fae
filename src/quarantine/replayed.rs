//! Which messages of the quarantine replays have made rows of.

use std::collections::{BTreeMap, HashSet};

use roaring::RoaringTreemap;

use crate::archive::ledger::{LEDGER_TAG, REPLAY_TAG, Replay};
use crate::lake::snapshot::AsOf;
use crate::lake::{DataFile, Lake, LakeError, RAW_EVENTS, TableSnapshot};
use crate::quality::places::{self, Columns, Unread};

/// What raw_events holds by the hand of replays, as of one version.
#[derive(Debug, Default)]
pub struct Replayed {
    offsets: BTreeMap<(String, i32), RoaringTreemap>,
    /// Of files whose record is gone, as another writer's OPTIMIZE leaves them: they may hold replayed rows, and do not
    /// say of which topic.
    unrecorded: BTreeMap<i32, RoaringTreemap>,
    files: HashSet<String>,
}

/// What to do about files without a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unrecorded {
    /// Read the places of their rows.
    Read,
    /// Leave them out.
    LeaveOut,
}

impl Replayed {
    /// Reads the records of a version of raw_events.
    ///
    /// # Errors
    /// [`LakeError`] where the store fails, or a file without a record cannot be read.
    pub async fn load(lake: &Lake, version: u64, unrecorded: Unrecorded) -> Result<Replayed, LakeError> {
        let mut replayed = Replayed::default();
        let Some(snapshot) = TableSnapshot::load(lake, RAW_EVENTS, AsOf::Version(version)).await? else {
            return Ok(replayed);
        };
        for file in snapshot.files {
            let replay = file
                .tags
                .get(REPLAY_TAG)
                .map(|text| serde_json::from_str::<Replay>(text));
            match replay {
                Some(Ok(replay)) if replay.rows().is_some() && replay.rows() == file.rows => {
                    replayed.files.insert(file.path.to_string());
                    replayed.add(&replay);
                }
                None if file.tags.contains_key(LEDGER_TAG) => {}
                _ if unrecorded == Unrecorded::LeaveOut => {}
                _ => replayed.read(lake, &file).await?,
            }
        }
        Ok(replayed)
    }

    async fn read(&mut self, lake: &Lake, file: &DataFile) -> Result<(), LakeError> {
        let found = match places::read(lake, &file.path, file.size, Columns::Events).await {
            Ok(found) => found,
            Err(Unread::Store(error)) => return Err(error),
            Err(Unread::Damaged(reason)) => {
                return Err(LakeError::Table {
                    place: file.path.to_string(),
                    reason: format!(
                        "it bears no record of what it holds and cannot be read ({reason}), so that what was replayed is not known; bring it back"
                    ),
                });
            }
        };
        for ((_, partition), offsets) in found.partitions {
            *self.unrecorded.entry(partition).or_default() |= offsets.held;
        }
        Ok(())
    }

    /// Adds what a file holds.
    pub fn add(&mut self, replay: &Replay) {
        for (partition, ranges) in &replay.partitions {
            let held = self.offsets.entry((replay.topic.clone(), *partition)).or_default();
            for [from, to] in ranges {
                if let (Ok(from), Ok(to)) = (u64::try_from(*from), u64::try_from(*to)) {
                    held.insert_range(from..=to);
                }
            }
        }
    }

    /// Whether a message is a row already.
    pub fn holds(&self, topic: &str, partition: i32, offset: u64) -> bool {
        let recorded = self.offsets.get(&(topic.to_owned(), partition));
        recorded.is_some_and(|held| held.contains(offset))
            || self
                .unrecorded
                .get(&partition)
                .is_some_and(|held| held.contains(offset))
    }

    /// Whether a file is part of the version.
    pub fn names(&self, file: &str) -> bool {
        self.files.contains(file)
    }
}
