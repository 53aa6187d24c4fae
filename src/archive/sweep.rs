//! Files that were written and that no commit can name any more.
//!
//! A commit names a file only while the lake's marks equal those at which the file was written: the offsets at which its
//! flush began, or the count of replays. Of a flush that lost a partition the files are written anew, and so are those of
//! a replay that another overtook. Marks only grow, and so does the generation of a topic, which is a mark too. So a file that the table's log does not name, and one of whose marks
//! is beyond that, is dead for good, whoever wrote it, and whether or not its writer still lives. Readers that look at
//! the folder and not at the log would count its rows twice.

use chrono::{TimeDelta, Utc};
use object_store::{ObjectMeta, ObjectStoreExt};

use super::ArchiveError;
use super::ledger::{LEDGER_TAG, Ledger, REPLAY_ID, REPLAY_TAG, Replay, app_id, generation_id, topic_of};
use crate::fail_point::{self, Step};
use crate::lake::commit::append;
use crate::lake::snapshot::unnamed;
use crate::lake::{CommitOutcome, Lake, LakeError, RAW_EVENTS, TableWriter, footer};

/// A file that the log does not name.
struct Candidate {
    object: ObjectMeta,
    /// The marks that it was written for.
    marks: Vec<(String, i64)>,
    is_replay: bool,
}

/// Deletes the files that no commit can name any more, of this topic and of replays; of replays only where no topic is
/// given. A replay's file of this age is made one of them. Says whether files are left that may become such.
///
/// # Errors
/// [`ArchiveError::Lake`] where the store fails.
pub async fn sweep(
    lake: &Lake,
    events: &mut TableWriter,
    topic: Option<&str>,
    abandoned: Option<TimeDelta>,
) -> Result<bool, ArchiveError> {
    // The marks are those of before the files were listed: what is committed meanwhile names its files.
    events.refresh().await?;
    let mut left = false;
    for candidate in candidates(lake, topic).await? {
        let mut dead = false;
        for (id, start) in &candidate.marks {
            dead |= events.mark(id).await?.is_some_and(|mark| mark > *start);
        }
        let age = Utc::now() - candidate.object.last_modified;
        if !dead && candidate.is_replay && abandoned.is_some_and(|abandoned| age >= abandoned) {
            dead = make_void(events, &candidate.marks).await?;
            if !dead {
                return Ok(true);
            }
        }
        if dead {
            delete(lake, &candidate.object).await?;
        }
        left |= !dead;
    }
    Ok(left)
}

/// Moves the count of replays on, so that no commit can name what was written for the present one; says whether that is
/// so. Whoever was first may have been the replay itself, which has named its files then.
async fn make_void(events: &mut TableWriter, marks: &[(String, i64)]) -> Result<bool, ArchiveError> {
    let next = marks.iter().map(|(id, mark)| (id.clone(), mark + 1)).collect();
    fail_point::reached(Step::BeforeReplayVoid);
    let outcome = events.commit(Vec::new(), next, append()).await?;
    let is_void = matches!(outcome, CommitOutcome::Committed(_));
    if is_void {
        fail_point::reached(Step::AfterReplayVoid);
    }
    Ok(is_void)
}

async fn candidates(lake: &Lake, topic: Option<&str>) -> Result<Vec<Candidate>, ArchiveError> {
    let mut found = Vec::new();
    for object in unnamed(lake, RAW_EVENTS).await? {
        // What cannot be read, or bears no ledger, is not ours to judge.
        let Ok(metadata) = footer::read(lake, &object).await else {
            continue;
        };
        let ledger = footer::note(&metadata, LEDGER_TAG)
            .and_then(|text| serde_json::from_str::<Ledger>(text).ok())
            .filter(|ledger| Some(topic_of(&ledger.topic).0) == topic);
        let replay = footer::note(&metadata, REPLAY_TAG).and_then(|text| serde_json::from_str::<Replay>(text).ok());
        let is_replay = replay.is_some();
        let marks: Vec<(String, i64)> = match (ledger, replay) {
            (_, Some(replay)) => vec![(REPLAY_ID.to_owned(), replay.sequence)],
            (Some(ledger), None) => {
                let (topic, generation) = topic_of(&ledger.topic);
                let starts = ledger
                    .partitions
                    .iter()
                    .map(|(partition, entry)| (app_id(&ledger.topic, *partition), entry.start));
                starts.chain([(generation_id(topic), generation)]).collect()
            }
            (None, None) => continue,
        };
        found.push(Candidate {
            object,
            marks,
            is_replay,
        });
    }
    Ok(found)
}

async fn delete(lake: &Lake, file: &ObjectMeta) -> Result<(), ArchiveError> {
    tracing::info!(file = %file.location, "deleting a file that was written and never committed");
    fail_point::reached(Step::BeforeSweep);
    match lake.store().delete(&file.location).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => {
            fail_point::reached(Step::AfterSweep);
            Ok(())
        }
        Err(error) => Err(LakeError::Store {
            place: file.location.to_string(),
            reason: error.to_string(),
        }
        .into()),
    }
}
