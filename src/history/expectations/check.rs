//! Whether a release meets what is expected of it.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use chrono::{DateTime, TimeDelta, Utc};
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt, stream};

use super::definition::Expectation;
use super::kind::Kind;
use super::query::{self, Facts, OFFENDING};
use super::relation::{RUNS, Relation};
use super::result::{CheckResult, Failure, rows_without};
use crate::history::HistoryError;
use crate::history::read_fault::query_fault;
use crate::history::release::{PublishedRun, Release};
use crate::history::rollup::spawned;
use crate::history::session::{Engine, cores};

/// A run whose window ends no further than this from its start was one up to its own present.
const LIVE: TimeDelta = TimeDelta::hours(1);

/// When a release is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// It is published, and the clock shows this.
    Published {
        /// What the clock shows.
        now: DateTime<Utc>,
    },
    /// It is about to be published.
    Computed,
}

impl Occasion {
    fn help(self) -> &'static str {
        match self {
            Occasion::Published { .. } => {
                "run lakebed process again, which publishes all rows anew (in mode overwrite); if it comes back, run it with --full, and find out who else writes to the table"
            }
            Occasion::Computed => {
                "look at the events behind these rows with lakebed query; with --full the run computes them from the events alone, in case what earlier runs kept is wrong"
            }
        }
    }
}

/// Checks the tables and the runs of a release against these expectations.
///
/// # Errors
/// [`HistoryError::Query`] or [`HistoryError::Memory`] where a check itself fails. What is not met is no error.
pub async fn check(
    expectations: &[Expectation],
    release: &Release,
    occasion: Occasion,
) -> Result<Vec<CheckResult>, HistoryError> {
    let mut results = Vec::new();
    let ctx = Engine::new()?.session();
    let there = open(&ctx, release, occasion, &mut results)?;
    let mut asked = Vec::new();
    for expectation in expectations {
        if occasion == Occasion::Computed && matches!(expectation.kind, Kind::Fresh { .. }) {
            // What is not published does not become fresher.
            continue;
        }
        match unchecked(&ctx, expectation, release, &there) {
            Some(reason) => {
                results.push(CheckResult::not_checked(
                    expectation.table.name,
                    expectation.name(),
                    reason,
                ));
            }
            None => asked.push(expectation),
        }
    }
    let met = met_by_count(&ctx, &asked).await;
    let (met, open): (Vec<&Expectation>, Vec<&Expectation>) = asked
        .into_iter()
        .partition(|expectation| met.iter().any(|met| std::ptr::eq(*met, *expectation)));
    results.extend(met.iter().map(|met| CheckResult::met(met.table.name, met.name())));
    let tasks: Vec<_> = open
        .into_iter()
        .map(|expectation| one(&ctx, expectation, release, occasion))
        .collect();
    let checked: Vec<CheckResult> = stream::iter(tasks).buffered(cores()).try_collect().await?;
    results.extend(checked);
    results.sort_by_key(|result| Relation::all().position(|table| table.name == result.table));
    Ok(results)
}

/// Those of the expectations that a count of rows shows to be met.
async fn met_by_count<'e>(ctx: &SessionContext, asked: &[&'e Expectation]) -> Vec<&'e Expectation> {
    let mut met = Vec::new();
    for (judging, sql) in query::counts(asked) {
        let counted = async { query::read_only(ctx, &sql).await?.collect().await };
        // Where one of them cannot be computed over these rows, each is asked by itself.
        let Ok(counts) = counted.await else {
            continue;
        };
        let none_against = |column: usize| {
            let count = counts.first()?.column(column).as_primitive_opt::<Int64Type>()?;
            (!count.is_empty()).then(|| count.value(0) == 0)
        };
        let columns = judging.iter().enumerate();
        met.extend(columns.filter_map(|(column, met)| none_against(column)?.then_some(*met)));
    }
    met
}

/// Registers what is there, and says what is not.
fn open(
    ctx: &SessionContext,
    release: &Release,
    occasion: Occasion,
    results: &mut Vec<CheckResult>,
) -> Result<Vec<&'static str>, HistoryError> {
    let mut there = Vec::new();
    let mut add = |table: Relation, rows| {
        query::register(ctx, table, rows).map_err(|error| query_fault(table.name, &error))?;
        there.push(table.name);
        Ok::<_, HistoryError>(())
    };
    let published = match &release.runs {
        Ok(runs) => !runs.is_empty(),
        Err(_) => true,
    };
    match &release.runs {
        Ok(runs) if runs.is_empty() => results.push(CheckResult::not_met(
            RUNS.name,
            "published",
            Failure {
                reason: format!("no run has published its tables to {}", release.place),
                offending: 1,
                help: "publish them with lakebed process, or name the place where they are: POSTGRES_HOST and POSTGRES_SCHEMA, or DATA_LAKE_PATH".to_owned(),
                ..Failure::default()
            },
        )),
        Ok(runs) => {
            add(RUNS, PublishedRun::batch(runs)?)?;
            results.push(CheckResult::met(RUNS.name, "published"));
        }
        Err(reason) => results.push(CheckResult::not_met(RUNS.name, "columns", unreadable(reason, occasion))),
    }
    for (table, rows) in &release.tables {
        match rows {
            Ok(rows) => {
                if let Some(relation) = Relation::named(table.name) {
                    add(relation, rows.batch.clone())?;
                }
                results.push(CheckResult::met(table.name, "columns"));
            }
            Err(_) if !published => {
                results.push(CheckResult::not_checked(
                    table.name,
                    "columns",
                    "no run has published it",
                ));
            }
            Err(reason) => results.push(CheckResult::not_met(
                table.name,
                "columns",
                unreadable(reason, occasion),
            )),
        }
    }
    Ok(there)
}

