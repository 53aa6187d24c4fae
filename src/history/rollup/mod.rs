//! The rollup: counts and sums of the events, from which the five tables are computed and which the lake keeps.
//!
//! A batch of files is summed up ([`batch`], [`sums`]) at four grains at once, which `views/rollup*.sql` define; those with
//! users in them, whose rows stand in an order ([`order`]), are united ([`union`]) and counted by the hour ([`hours`]) and
//! over the window ([`window`]), whose [`totals`] are kept. What one batch gives is a *partial*: partials of any split of the
//! events add up. They are [`piece::Piece`]s, Parquet files of one grain each, and the lake keeps them as a Delta table
//! ([`kept`]) beside a record of what they cover. A run sums up only what that does not cover yet ([`plan`], [`refresh`]),
//! merges small partials ([`merge`]), and looks at events themselves where the window cuts an hour or a day ([`cut`]).

mod batch;
mod columns;
mod cut;
mod grain;
mod hours;
mod kept;
mod merge;
mod order;
mod piece;
mod places;
mod plan;
mod refresh;
mod relations;
mod sums;
mod totals;
mod union;
mod window;

pub(super) use batch::spawned;
pub use kept::FOLDER;
pub(super) use kept::{Found, find};
pub(super) use refresh::{Request, Summed, sum_up};
pub use refresh::{RollupReport, RollupState};
pub(super) use relations::Relations;

#[cfg(test)]
pub(super) use grain::{Grain, ROLLUP_SQL};
#[cfg(test)]
pub(super) use kept::MARK;
#[cfg(test)]
pub(super) use sums::Sums;
#[cfg(test)]
pub(super) use window::SERVER_UNIQUE_USERS_SQL;
