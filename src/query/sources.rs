//! The tables that a query may name.

use std::sync::Arc;

use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;

use super::QueryError;
use crate::config::PostgresSettings;
use crate::history::{self, HISTORY_TABLES};
use crate::lake::snapshot::AsOf;
use crate::lake::{Lake, LakeError, QUARANTINE, RAW_EVENTS, TableSnapshot};

/// Opens a table under its name; one that is none of ours is left for the engine to refuse.
pub async fn open(
    ctx: &SessionContext,
    lake: &Lake,
    postgres: &PostgresSettings,
    name: &str,
    as_of: AsOf,
) -> Result<(), QueryError> {
    if ctx.table_exist(name).unwrap_or_default() {
        return Ok(());
    }
    if name == RAW_EVENTS || name == QUARANTINE {
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
        history::register_table(ctx, lake, name, &snapshot)?;
    }
    if let Some(table) = HISTORY_TABLES.iter().find(|table| table.name == name) {
        let rows = match &postgres.host {
            Some(_) => history::read_published_in_postgres(postgres, table).await?,
            None => {
                lake.reach().await?;
                history::read_published_table(lake, table).await?
            }
        };
        let fault = |error| QueryError::Failed(super::message(&error));
        let schema = rows.batch.schema();
        let memory = MemTable::try_new(schema, vec![vec![rows.batch]]).map_err(fault)?;
        ctx.register_table(name, Arc::new(memory)).map_err(fault)?;
    }
    Ok(())
}
