//! The five tables over one version of the lake.

use std::collections::BTreeSet;

use futures::future::try_join_all;

use super::rollup::{Found, Relations, Request, RollupReport, Summed, spawned, sum_up};
use super::run::Step;
use super::tables::{self, HISTORY_TABLES, TableRows};
use super::{HistoryError, Window};
use crate::lake::{Lake, TableSnapshot};

/// What a run has computed.
pub(super) struct Computed {
    /// The tables, in the order of [`HISTORY_TABLES`].
    pub(super) rows: Vec<TableRows>,
    /// Events of the window.
    pub(super) events: u64,
    /// Data files of the window that were left out.
    pub(super) left_out: BTreeSet<String>,
    /// The rollup, to be kept.
    pub(super) summed: Summed,
}

/// Computes the five tables from the events alone: the events of the window, and the rows in the order of
/// [`HISTORY_TABLES`].
///
/// # Errors
/// [`HistoryError`] where a file cannot be read or the computation fails.
pub async fn compute_tables(
    lake: &Lake,
    events: &TableSnapshot,
    window: &Window,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<(u64, Vec<TableRows>), HistoryError> {
    let request = Request {
        lake,
        events,
        window,
        skip_corrupt: false,
    };
    let computed = compute(request, Err("nothing was to be kept".to_owned()), false, progress).await?;
    Ok((computed.events, computed.rows))
}

/// Computes the five tables over a rollup that was found in the lake, or over one made anew.
pub(super) async fn compute(
    request: Request<'_>,
    found: Result<Found, String>,
    full: bool,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Computed, HistoryError> {
    let summed = sum_up(request, found, full).await?;
    tell(&summed, progress);
    let rows = tables_of(&summed.relations).await?;
    for rows in &rows {
        progress(Step::Computed {
            table: rows.table.name,
            rows: rows.batch.num_rows(),
        });
    }
    Ok(Computed {
        rows,
        events: summed.relations.events,
        left_out: summed.left_out.clone(),
        summed,
    })
}

fn tell(summed: &Summed, progress: &(dyn Fn(Step) + Sync)) {
    let RollupReport {
        state,
        reason,
        files_summed,
    } = summed.report.clone();
    progress(Step::Summed {
        events: summed.relations.events,
        files: files_summed,
        rollup: state,
        reason,
    });
}

async fn tables_of(relations: &Relations) -> Result<Vec<TableRows>, HistoryError> {
    let ctx = relations.session()?;
    // The last ones take longest to plan, and so are begun first.
    let tasks = HISTORY_TABLES.iter().rev().map(|table| {
        let ctx = ctx.clone();
        spawned("the tables", async move { tables::compute(&ctx, table).await })
    });
    let mut rows = try_join_all(tasks).await?;
    rows.reverse();
    Ok(rows)
}
