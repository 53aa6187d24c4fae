//! What the days of a window add up to, kept so that the next run need not look at all of its users again.
//!
//! *Totals* stand for some partials and some days: what happened on each server, the users with the most events, the number
//! of each server's users, and all pairs of a server and a user in the order of their keys. What came since is added to
//! them: a pair counts where it is not among theirs; and of a user who is not among theirs it is known that he has no more
//! events than the last of them, which nearly always tells that he is no contributor.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::take_record_batch;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use futures::future::try_join3;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use super::batch::spawned;
use super::columns::numbers;
use super::cut::Seconds;
use super::grain::{Grain, PAIR_HIGH, PAIR_LOW};
use super::order::{Rows, ServerUserRows, UserRows};
use super::piece::{Holder, Piece, PieceWriter, written};
use super::places::by_server;
use super::union::{Union, unite};
use super::window::{Most, Servers};
use crate::history::HistoryError;
use crate::history::read_fault::{FileFault, query_fault};
use crate::history::scan::{self, ScanFile};

/// Users whose totals are kept. The more there are, the fewer events the last of them has, and the more a user who is not
/// among them would need to be a contributor.
const TOP_USERS: usize = 4096;
/// Pairs of a file, about; sixteen bytes each. Blocks of memory for larger ones would be asked of the system anew each time.
const FILE_PAIRS: u64 = 1 << 18;
/// Files of pairs that are fetched at a time.
const FETCHED_AT_ONCE: usize = 3;
/// Pairs that are encoded or decoded at a time.
const BATCH_PAIRS: usize = 1 << 16;
/// Rows that may have come since, whatever the number of pairs,
const FEW_ROWS: u64 = 10_000;
/// and one for so many pairs: beyond that the totals are computed anew.
const PAIRS_PER_ROW: u64 = 8;

const TOP: &str = "the users with the most events";
const PAIRS: &str = "the users of servers";
const PLACES: &str = "the places of days";

/// What the days of a window add up to.
#[derive(Debug, Clone)]
pub(super) struct Totals {
    /// The days; none where the window has no whole day.
    pub(super) days: Option<Seconds>,
    /// The partials that are in them.
    pub(super) partials: BTreeSet<String>,
    /// The users with the most events, in the order of their keys.
    pub(super) top_users: Piece,
    /// The number of each server's users.
    pub(super) servers: Piece,
    /// The keys of all pairs of a server and a user, ascending from file to file.
    pub(super) pairs: Vec<Piece>,
    /// What happened on each server.
    pub(super) places: Piece,
}

impl Totals {
    /// The totals of all partials that these pieces are of, on these days.
    pub(super) async fn of(holder: &Holder, days: Option<Seconds>, pieces: &[Piece]) -> Result<Totals, HistoryError> {
        let ranges = Vec::from_iter(days);
        let scans = |grain| -> Vec<ScanFile> {
            let pieces = pieces
                .iter()
                .filter(|piece| piece.grain == grain && piece.overlaps(&ranges));
            pieces.map(|piece| piece.scan_within(&ranges)).collect()
        };
        let (top_users, (servers, pairs), places) = try_join3(
            spawned(TOP, top_users(holder.clone(), scans(Grain::Users))),
            spawned(PAIRS, pairs(holder.clone(), scans(Grain::ServerUsers))),
            spawned(PLACES, places(holder.clone(), scans(Grain::Places))),
        )
        .await?;
        Ok(Totals {
            days,
            partials: pieces.iter().map(|piece| piece.partial.clone()).collect(),
            top_users,
            servers,
            pairs,
            places,
        })
    }

