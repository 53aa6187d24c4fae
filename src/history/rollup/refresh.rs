//! What a run does with the rollup: adds to the kept one what it lacks, or makes it anew, and hands the views what
//! they read. The lake is written to only by [`Summed::keep`], once the tables are computed.

use std::collections::{BTreeSet, HashSet};

use arrow::record_batch::RecordBatch;
use serde::Serialize;

use super::batch::{Batch, Workshop, batches, sum_up_all, taken_apart};
use super::cut::Seconds;
use super::grain::{Grain, definition};
use super::hours;
use super::kept::{self, Base, Files, Found, Kept};
use super::merge;
use super::piece::{Piece, written};
use super::plan::{Coverage, Plan, Work, hours_of, plan, reach, work_on};
use super::relations::{Relations, Source, relations};
use super::totals::Totals;
use crate::history::read_fault::query_fault;
use crate::history::scan::{self, ScanFile};
use crate::history::{HistoryError, Window};
use crate::lake::changes::{changes, fingerprint};
use crate::lake::{CommitOutcome, DataFile, Lake, RAW_EVENTS, TableSnapshot};

/// How a run came by its rollup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RollupState {
    /// The kept one covered everything.
    Current,
    /// New files were added to the kept one.
    Refreshed,
    /// It was computed from the events and kept.
    Rebuilt,
    /// It was computed for this run alone.
    Unkept,
}

impl RollupState {
    /// The state as it is reported.
    pub fn as_str(self) -> &'static str {
        match self {
            RollupState::Current => "current",
            RollupState::Refreshed => "refreshed",
            RollupState::Rebuilt => "rebuilt",
            RollupState::Unkept => "unkept",
        }
    }
}

/// What became of the rollup in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RollupReport {
    /// How the run came by it.
    pub state: RollupState,
    /// Why it was rebuilt, or could not be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Data files that were summed up.
    pub files_summed: usize,
}

/// What a rollup is asked for.
#[derive(Clone, Copy)]
pub(in crate::history) struct Request<'a> {
    pub(in crate::history) lake: &'a Lake,
    pub(in crate::history) events: &'a TableSnapshot,
    pub(in crate::history) window: &'a Window,
    /// Whether to go on without files that cannot be read.
    pub(in crate::history) skip_corrupt: bool,
}

impl Request<'_> {
    /// A file outside the window is not missed by it.
    fn optional(&self, file: &DataFile) -> bool {
        let window = (self.window.first_second(), self.window.last_second());
        self.skip_corrupt || !file.may_hold(window)
    }

    fn batches(&self, work: &[Work]) -> Vec<Batch> {
        let scan = |file: &DataFile| ScanFile {
            optional: self.optional(file),
            ..ScanFile::of_lake(self.lake, file)
        };
        work.iter()
            .flat_map(|work| batches(work, &Grain::OF_PARTIALS, scan))
            .collect()
    }
}

/// A rollup that covers a window, and what is to be kept of it.
pub(in crate::history) struct Summed {
    pub(in crate::history) relations: Relations,
    /// What becomes of the kept rollup, provided that it can be kept.
    pub(in crate::history) report: RollupReport,
    /// Files of the window that were left out.
    pub(in crate::history) left_out: BTreeSet<String>,
    base: Option<Base>,
    wanted: Option<Wanted>,
}

/// What is to be kept.
struct Wanted {
    pieces: Vec<Piece>,
    covers: Coverage,
    totals: Totals,
    /// Whether many files go with it.
    replaces: bool,
}

/// Why there is no result.
enum Obstacle {
    /// The kept rollup cannot be used.
    Kept(String),
    /// The run fails.
    Run(HistoryError),
}

impl From<HistoryError> for Obstacle {
    fn from(error: HistoryError) -> Obstacle {
        Obstacle::Run(error)
    }
}

/// The rollup for a request: the kept one with what it lacks, or one made anew.
///
/// Without `found` nothing is kept, for the given reason.
pub(in crate::history) async fn sum_up(
    request: Request<'_>,
    found: Result<Found, String>,
    full: bool,
) -> Result<Summed, HistoryError> {
    let (base, reason) = match found {
        Err(reason) => return anew(request, None, reason).await,
        Ok(Found::Void { base, reason }) => (*base, reason),
        Ok(Found::Kept(kept)) if full => (kept.base, "everything was to be computed afresh".to_owned()),
        Ok(Found::Kept(kept)) => {
            let Kept { base, files } = *kept;
            match add(request, files).await {
                Ok(summed) => {
                    return Ok(Summed {
                        base: Some(base),
                        ..summed
                    });
                }
                Err(Obstacle::Kept(reason)) => (base, reason),
                Err(Obstacle::Run(error)) => match reason_of_kept(&request, &error) {
                    Some(reason) => (base, reason),
                    None => return Err(error),
                },
            }
        }
    };
    anew(request, Some(base), reason).await
}

