//! The memory budget: how it is divided, and who holds how much of the archiver's part.
//!
//! One budget bounds the whole process. What the process needs for itself is set aside; the rest is divided between
//! what Kafka's client holds before it is read, which its settings bound, and what has been read and is on its way into
//! the lake, which is counted here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the program needs whatever flows through it, bytes: code, threads, connections, the columns that are kept ready.
const OWN: usize = 80 << 20;
/// Bytes that the client library needs beside those of each message that it holds, and a little more.
const BESIDE_A_MESSAGE: usize = 1024;

/// Files of more rows than this, decoded, gain their readers nothing, and take long to put.
const LARGEST_FLUSH: usize = 128 << 20;

/// Of what flows, the part that one answer of a broker may be as large as.
const ANSWERS: usize = 192;
/// What of it is left out of account there: with little memory the answers are all the smaller.
const BESIDE_ANSWERS: usize = 32 << 20;

/// The budget divided, all in bytes where nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Messages that Kafka's client may hold before they are read.
    pub queue: usize,
    /// How many these may be.
    pub queue_messages: usize,
    /// What one answer of a broker may hold, as the broker stores it: compressed. It is unpacked at once, and nobody
    /// knows to how much before, so it is kept small beside the queue.
    pub fetch: usize,
    /// Decoded rows and rejected messages at which a buffer is flushed.
    pub flush: usize,
    /// Everything that has been read and is not in the lake yet.
    pub pipeline: usize,
}

impl Shares {
    /// Divides a budget. A broker's answers come at a time from each broker of the cluster.
    pub fn of(budget_mb: u32, brokers: usize) -> Shares {
        let budget = usize::try_from(budget_mb).unwrap_or(usize::MAX).saturating_mul(1 << 20);
        let flowing = budget.saturating_sub(OWN).max(1 << 20);
        let queue = flowing / 8;
        let pipeline = flowing / 2;
        Shares {
            queue,
            queue_messages: (queue / BESIDE_A_MESSAGE).max(1000),
            fetch: (flowing.saturating_sub(BESIDE_ANSWERS) / ANSWERS / brokers.max(1)).clamp(64 << 10, 8 << 20),
            flush: (pipeline / 8).min(LARGEST_FLUSH),
            pipeline,
        }
    }
}

/// What a flush of so many bytes of rows and rejected messages needs while its files are made: the rows, once more where
/// they are divided by month, and once more as Parquet; rejected messages as they are, as a column, and as Parquet.
pub fn to_write(rows: usize, rejected: usize) -> usize {
    rows.saturating_add(rejected).saturating_mul(3)
}

/// What it needs once its files are made and wait for the store.
pub fn to_put(rows: usize, files: usize, rejected: usize) -> usize {
    rows.saturating_add(files).saturating_add(rejected.saturating_mul(3))
}

/// What it needs once its files are in the store and only the commit is left: the rows, should another member's commit
/// make it necessary to write them anew; rejected messages are written with the commit.
pub fn to_commit(rows: usize, rejected: usize) -> usize {
    rows.saturating_add(rejected.saturating_mul(3))
}

/// Bytes held against a limit.
#[derive(Debug, Clone)]
pub struct Account {
    limit: usize,
    held: Arc<AtomicUsize>,
}

impl Account {
    /// An account that holds nothing.
    pub fn new(limit: usize) -> Account {
        Account {
            limit,
            held: Arc::default(),
        }
    }

    /// What is held, bytes.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether so much more stays within the limit. An account that holds nothing has room for anything, since what is
    /// too large for it must still pass, one at a time.
    pub fn has_room(&self, bytes: usize) -> bool {
        let held = self.held();
        held == 0 || held.saturating_add(bytes) <= self.limit
    }

    /// Holds bytes until what is returned is dropped. It never waits: whoever asks has the bytes already.
    pub fn hold(&self, bytes: usize) -> Held {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Held {
            account: self.clone(),
            bytes,
        }
    }
}

/// Bytes held in an account; given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    account: Account,
    bytes: usize,
}

impl Held {
    /// Holds so many bytes from now on.
    pub fn set(&mut self, bytes: usize) {
        self.account.held.fetch_add(bytes, Ordering::Relaxed);
        self.account.held.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.account.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_parts_never_add_up_to_more_than_the_budget(budget_mb in 128..65_536_u32, brokers in 1..50_usize) {
            let shares = Shares::of(budget_mb, brokers);
            let budget = (budget_mb as usize) << 20;
            prop_assert!(OWN + shares.queue + shares.queue_messages * BESIDE_A_MESSAGE + shares.pipeline <= budget);
            // A flush that is being written leaves room for another that is being read.
            prop_assert!(2 * to_write(shares.flush, 0) <= shares.pipeline);
            prop_assert!(shares.fetch <= shares.queue);
        }

        #[test]
        fn an_account_holds_what_is_held(bytes in prop::collection::vec(0..1000_usize, 0..20)) {
            let account = Account::new(5000);
            let mut held: Vec<Held> = bytes.iter().map(|bytes| account.hold(*bytes)).collect();
            prop_assert_eq!(account.held(), bytes.iter().sum::<usize>());
            held.iter_mut().for_each(|held| held.set(7));
            prop_assert_eq!(account.held(), 7 * bytes.len());
            drop(held);
            prop_assert_eq!(account.held(), 0);
        }
    }

    #[test]
    fn room_ends_at_the_limit_and_what_is_too_large_passes_alone() {
        let account = Account::new(100);
        assert!(account.has_room(1000));
        let held = account.hold(60);
        assert!(account.has_room(40));
        assert!(!account.has_room(41));
        drop(held);
        assert!(account.has_room(1000));
    }
}
