//! Small partials into larger ones, so that their number does not grow with the number of runs.

use std::collections::BTreeMap;

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;

use super::batch::{Workshop, spawned};
use super::grain::Grain;
use super::order::reordered;
use super::piece::{Piece, conformed, written_for};
use crate::history::HistoryError;
use crate::history::read_fault::query_fault;
use crate::history::scan::{self, LeftOut};

/// A partial of fewer rows, those of all its pieces, is small.
const SMALL: u64 = 500_000;
/// So many small partials are merged.
const MOST_SMALL: usize = 16;

/// The SQL that makes one partial's rows of those of several, for the grains that partials have.
const MERGED: [(Grain, &str); Grain::OF_PARTIALS.len()] = [
    (Grain::HourUsers, include_str!("../../../views/merged_hour_users.sql")),
    (Grain::Users, include_str!("../../../views/merged_users.sql")),
    (
        Grain::ServerUsers,
        include_str!("../../../views/merged_server_users.sql"),
    ),
    (Grain::Places, include_str!("../../../views/merged_places.sql")),
];

/// The pieces of partials that should become one, group by group.
pub(super) fn groups(pieces: &[Piece]) -> Vec<Vec<Piece>> {
    let mut partials: BTreeMap<&str, Vec<&Piece>> = BTreeMap::new();
    for piece in pieces {
        partials.entry(&piece.partial).or_default().push(piece);
    }
    let mut small: Vec<(u64, Vec<&Piece>)> = partials
        .into_values()
        .map(|pieces| (pieces.iter().map(|piece| piece.rows).sum(), pieces))
        .filter(|(rows, _)| *rows < SMALL)
        .collect();
    if small.len() < MOST_SMALL {
        return Vec::new();
    }
    // Neighbours in time have keys in common.
    small.sort_by_key(|(_, pieces)| pieces.iter().map(|piece| piece.range).max());
    let mut groups: Vec<(u64, Vec<Vec<&Piece>>)> = Vec::new();
    for (rows, partial) in small {
        match groups.last_mut() {
            Some((of_group, group)) if *of_group < SMALL => {
                *of_group += rows;
                group.push(partial);
            }
            _ => groups.push((rows, vec![partial])),
        }
    }
    groups
        .into_iter()
        .filter(|(_, group)| group.len() > 1)
        .map(|(_, group)| group.into_iter().flatten().cloned().collect())
        .collect()
}

/// The pieces of one partial in place of those of several.
pub(super) async fn merged(workshop: &Workshop, group: Vec<Piece>) -> Result<Vec<Piece>, HistoryError> {
    let workshop = workshop.clone();
    spawned("the merged rollup", async move {
        let name = uuid::Uuid::new_v4().to_string();
        let mut pieces = Vec::new();
        for grain in MERGED {
            pieces.push(merged_grain(&workshop, grain, &name, &group).await?);
        }
        Ok(pieces)
    })
    .await
}

async fn merged_grain(
    workshop: &Workshop,
    (grain, sql): (Grain, &str),
    partial: &str,
    pieces: &[Piece],
) -> Result<Piece, HistoryError> {
    let fault = |error| query_fault(grain.name(), &error);
    let (ctx, columns) = (workshop.engine.session(), grain.columns());
    let of_grain = pieces.iter().filter(|piece| piece.grain == grain);
    let files = of_grain.map(Piece::scan).collect();
    scan::register(&ctx, grain.name(), &columns, files, &LeftOut::default()).map_err(fault)?;
    let rows = ctx.sql(sql).await.map_err(fault)?.collect().await.map_err(fault)?;
    let rows: Vec<RecordBatch> = rows
        .iter()
        .map(|rows| conformed(grain, rows))
        .collect::<Result<_, _>>()?;
    let rows = concat_batches(&columns, &rows).and_then(|rows| reordered(grain, &rows));
    written_for(
        &workshop.holder,
        grain,
        partial,
        &rows.map_err(|error| fault(error.into()))?,
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::scan::Place;

    fn piece(number: i64, rows: u64) -> Piece {
        Piece {
            grain: Grain::Places,
            partial: number.to_string(),
            range: (number, number),
            rows,
            size: 0,
            crc32: 0,
            place: Place::Memory(bytes::Bytes::new()),
            path: String::new(),
        }
    }

    fn merged_names(pieces: &[Piece]) -> Vec<Vec<String>> {
        let names = |group: Vec<Piece>| group.into_iter().map(|piece| piece.partial).collect();
        groups(pieces).into_iter().map(names).collect()
    }

    #[test]
    fn many_small_partials_become_few_and_large_ones_stay() {
        let mut pieces: Vec<Piece> = (0..15).map(|number| piece(number, 1000)).collect();
        pieces.push(piece(99, SMALL));
        assert_eq!(merged_names(&pieces), Vec::<Vec<String>>::new());
        pieces.push(piece(15, 1000));
        let expected: Vec<String> = (0..16).map(|number: i64| number.to_string()).collect();
        assert_eq!(merged_names(&pieces), [expected]);
        let large: Vec<Piece> = (0..16).map(|number| piece(number, SMALL - 1)).collect();
        assert_eq!(merged_names(&large).len(), 8);
    }
}