impl Summed {
    /// Keeps in the lake what is to be kept. That it cannot be is no error: the next run does more.
    pub(in crate::history) async fn keep(self, lake: &Lake) -> RollupReport {
        let unkept = |reason: String| RollupReport {
            state: RollupState::Unkept,
            reason: Some(reason),
            ..self.report.clone()
        };
        let (Some(base), Some(wanted)) = (self.base, self.wanted) else {
            return self.report;
        };
        match kept::keep(lake, base, &wanted.pieces, &wanted.covers, &wanted.totals).await {
            Ok(CommitOutcome::Committed(_)) => {
                if wanted.replaces
                    && let Err(error) = kept::sweep(lake).await
                {
                    tracing::debug!(%error, "old files of the rollup are still there");
                }
                self.report
            }
            Ok(CommitOutcome::Conflict) => {
                tracing::info!("another run has kept its rollup first; this one's is of use to this run alone");
                unkept("another run kept its own first".to_owned())
            }
            Err(error) => {
                tracing::warn!(%error, "the rollup cannot be kept; the next run computes again what this one did");
                unkept(error.to_string())
            }
        }
    }
}

/// The rollup made of the events alone; it is to be kept where there is something to keep it on top of.
async fn anew(request: Request<'_>, base: Option<Base>, reason: String) -> Result<Summed, HistoryError> {
    let workshop = Workshop::new(base.as_ref().and_then(|_| kept::waiting_room(request.lake)))?;
    let files = &request.events.files;
    let hours = hours_of(request.window);
    let seconds = if base.is_some() { reach(hours, files) } else { hours };
    let work = work_on(files, seconds);
    let files_summed = work.files.len();
    let partials = sum_up_all(&workshop, request.batches(&[work])).await?;
    let (pieces, parts) = taken_apart(partials);
    let summed = Computed::of(&workshop, &request, pieces, parts, None).await?;
    let state = if base.is_some() {
        RollupState::Rebuilt
    } else {
        RollupState::Unkept
    };
    let report = RollupReport {
        state,
        reason: Some(reason),
        files_summed,
    };
    let covers = if base.is_some() {
        coverage(&request, seconds, &summed.left_out).await?
    } else {
        None
    };
    summed.finish(&workshop, &request, report, base, covers, true).await
}

/// The kept rollup with what it lacks.
async fn add(
    request: Request<'_>,
    Files {
        covered,
        mut pieces,
        hours,
        totals,
    }: Files,
) -> Result<Summed, Obstacle> {
    let (work, covers) = match planned(&request, &covered).await? {
        Plan::Add { work, covers } => (work, covers),
        Plan::Anew { reason } => return Err(Obstacle::Kept(reason)),
        Plan::Apart { reason } => return Ok(anew(request, None, reason).await?),
    };
    let workshop = Workshop::new(kept::waiting_room(request.lake))?;
    let files_summed: usize = work.iter().map(|work| work.files.len()).sum();
    let (new, mut parts) = taken_apart(sum_up_all(&workshop, request.batches(&work)).await?);
    let left_out = workshop.left_out.names();
    let half = |work: &Work| work.extends && work.files.iter().any(|file| left_out.contains(file.path.as_ref()));
    if work.iter().any(half) {
        return Err(Obstacle::Kept(
            "a file of which it covers a part cannot be read".to_owned(),
        ));
    }
    let kept_hours = scan::read(&Grain::Hours.columns(), vec![hours.scan()]).await;
    parts.push(kept_hours.map_err(|error| query_fault("the kept rollup", &error))?);
    pieces.extend(new);
    let groups = merge::groups(&pieces);
    let merges = !groups.is_empty();
    for group in groups {
        let gone: HashSet<String> = group.iter().map(|piece| piece.partial.clone()).collect();
        let merged = merge::merged(&workshop, group).await?;
        pieces.retain(|piece| !gone.contains(&piece.partial));
        pieces.extend(merged);
    }
    let summed = match Computed::of(&workshop, &request, pieces, parts, totals).await {
        // The hours at the edges would lack the file, the others would not.
        Err(HistoryError::File { file, .. }) if request.skip_corrupt => {
            return Err(Obstacle::Kept(format!("{file}, which it covers, cannot be read")));
        }
        done => done?,
    };
    let report = RollupReport {
        state: if files_summed > 0 {
            RollupState::Refreshed
        } else {
            RollupState::Current
        },
        reason: None,
        files_summed,
    };
    let now = coverage(&request, covers, &summed.left_out).await?;
    let now = now.filter(|now| *now != covered);
    Ok(summed.finish(&workshop, &request, report, None, now, merges).await?)
}

