//! Steps of archiving, of replays and of runs at which a development build can be told to die, so that tests can kill it exactly there.
//!
//! `LAKEBED_KILL_AT=after_events_commit:3` ends the process the third time that it has committed rows. A release build
//! knows nothing of it: [`reached`] is empty there.

macro_rules! steps {
    ($($(#[$meaning:meta])* $step:ident = $name:literal,)*) => {
        /// A step.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Step { $($(#[$meaning])* $step,)* }

        impl Step {
            /// All of them.
            pub const ALL: &[Step] = &[$(Step::$step,)*];

            /// Those that only a replay of the quarantine passes.
            pub const OF_REPLAYS: &[Step] = &[
                Step::BeforeReplayFile,
                Step::AfterReplayFile,
                Step::BeforeReplayCommit,
                Step::AfterReplayCommit,
                Step::BeforeReplayVoid,
                Step::AfterReplayVoid,
            ];

            /// Those that a run passes which publishes into the lake.
            pub const OF_RUNS_INTO_THE_LAKE: &[Step] = &[
                Step::BeforeRollupFiles,
                Step::BeforeRollupCommit,
                Step::AfterRollupCommit,
                Step::BeforeHistoryTable,
                Step::AfterHistoryTable,
                Step::BeforeRunRow,
                Step::AfterRunRow,
            ];

            /// Those that a run passes which publishes into PostgreSQL.
            pub const OF_RUNS_INTO_POSTGRES: &[Step] = &[
                Step::BeforeRollupFiles,
                Step::BeforeRollupCommit,
                Step::AfterRollupCommit,
                Step::BeforePostgresTable,
                Step::BeforePostgresCommit,
                Step::AfterPostgresCommit,
            ];

            /// The name by which it is told.
            pub fn name(self) -> &'static str {
                match self { $(Step::$step => $name,)* }
            }
        }
    };
}

steps! {
    /// raw_events is there, the quarantine not yet.
    BetweenTables = "between_tables",
    /// Partitions that the lake has never seen are about to get their first marks.
    BeforeFirstMarks = "before_first_marks",
    /// They have them.
    AfterFirstMarks = "after_first_marks",
    /// A file of rows is about to be put.
    BeforeEventsFile = "before_events_file",
    /// It is in the store, and no commit names it.
    AfterEventsFile = "after_events_file",
    /// A file of rejected messages is about to be put.
    BeforeQuarantineFile = "before_quarantine_file",
    /// It is in the store, and no commit names it.
    AfterQuarantineFile = "after_quarantine_file",
    /// The quarantine's commit is about to be put.
    BeforeQuarantineCommit = "before_quarantine_commit",
    /// It has landed; the rows of the same flushes have not.
    AfterQuarantineCommit = "after_quarantine_commit",
    /// The commit of rows is about to be put.
    BeforeEventsCommit = "before_events_commit",
    /// It has landed; nobody has been told.
    AfterEventsCommit = "after_events_commit",
    /// A checkpoint of a table's log is about to be written.
    BeforeCheckpoint = "before_checkpoint",
    /// It is written.
    AfterCheckpoint = "after_checkpoint",
    /// A file that no commit names is about to be deleted.
    BeforeSweep = "before_sweep",
    /// It is deleted.
    AfterSweep = "after_sweep",
    /// A file of replayed rows is about to be put.
    BeforeReplayFile = "before_replay_file",
    /// It is in the store, and no commit names it.
    AfterReplayFile = "after_replay_file",
    /// The commit of replayed rows is about to be put.
    BeforeReplayCommit = "before_replay_commit",
    /// It has landed; nobody has been told.
    AfterReplayCommit = "after_replay_commit",
    /// The count of replays is about to be moved on, so that no commit can name a file that one has left.
    BeforeReplayVoid = "before_replay_void",
    /// It has moved.
    AfterReplayVoid = "after_replay_void",
    /// The files of the rollup are about to be put.
    BeforeRollupFiles = "before_rollup_files",
    /// They are in the store, and no commit names them.
    BeforeRollupCommit = "before_rollup_commit",
    /// The rollup is kept; nothing is published.
    AfterRollupCommit = "after_rollup_commit",
    /// A history table's version is about to be made in the lake.
    BeforeHistoryTable = "before_history_table",
    /// It is there, and no run names it.
    AfterHistoryTable = "after_history_table",
    /// The row that names the versions of all five is about to be put.
    BeforeRunRow = "before_run_row",
    /// It is there: the tables are published.
    AfterRunRow = "after_run_row",
    /// A history table is about to be emptied and filled in PostgreSQL.
    BeforePostgresTable = "before_postgres_table",
    /// All five are filled, and the transaction is about to be committed.
    BeforePostgresCommit = "before_postgres_commit",
    /// It is committed: the tables are published.
    AfterPostgresCommit = "after_postgres_commit",
    /// The group's offsets are about to be told.
    BeforeGroupOffsets = "before_group_offsets",
    /// They are on their way.
    AfterGroupOffsets = "after_group_offsets",
}

/// Says that a step is reached; ends the process there if it was told to.
#[cfg(debug_assertions)]
#[expect(
    clippy::disallowed_methods,
    reason = "ends the process as SIGKILL does: at this instruction, without a destructor, with all its threads"
)]
pub fn reached(step: Step) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static TOLD: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSAGES: AtomicU64 = AtomicU64::new(0);
    let told = TOLD.get_or_init(|| std::env::var("LAKEBED_KILL_AT").ok().as_deref().and_then(parsed));
    if let Some((name, nth)) = told
        && name == step.name()
        && PASSAGES.fetch_add(1, Ordering::SeqCst) + 1 == *nth
    {
        std::process::abort();
    }
}

/// Says that a step is reached.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn reached(_: Step) {}

/// The step and the passage that `step[:nth]` tells; none where it is malformed.
#[cfg(debug_assertions)]
fn parsed(told: &str) -> Option<(String, u64)> {
    let (name, nth) = told.split_once(':').unwrap_or((told, "1"));
    Some((name.to_owned(), nth.parse().ok()?))
}
