//! What the views read, for one window: `hours`, `places`, `users` and `server_unique_users`.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use futures::future::try_join3;

use super::batch::{Batch, Workshop, batches, sum_up_all, taken_apart};
use super::cut::{Cut, Seconds};
use super::grain::Grain;
use super::hours;
use super::piece::Piece;
use super::plan::{EVER, may_hold, work_on};
use super::refresh::Request;
use super::totals::Totals;
use super::window;
use crate::history::HistoryError;
use crate::history::read_fault::query_fault;
use crate::history::scan::ScanFile;
use crate::history::session::Engine;
use crate::lake::{DataFile, Lake};

/// What the views call the numbers of unique users.
const SERVER_UNIQUE_USERS: &str = "server_unique_users";

/// The tables that the views read.
#[derive(Debug)]
pub(in crate::history) struct Relations {
    engine: Engine,
    hours: RecordBatch,
    places: RecordBatch,
    contributors: RecordBatch,
    server_unique_users: RecordBatch,
    /// Events of the window.
    pub(in crate::history) events: u64,
}

impl Relations {
    /// A session in which the views can be computed.
    pub(in crate::history) fn session(&self) -> Result<SessionContext, HistoryError> {
        let ctx = self.engine.session();
        let fault = |error| query_fault("the rollup", &error);
        let known = [
            (Grain::Hours.name(), &self.hours),
            (Grain::Places.name(), &self.places),
            (Grain::Users.name(), &self.contributors),
            (SERVER_UNIQUE_USERS, &self.server_unique_users),
        ];
        for (name, rows) in known {
            let table = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]]).map_err(fault)?;
            ctx.register_table(name, Arc::new(table)).map_err(fault)?;
        }
        Ok(ctx)
    }
}

/// A rollup that covers a window.
pub(super) struct Source<'a> {
    pub(super) pieces: &'a [Piece],
    pub(super) hours: &'a RecordBatch,
    /// Those that an earlier run kept.
    pub(super) totals: Option<Totals>,
}

/// The relations of a window over a rollup that covers it, and the totals of its days; events are read where the window
/// cuts an hour or a day.
pub(super) async fn relations(
    workshop: &Workshop,
    request: &Request<'_>,
    Source {
        pieces,
        hours: all_hours,
        totals,
    }: Source<'_>,
    left_out: &HashSet<String>,
) -> Result<(Relations, Totals), HistoryError> {
    let (lake, files, window) = (request.lake, &request.events.files, request.window);
    let seconds = (window.first_second().max(EVER.0), window.last_second().min(EVER.1));
    let cut = Cut::of(seconds, |seconds| may_hold(files, seconds));
    let of_events = async |ranges: &[Seconds], grains| {
        let batches = ranges
            .iter()
            .flat_map(|seconds| cut_batches(lake, files, *seconds, grains, left_out));
        sum_up_all(workshop, batches.collect()).await
    };
    let (cut_pieces, cut_hours) = taken_apart(of_events(&cut.events, &Grain::OF_PARTIALS).await?);
    let (beside_days, _) = taken_apart(of_events(&cut.hours_beside_days(), &BESIDE_DAYS).await?);
    let cut_hours = hours::combined(cut_hours, &cut_pieces).await?;
    let hours = hours::together(&[hours::within(all_hours, cut.hours)?, cut_hours])?;

    let days = Vec::from_iter(cut.days);
    let of_grain = |grain: Grain, known: Option<&Totals>| -> Vec<ScanFile> {
        let whole = pieces
            .iter()
            .filter(|piece| piece.grain == grain && piece.overlaps(&days))
            .filter(|piece| known.is_none_or(|totals| !totals.have(piece)))
            .map(|piece| piece.scan_within(&days));
        let of_events = cut_pieces.iter().chain(&beside_days);
        let of_events = of_events.filter(|piece| piece.grain == grain && piece.rows > 0);
        whole.chain(of_events.map(Piece::scan)).collect()
    };
    let totals = match totals.filter(|totals| totals.suit(cut.days, pieces)) {
        Some(totals) => totals,
        None => Totals::of(&workshop.holder, cut.days, pieces).await?,
    };
    let since = |grain| of_grain(grain, Some(&totals));
    let (contributors, server_unique_users, places) = try_join3(
        totals.contributors(since(Grain::Users)),
        totals.server_unique_users(since(Grain::ServerUsers)),
        totals.places(since(Grain::Places)),
    )
    .await?;
    let contributors = match contributors {
        Some(contributors) => contributors,
        None => window::contributors(of_grain(Grain::Users, None)).await?,
    };
    let relations = Relations {
        engine: workshop.engine.clone(),
        events: hours::events(&hours),
        hours,
        places,
        contributors,
        server_unique_users,
    };
    Ok((relations, totals))
}

/// What is asked for of hours beside whole days: all but the hours themselves.
const BESIDE_DAYS: [Grain; 3] = [Grain::Users, Grain::ServerUsers, Grain::Places];

fn cut_batches(
    lake: &Lake,
    files: &[DataFile],
    seconds: Seconds,
    grains: &'static [Grain],
    left_out: &HashSet<String>,
) -> Vec<Batch> {
    batches(&work_on(files, seconds), grains, |file| ScanFile {
        optional: left_out.contains(file.path.as_ref()),
        prune: Some(seconds),
        ..ScanFile::of_lake(lake, file)
    })
}
