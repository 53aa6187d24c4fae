//! Small partials into larger ones, so that their number does not grow with the number of runs.

use super::batch::{Partial, Workshop, partial_of, spawned, sum_up_rows};
use super::grain::Grain;
use super::piece::Piece;
use crate::history::HistoryError;

/// A partial of fewer rows is small.
const SMALL: u64 = 200_000;
/// So many small partials are merged.
const MOST_SMALL: usize = 16;

/// The finest pieces of partials that should become one, group by group.
pub(super) fn groups(pieces: &[Piece]) -> Vec<Vec<Piece>> {
    let mut small: Vec<&Piece> = pieces
        .iter()
        .filter(|piece| piece.grain == Grain::Detail && piece.rows < SMALL)
        .collect();
    if small.len() < MOST_SMALL {
        return Vec::new();
    }
    // Neighbours in time have keys in common.
    small.sort_by_key(|piece| piece.range);
    let mut groups: Vec<(u64, Vec<Piece>)> = Vec::new();
    for piece in small {
        match groups.last_mut() {
            Some((rows, group)) if *rows < SMALL => {
                *rows += piece.rows;
                group.push(piece.clone());
            }
            _ => groups.push((piece.rows, vec![piece.clone()])),
        }
    }
    groups
        .into_iter()
        .map(|(_, group)| group)
        .filter(|group| group.len() > 1)
        .collect()
}

/// One partial in place of a group of them.
pub(super) async fn merged(workshop: &Workshop, group: Vec<Piece>) -> Result<Partial, HistoryError> {
    let workshop = workshop.clone();
    spawned("the merged rollup", async move {
        let files = group.iter().map(Piece::scan).collect();
        let (sums, codes) = sum_up_rows(&workshop, "the merged rollup", Grain::Detail.columns(), files).await?;
        partial_of(&workshop, &sums, &codes).await
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::scan::Place;

    fn piece(number: i64, rows: u64) -> Piece {
        Piece {
            grain: Grain::Detail,
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
