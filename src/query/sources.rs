//! The tables that a query may name.

use std::sync::Arc;

use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;

use super::QueryError;
use crate::config::PostgresSettings;
use crate::history::{self, HISTORY_TABLES, HistoryTable, TableRows};
use crate::lake::snapshot::AsOf;
use crate::lake::{Lake, LakeError, QUARANTINE, RAW_EVENTS, TableSnapshot};

/// The name of the rollup that runs keep in the lake.
const ROLLUP: &str = "rollup";

/// Opens the tables under their names; one that is none of ours is left for the engine to refuse.
pub async fn open(
    ctx: &SessionContext,
    lake: &Lake,
    postgres: &PostgresSettings,
    names: &[&str],
    as_of: AsOf,
) -> Result<(), QueryError> {
    for name in [RAW_EVENTS, QUARANTINE].into_iter().filter(|name| names.contains(name)) {
        open_archive(ctx, lake, name, as_of).await?;
    }
    if names.contains(&ROLLUP) {
        open_rollup(ctx, lake).await?;
    }
    let history: Vec<&'static HistoryTable> = HISTORY_TABLES
        .iter()
        .filter(|table| names.contains(&table.name))
        .collect();
    if history.is_empty() {
        return Ok(());
    }
    for rows in read_history(lake, postgres, history).await? {
        let fault = |error| QueryError::Failed(super::message(&error));
        let schema = rows.batch.schema();
        let memory = MemTable::try_new(schema, vec![vec![rows.batch]]).map_err(fault)?;
        ctx.register_table(rows.table.name, Arc::new(memory)).map_err(fault)?;
    }
    Ok(())
}

async fn open_rollup(ctx: &SessionContext, lake: &Lake) -> Result<(), QueryError> {
    lake.reach().await?;
    let snapshot = TableSnapshot::load(lake, history::rollup::FOLDER, AsOf::Newest)
        .await?
        .ok_or_else(|| LakeError::Missing {
            what: "rollup",
            place: lake.shown(history::rollup::FOLDER),
            help: "lakebed process keeps one",
        })?;
    Ok(history::register_table(ctx, lake, ROLLUP, &snapshot)?)
}

async fn open_archive(ctx: &SessionContext, lake: &Lake, name: &str, as_of: AsOf) -> Result<(), QueryError> {
    lake.reach().await?;
    // A version is one of raw_events; the quarantine has versions of its own.
    let as_of = match as_of {
        AsOf::Version(_) if name == QUARANTINE => AsOf::Newest,
        as_of => as_of,
    };
    let snapshot = TableSnapshot::load(lake, name, as_of)
        .await?
        .ok_or_else(|| LakeError::Missing {
            what: "table",
            place: lake.shown(name),
            help: "name the lake with DATA_LAKE_PATH, or fill it with lakebed archive",
        })?;
    Ok(history::register_table(ctx, lake, name, &snapshot)?)
}

async fn read_history(
    lake: &Lake,
    postgres: &PostgresSettings,
    tables: Vec<&'static HistoryTable>,
) -> Result<Vec<TableRows>, QueryError> {
    if postgres.host.is_none() {
        lake.reach().await?;
        return Ok(history::read_published_tables(lake, tables).await?);
    }
    Ok(history::read_published_in_postgres(postgres, tables).await?)
}