    /// Its files.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        [&self.top_users, &self.servers, &self.places]
            .into_iter()
            .chain(&self.pairs)
    }

    /// Whether these are totals of the same days, on top of which little has come in pieces like these.
    pub(super) fn suit(&self, days: Option<Seconds>, pieces: &[Piece]) -> bool {
        let partials: HashSet<&str> = pieces.iter().map(|piece| piece.partial.as_str()).collect();
        let since: u64 = pieces
            .iter()
            .filter(|piece| matches!(piece.grain, Grain::Users | Grain::ServerUsers) && !self.have(piece))
            .map(|piece| piece.rows)
            .sum();
        let pairs: u64 = self.pairs.iter().map(|piece| piece.rows).sum();
        self.days == days
            && self.partials.iter().all(|partial| partials.contains(partial.as_str()))
            && since <= FEW_ROWS + pairs / PAIRS_PER_ROW
    }

    /// Whether a piece is in them.
    pub(super) fn have(&self, piece: &Piece) -> bool {
        self.partials.contains(&piece.partial)
    }

    /// The contributors of these and of what came since; none where that cannot be told without all users.
    pub(super) async fn contributors(&self, since: Vec<ScanFile>) -> Result<Option<RecordBatch>, HistoryError> {
        let top_users = self.top_users.scan();
        spawned(TOP, async move {
            let fault = |error: ArrowError| query_fault(TOP, &error.into());
            let top = scan::read(&UserRows::columns(), vec![top_users.clone()]).await;
            let top = UserRows::of(&top.map_err(|error| query_fault(TOP, &error))?).map_err(fault)?;
            let others_have = match top.events.len() {
                TOP_USERS.. => top.events.values().iter().copied().min(),
                _ => None,
            };
            let mut most = Most::contributors_among(top.keys());
            let all = [top_users].into_iter().chain(since).collect();
            unite::<UserRows>(all, |parts, end| most.add(parts, end)).await?;
            let most_of_others = most.most_of_others();
            let rows = most.batch().map_err(fault)?;
            let least = numbers::<Int64Type>(&rows, "events")
                .map_err(fault)?
                .values()
                .iter()
                .min();
            let is_sure = match (others_have, most_of_others, least) {
                (Some(before), Some(since), Some(least)) => before.saturating_add(since) < *least,
                _ => true,
            };
            Ok(is_sure.then_some(rows))
        })
        .await
    }

    /// What happened on each server in these and in what came since.
    pub(super) async fn places(&self, since: Vec<ScanFile>) -> Result<RecordBatch, HistoryError> {
        let all = [self.places.scan()].into_iter().chain(since).collect();
        spawned(PLACES, by_server(all)).await
    }

    /// The number of unique users of each server in these and in what came since.
    pub(super) async fn server_unique_users(&self, since: Vec<ScanFile>) -> Result<RecordBatch, HistoryError> {
        let (servers, pairs) = (self.servers.scan(), self.pairs.clone());
        spawned(PAIRS, async move {
            let before = scan::read(&Grain::Servers.columns(), vec![servers]).await;
            let before = before.map_err(|error| query_fault(PAIRS, &error))?;
            let (mut servers, mut known) = (Servers::default(), Known::of(&pairs));
            let mut new: Vec<(u128, usize)> = Vec::new();
            let mut union = Union::<ServerUserRows>::open(since).await?;
            while let Some(end) = union.round(|parts, end| {
                let before = new.len();
                servers.add(parts, end, |key, server| new.push((key, server)));
                new[before..].sort_unstable();
            }) {
                union.go_behind(end).await?;
                if new.len() >= BATCH_PAIRS {
                    known.take_out(&new, |server| servers.uncount(server)).await?;
                    new.clear();
                }
            }
            known.take_out(&new, |server| servers.uncount(server)).await?;
            let fault = |error: ArrowError| query_fault(PAIRS, &error.into());
            servers.add_counts(&before).map_err(fault)?;
            servers.batch().map_err(fault)
        })
        .await
    }
}

/// Pairs in files, among which others are looked up that ascend as they do.
struct Known {
    batches: BoxStream<'static, Result<RecordBatch, FileFault>>,
    high: ScalarBuffer<i64>,
    low: ScalarBuffer<i64>,
    at: usize,
}

impl Known {
    fn of(pairs: &[Piece]) -> Known {
        let files: Vec<ScanFile> = pairs.iter().map(Piece::scan).collect();
        let files = stream::iter(files)
            .map(|file| scan::rows_of(Grain::Pairs.columns(), file, BATCH_PAIRS))
            .buffered(FETCHED_AT_ONCE);
        Known {
            batches: files.try_flatten().boxed(),
            high: ScalarBuffer::default(),
            low: ScalarBuffer::default(),
            at: 0,
        }
    }

    /// Calls `known` with the server of each of these pairs that is in the files. They ascend, also from call to call.
    async fn take_out(&mut self, new: &[(u128, usize)], mut known: impl FnMut(usize)) -> Result<(), HistoryError> {
        for (key, server) in new {
            while self.last().is_none_or(|last| last < *key) {
                if !self.go_on().await? {
                    return Ok(());
                }
            }
            if self.has(*key) {
                known(*server);
            }
        }
        Ok(())
    }

    /// The last pair at hand.
    fn last(&self) -> Option<u128> {
        Some(pair(*self.high.last()?, *self.low.last()?))
    }

    /// Goes on to the next batch; false where there is none.
    async fn go_on(&mut self) -> Result<bool, HistoryError> {
        let next = self.batches.try_next().await;
        let Some(batch) = next.map_err(|fault| HistoryError::from(&fault))? else {
            return Ok(false);
        };
        let half = |name| {
            let half = numbers::<Int64Type>(&batch, name).map(|half| half.values().clone());
            half.map_err(|error| query_fault(PAIRS, &error.into()))
        };
        (self.high, self.low, self.at) = (half(PAIR_HIGH)?, half(PAIR_LOW)?, 0);
        Ok(true)
    }