fn unreadable(reason: &str, occasion: Occasion) -> Failure {
    Failure {
        reason: reason.to_owned(),
        offending: 1,
        help: occasion.help().to_owned(),
        ..Failure::default()
    }
}

/// Why an expectation says nothing about this release, if it does not.
fn unchecked(
    ctx: &SessionContext,
    expectation: &Expectation,
    release: &Release,
    there: &[&'static str],
) -> Option<String> {
    let table = expectation.table.name;
    let tables = [table].into_iter().chain(expectation.others(ctx));
    if let Some(missing) = tables.into_iter().find(|table| !there.contains(table)) {
        return Some(format!("{missing} cannot be read"));
    }
    let runs = release.runs.as_deref().unwrap_or_default();
    let of_one_run = matches!(
        expectation.kind,
        Kind::Unique(_) | Kind::Agrees { .. } | Kind::Dense { .. } | Kind::Rows { .. } | Kind::Query { .. }
    );
    if of_one_run && table != RUNS.name && runs.len() > 1 {
        return Some(format!("the tables hold the rows of {} runs (mode append)", runs.len()));
    }
    match &expectation.kind {
        Kind::RowsRecorded if recorded(runs, table).is_none() => {
            Some("the run did not say how many it published".into())
        }
        Kind::Fresh { within_hours: None, .. } => Some("MAX_AGE_HOURS does not say how old it may be".to_owned()),
        Kind::Fresh { .. } if table != RUNS.name => match runs.last() {
            Some(run) if (run.started_at - run.window_end).abs() <= LIVE => None,
            _ => Some("the run's window ends at a time that was given, not at the run's own".to_owned()),
        },
        _ => None,
    }
}

/// Rows that these runs published into a table; none where one of them does not say.
fn recorded(runs: &[PublishedRun], table: &str) -> Option<i64> {
    let rows = runs.iter().map(|run| run.rows_per_table.get(table).copied());
    rows.sum::<Option<i64>>().filter(|_| !runs.is_empty())
}

fn one(
    ctx: &SessionContext,
    expectation: &Expectation,
    release: &Release,
    occasion: Occasion,
) -> impl Future<Output = Result<CheckResult, HistoryError>> + Send + 'static {
    let runs = release.runs.as_deref().unwrap_or_default();
    let facts = Facts {
        recorded: recorded(runs, expectation.table.name).unwrap_or_default(),
        oldest: oldest(expectation, runs, occasion).timestamp_micros(),
    };
    let (ctx, expectation) = (ctx.clone(), expectation.clone());
    spawned("what is expected of the tables", async move {
        ask(&ctx, &expectation, facts, occasion).await
    })
}

async fn ask(
    ctx: &SessionContext,
    expectation: &Expectation,
    facts: Facts,
    occasion: Occasion,
) -> Result<CheckResult, HistoryError> {
    let (table, name) = (expectation.table.name, expectation.name());
    let fault = |error| query_fault(&format!("whether {table} meets {name}"), &error);
    let found = async { query::read_only(ctx, &expectation.sql(facts)).await?.collect().await };
    let batches = match found.await.map_err(fault) {
        Ok(batches) => batches,
        // Planned it was, so the rows are at fault.
        Err(HistoryError::Query { reason, .. }) => {
            let reason = format!("it cannot be computed over these rows: {reason}");
            return Ok(CheckResult::not_met(table, name, unreadable(&reason, occasion)));
        }
        Err(error) => return Err(error),
    };
    let first = batches.iter().find(|batch| batch.num_rows() > 0);
    let Some(first) = first else {
        return Ok(CheckResult::met(table, name));
    };
    let offending = first
        .column_by_name(OFFENDING)
        .and_then(|column| column.as_primitive_opt::<Int64Type>())
        .map_or(1, |column| column.value(0).unsigned_abs());
    let rows = rows_without(OFFENDING, &batches).map_err(|error| fault(error.into()))?;
    Ok(CheckResult::not_met(
        table,
        name,
        Failure {
            reason: expectation.reason(offending),
            because: expectation.because.clone(),
            offending,
            rows,
            help: expectation.help.clone().unwrap_or_else(|| occasion.help().to_owned()),
        },
    ))
}

/// How old the newest value of a column may be: by the clock for a run, by the end of its window for its rows.
fn oldest(expectation: &Expectation, runs: &[PublishedRun], occasion: Occasion) -> DateTime<Utc> {
    let Kind::Fresh {
        within_hours: Some(within_hours),
        ..
    } = expectation.kind
    else {
        return DateTime::UNIX_EPOCH;
    };
    let from = match (occasion, runs.last()) {
        (Occasion::Published { now }, _) if expectation.table.name == RUNS.name => now,
        (_, Some(run)) => run.window_end,
        (Occasion::Published { now }, None) => now,
        (Occasion::Computed, None) => DateTime::UNIX_EPOCH,
    };
    from.checked_sub_signed(TimeDelta::hours(within_hours.into()))
        .unwrap_or(DateTime::UNIX_EPOCH)
}
