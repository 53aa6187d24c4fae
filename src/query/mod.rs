//! Ad-hoc SQL, read only, over raw_events, quarantine and the five history tables.
//!
//! Only the tables that a statement names are opened ([`sources`]); what it gives is written as it comes ([`output`]).

pub mod output;
mod sources;

use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SQLOptions;

pub use output::QueryFormat;

use crate::config::PostgresSettings;
use crate::error::{HasKind, Kind};
use crate::history::{self, HistoryError};
use crate::lake::snapshot::AsOf;
use crate::lake::{Lake, LakeError};

/// What can go wrong with a query.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The history tables.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The statement is no query, or names what is not there.
    #[error("cannot run this query: {0}")]
    Statement(String),
    /// The query began and failed.
    #[error("the query failed: {0}")]
    Failed(String),
    /// The result could not be written.
    #[error("the result could not be written: {0}")]
    Output(#[from] std::io::Error),
}

impl HasKind for QueryError {
    fn kind(&self) -> Kind {
        match self {
            QueryError::Lake(error) => error.kind(),
            QueryError::History(error) => error.kind(),
            QueryError::Statement(_) => Kind::Configuration,
            QueryError::Failed(_) => Kind::Data,
            QueryError::Output(_) => Kind::Resource,
        }
    }
}

/// Runs one query; its rows come as they are computed.
///
/// # Errors
/// [`QueryError`]; a statement that would change anything is refused.
pub async fn run(
    sql: &str,
    lake: &Lake,
    postgres: &PostgresSettings,
    as_of: AsOf,
) -> Result<SendableRecordBatchStream, QueryError> {
    let refused = |error: DataFusionError| refusal(&error);
    let ctx = history::session()?;
    let state = ctx.state();
    let statement = state
        .sql_to_statement(sql, &state.config().options().sql_parser.dialect)
        .map_err(refused)?;
    let named = state.resolve_table_references(&statement).map_err(refused)?;
    let named: Vec<&str> = named.iter().map(|table| table.table()).collect();
    sources::open(&ctx, lake, postgres, &named, as_of).await?;
    let read_only = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    let frame = ctx.sql_with_options(sql, read_only).await.map_err(refused)?;
    frame.execute_stream().await.map_err(|error| failure(&error))
}

/// Why a query failed on its way; of a file that cannot be read its name is told.
fn failure(error: &DataFusionError) -> QueryError {
    match history::query_fault("the query", error) {
        fault @ (HistoryError::File { .. } | HistoryError::Store { .. }) => QueryError::History(fault),
        HistoryError::Memory { reason, .. } => QueryError::Failed(format!(
            "it needs more memory than it may take ({reason}); ask for less at a time"
        )),
        _ => QueryError::Failed(message(error)),
    }
}

/// What the engine says, without the names of its own parts around it.
fn message(error: &DataFusionError) -> String {
    let root = error.find_root();
    match root {
        DataFusionError::Plan(reason) => reason.clone(),
        DataFusionError::SQL(reason, _) => reason.to_string(),
        other => other.strip_backtrace(),
    }
}

/// Why a statement cannot be run, with what to do.
fn refusal(error: &DataFusionError) -> QueryError {
    let reason = message(error);
    let help = if reason.contains("not supported") {
        "; lakebed query only reads: write one SELECT, EXPLAIN or DESCRIBE"
    } else if reason.contains("table '") {
        "; the tables are raw_events, quarantine, historical_hourly_patterns, historical_hourly_trends, historical_top_contributors, historical_language_distribution, historical_server_rankings and rollup"
    } else {
        ""
    };
    QueryError::Statement(format!("{reason}{help}"))
}