    /// Whether the batch at hand has this pair.
    fn has(&mut self, key: u128) -> bool {
        let wanted = (key >> 64) as u64;
        self.at += self.high[self.at..].partition_point(|high| high.cast_unsigned() < wanted);
        let halves = self.high[self.at..].iter().zip(&self.low[self.at..]);
        let mut pairs = halves.map(|(high, low)| pair(*high, *low));
        pairs.find(|pair| *pair >= key) == Some(key)
    }
}

fn pair(high: i64, low: i64) -> u128 {
    u128::from(high.cast_unsigned()) << 64 | u128::from(low.cast_unsigned())
}

async fn top_users(holder: Holder, users: Vec<ScanFile>) -> Result<Piece, HistoryError> {
    let fault = |error: ArrowError| query_fault(TOP, &error.into());
    let mut most = Most::of(TOP_USERS);
    unite::<UserRows>(users, |parts, end| most.add(parts, end)).await?;
    let rows = most.batch().map_err(fault)?;
    let keys = UserRows::of(&rows).map_err(fault)?.keys();
    let mut order: Vec<u32> = (0..).take(keys.len()).collect();
    order.sort_unstable_by_key(|row| keys[*row as usize]);
    let rows = take_record_batch(&rows, &UInt32Array::from(order)).map_err(fault)?;
    written(&holder, Grain::TopUsers, &rows).await
}

async fn pairs(holder: Holder, server_users: Vec<ScanFile>) -> Result<(Piece, Vec<Piece>), HistoryError> {
    let fault = |error: ArrowError| query_fault(PAIRS, &error.into());
    let (mut servers, mut files) = (Servers::default(), PairFiles::new(&holder)?);
    let mut union = Union::<ServerUserRows>::open(server_users).await?;
    while let Some(end) = union.round(|parts, end| {
        let known = files.keys.len();
        servers.add(parts, end, |key, _| files.keys.push(key));
        files.keys[known..].sort_unstable();
    }) {
        union.go_behind(end).await?;
        if files.keys.len() >= BATCH_PAIRS {
            files.write().await?;
        }
    }
    let servers = written(&holder, Grain::Servers, &servers.batch().map_err(fault)?).await?;
    Ok((servers, files.finish().await?))
}

async fn places(holder: Holder, places: Vec<ScanFile>) -> Result<Piece, HistoryError> {
    let rows = by_server(places).await?;
    written(&holder, Grain::PlacesOfDays, &rows).await
}

/// Keys of pairs as they ascend, on their way into files.
struct PairFiles<'a> {
    holder: &'a Holder,
    keys: Vec<u128>,
    writer: PieceWriter,
    done: Vec<Piece>,
}