/// A rollup and what the views read of it.
struct Computed {
    pieces: Vec<Piece>,
    hours: RecordBatch,
    relations: Relations,
    totals: Totals,
    left_out: HashSet<String>,
}

impl Computed {
    async fn of(
        workshop: &Workshop,
        request: &Request<'_>,
        pieces: Vec<Piece>,
        parts: Vec<RecordBatch>,
        totals: Option<Totals>,
    ) -> Result<Computed, HistoryError> {
        let hours = hours::combined(parts, &pieces).await?;
        let left_out = workshop.left_out.names();
        let source = Source {
            pieces: &pieces,
            hours: &hours,
            totals,
        };
        let (relations, totals) = relations(workshop, request, source, &left_out).await?;
        Ok(Computed {
            pieces,
            hours,
            relations,
            totals,
            left_out,
        })
    }

    async fn finish(
        self,
        workshop: &Workshop,
        request: &Request<'_>,
        report: RollupReport,
        base: Option<Base>,
        covers: Option<Coverage>,
        replaces: bool,
    ) -> Result<Summed, HistoryError> {
        let window = (request.window.first_second(), request.window.last_second());
        let of_window = request.events.files.iter().filter(|file| file.may_hold(window));
        let missed = of_window
            .map(|file| file.path.to_string())
            .filter(|file| self.left_out.contains(file));
        let left_out = missed.collect();
        let mut pieces = self.pieces;
        if covers.is_some() {
            pieces.push(written(&workshop.holder, Grain::Hours, &self.hours).await?);
            pieces.extend(self.totals.pieces().cloned());
        }
        Ok(Summed {
            relations: self.relations,
            report,
            left_out,
            base,
            wanted: covers.map(|covers| Wanted {
                pieces,
                covers,
                totals: self.totals,
                replaces,
            }),
        })
    }
}

/// Why the kept rollup cannot be used, where an error is its own and not one of raw_events.
fn reason_of_kept(request: &Request<'_>, error: &HistoryError) -> Option<String> {
    let HistoryError::File { file, reason } = error else {
        return None;
    };
    let live = request.events.files.iter().any(|known| known.path.as_ref() == file);
    (!live).then(|| format!("{file} cannot be read: {reason}"))
}

async fn planned(request: &Request<'_>, covered: &Coverage) -> Result<Plan, HistoryError> {
    let anew = |reason: &str| {
        Ok(Plan::Anew {
            reason: reason.to_owned(),
        })
    };
    let Some(version) = request.events.version else {
        return anew("raw_events has no log any more");
    };
    if covered.raw_events != request.events.id {
        return anew("it belongs to another table of events");
    }
    if covered.version > version {
        return anew("it is ahead of the lake");
    }
    if fingerprint(request.lake, RAW_EVENTS, covered.version).await? != Some(covered.commit) {
        return anew("the version that it covers is not in the lake's log, or not as it was");
    }
    let Some(changes) = changes(request.lake, RAW_EVENTS, covered.version, version).await? else {
        return anew("commits since the version that it covers are no longer in the lake's log");
    };
    Ok(plan(covered, &changes, &request.events.files, request.window))
}

/// What a rollup covers that has all events of these seconds but those of the files left out; none where the lake
/// does not say which version it is at.
async fn coverage(
    request: &Request<'_>,
    (first, last): Seconds,
    left_out: &HashSet<String>,
) -> Result<Option<Coverage>, HistoryError> {
    let Some(version) = request.events.version else {
        return Ok(None);
    };
    let commit = fingerprint(request.lake, RAW_EVENTS, version).await?;
    Ok(commit.map(|commit| Coverage {
        definition: definition(),
        raw_events: request.events.id.clone(),
        version,
        commit,
        first,
        last,
        left_out: left_out.iter().cloned().collect(),
    }))
}