impl PairFiles<'_> {
    fn new(holder: &Holder) -> Result<PairFiles<'_>, HistoryError> {
        Ok(PairFiles {
            holder,
            keys: Vec::new(),
            writer: PieceWriter::new(Grain::Pairs)?,
            done: Vec::new(),
        })
    }

    async fn write(&mut self) -> Result<(), HistoryError> {
        let half = |half: fn(u128) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(self.keys.iter().map(|key| half(*key))))
        };
        let columns = [
            half(|key| ((key >> 64) as u64).cast_signed()),
            half(|key| (key as u64).cast_signed()),
        ];
        let rows = RecordBatch::try_new(Grain::Pairs.columns(), columns.into());
        self.writer
            .write(&rows.map_err(|error| query_fault(PAIRS, &error.into()))?)?;
        self.keys.clear();
        if self.writer.rows() >= FILE_PAIRS {
            self.end_file().await?;
        }
        Ok(())
    }

    async fn end_file(&mut self) -> Result<(), HistoryError> {
        let full = std::mem::replace(&mut self.writer, PieceWriter::new(Grain::Pairs)?);
        let name = uuid::Uuid::new_v4().to_string();
        self.done.push(full.finish(self.holder, &name).await?);
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<Piece>, HistoryError> {
        self.write().await?;
        if self.writer.rows() > 0 {
            self.end_file().await?;
        }
        Ok(self.done)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::history::rollup::columns::texts;
    use crate::history::rollup::window::tests::{Done, expected_contributors, found_contributors, piece, pieces};

    const DAY: Seconds = (0, 86_399);

    /// A few users who do nearly everything, and more others than are kept.
    fn skewed() -> impl Strategy<Value = Vec<Vec<Done>>> {
        let few = prop::collection::vec((0..3_u8, 500..900_i64), 200);
        let many = prop::collection::vec((0..12_000_u32, 0..3_u8, 0..3_i64), 0..9000);
        let piece = (few, many).prop_map(|(few, many)| {
            let few = (0..).zip(few).map(|(user, (server, events))| (user, server, events));
            few.chain(many).collect()
        });
        prop::collection::vec(piece, 1..4)
    }

    /// Pieces of partials, one for each part of what was done.
    async fn encoded(parts: &[Vec<Done>]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for (number, done) in parts.iter().enumerate() {
            for grain in [Grain::Users, Grain::ServerUsers] {
                pieces.push(piece(grain, &number.to_string(), done).await);
            }
        }
        pieces
    }

    fn scans(pieces: &[Piece], grain: Grain) -> Vec<ScanFile> {
        let pieces = pieces.iter().filter(|piece| piece.grain == grain);
        pieces.map(Piece::scan).collect()
    }

    /// Contributors and numbers of users, from the totals of the first parts and the pieces of the others.
    fn computed(parts: &[Vec<Done>], first: usize) -> (Option<RecordBatch>, RecordBatch) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let pieces = encoded(parts).await;
            let (before, since) = pieces.split_at(first.min(parts.len()) * 2);
            let totals = Totals::of(&Holder::default(), Some(DAY), before).await.unwrap();
            assert!(before.iter().all(|piece| totals.have(piece)) && !since.iter().any(|piece| totals.have(piece)));
            let contributors = totals.contributors(scans(since, Grain::Users)).await.unwrap();
            let users = totals.server_unique_users(scans(since, Grain::ServerUsers)).await;
            (contributors, users.unwrap())
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn each_user_of_a_server_counts_once_whether_before_or_since(parts in pieces(), first in 0..4_usize) {
            let mut users: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
            for (user, server, _) in parts.iter().flatten() {
                users.entry(server.to_string()).or_default().insert(*user);
            }
            let (_, rows) = computed(&parts, first);
            let servers = texts(&rows, "server_name").unwrap().iter().flatten().map(str::to_owned);
            let counts = numbers::<Int64Type>(&rows, "unique_users").unwrap().values().iter().copied();
            let found: Vec<_> = servers.zip(counts).collect();
            let expected: Vec<_> = users.into_iter().map(|(server, users)| (server, users.len() as i64)).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn contributors_are_right_or_cannot_be_told(parts in pieces(), first in 0..4_usize) {
            let (rows, _) = computed(&parts, first);
            if let Some(rows) = rows {
                prop_assert_eq!(found_contributors(&rows), expected_contributors(&parts));
            }
        }

        #[test]
        fn contributors_can_be_told_where_others_are_far_behind(parts in skewed(), first in 0..4_usize) {
            let (rows, _) = computed(&parts, first);
            // Where there is nothing before, all users are others, and none of them has done anything before.
            prop_assert_eq!(found_contributors(&rows.unwrap()), expected_contributors(&parts));
        }
    }

    #[tokio::test]
    async fn totals_suit_their_days_while_little_has_come() {
        let parts = [vec![(1, 0, 1)], vec![(2, 0, 1)]];
        let pieces = encoded(&parts).await;
        let totals = Totals::of(&Holder::default(), Some(DAY), &pieces[..2]).await.unwrap();
        assert!(totals.suit(Some(DAY), &pieces[..2]) && totals.suit(Some(DAY), &pieces));
        assert!(!totals.suit(None, &pieces) && !totals.suit(Some((0, 2 * 86_399)), &pieces));
        // A partial that was merged is none of theirs any more.
        assert!(!totals.suit(Some(DAY), &pieces[2..]));
        let much = Piece {
            rows: FEW_ROWS + 1,
            ..pieces[3].clone()
        };
        assert!(!totals.suit(Some(DAY), &[pieces[0].clone(), much]));
    }

    #[tokio::test]
    async fn pairs_are_found_in_any_of_many_files() {
        let keys: Vec<u128> = (1..400_u128)
            .map(|number| ((number / 3) << 64) | (number * 7))
            .collect();
        let holder = Holder::default();
        let mut files = PairFiles::new(&holder).unwrap();
        for keys in keys.chunks(50) {
            files.keys.extend(keys);
            files.write().await.unwrap();
            files.end_file().await.unwrap();
        }
        let pairs = files.finish().await.unwrap();
        let wanted = keys.iter().flat_map(|key| [*key, key + 1]).chain([0, u128::MAX]);
        let mut new: Vec<(u128, usize)> = wanted.map(|key| (key, usize::from(keys.contains(&key)))).collect();
        new.sort_unstable();
        let (mut found, mut known) = ([0, 0], Known::of(&pairs));
        for new in new.chunks(70) {
            known.take_out(new, |is_there| found[is_there] += 1).await.unwrap();
        }
        assert_eq!(found, [0, keys.len()]);
    }
}
