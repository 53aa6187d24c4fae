//! Reading back what is published, all of it as of one moment.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tokio_postgres::{Row, Transaction};

use super::read::{Micros, rows};
use super::{Postgres, definition, quoted};
use crate::history::HistoryError;
use crate::history::release::{PublishedRun, Release};
use crate::history::runs::RUNS_TABLE;
use crate::history::tables::{HISTORY_TABLES, HistoryTable, TableRows};

/// Columns of lakebed_runs that are read.
const READ: [&str; 10] = [
    "id",
    "outcome",
    "mode",
    "started_at",
    "ended_at",
    "window_start",
    "window_end",
    "lake_version",
    "events_read",
    "rows_per_table",
];

impl Postgres<'_> {
    /// The five tables and the runs whose rows they hold, in one snapshot; what is not there, or has other columns, is
    /// said in its place.
    pub(in crate::history) async fn read_release(&self) -> Result<Release, HistoryError> {
        self.within_deadline("read the tables", async {
            let mut client = self.connect().await?;
            let transaction = self.begin_to_read(&mut client).await?;
            let runs = self.published_runs(&transaction).await?;
            let mut tables = Vec::new();
            for table in &HISTORY_TABLES {
                tables.push((table, self.published_rows(&transaction, table).await?));
            }
            Ok(Release {
                place: self.place(),
                tables,
                runs,
            })
        })
        .await
    }

    async fn published_rows(
        &self,
        transaction: &Transaction<'_>,
        table: &'static HistoryTable,
    ) -> Result<Result<TableRows, String>, HistoryError> {
        let found = match self.found(transaction, table.name).await? {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        };
        if found.is_empty() {
            return Ok(Err("there is no such table".to_owned()));
        }
        if let Some(difference) = definition::difference(&definition::expected(table.name), &found) {
            return Ok(Err(format!("it has other columns than are published: {difference}")));
        }
        Ok(Ok(rows(self, transaction, table).await?))
    }

    async fn published_runs(
        &self,
        transaction: &Transaction<'_>,
    ) -> Result<Result<Vec<PublishedRun>, String>, HistoryError> {
        let found = match self.found(transaction, RUNS_TABLE).await? {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        };
        if found.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        let is_read = |columns: BTreeMap<String, String>| -> BTreeMap<String, String> {
            let mut columns = columns;
            columns.retain(|name, _| READ.contains(&name.as_str()));
            columns
        };
        let expected = is_read(definition::expected(RUNS_TABLE));
        if let Some(difference) = definition::difference(&expected, &is_read(found)) {
            return Ok(Err(format!("it has other columns than runs leave: {difference}")));
        }
        let table = format!("{}.{RUNS_TABLE}", quoted(&self.settings.schema));
        let sql = format!(
            "SELECT id::text, mode, started_at, ended_at, window_start, window_end, lake_version, events_read,
                    rows_per_table::text
             FROM {table}
             WHERE outcome = 'published'
                   AND ended_at >= coalesce((SELECT max(ended_at) FROM {table}
                                             WHERE outcome = 'published' AND mode <> 'append'), '-infinity')
             ORDER BY ended_at, id"
        );
        let fault = |error| self.fault("look into lakebed_runs", &error);
        let rows = transaction.query(&sql, &[]).await.map_err(fault)?;
        let runs = rows
            .iter()
            .map(published_run)
            .collect::<Result<_, _>>()
            .map_err(fault)?;
        Ok(Ok(PublishedRun::visible(runs)))
    }

    /// The columns of whatever bears a table's name; in words where that is no table.
    async fn found(
        &self,
        transaction: &Transaction<'_>,
        table: &str,
    ) -> Result<Result<BTreeMap<String, String>, String>, HistoryError> {
        match definition::columns(self, transaction, table).await {
            Ok(found) => Ok(Ok(found)),
            Err(HistoryError::OtherColumns { difference, .. }) => Ok(Err(difference)),
            Err(error) => Err(error),
        }
    }
}

fn published_run(row: &Row) -> Result<PublishedRun, tokio_postgres::Error> {
    Ok(PublishedRun {
        id: row.try_get(0)?,
        mode: row.try_get(1)?,
        started_at: time(row, 2)?,
        ended_at: time(row, 3)?,
        window_start: time(row, 4)?,
        window_end: time(row, 5)?,
        lake_version: row.try_get(6)?,
        events_read: row.try_get(7)?,
        rows_per_table: PublishedRun::rows_from(row.try_get(8)?),
    })
}

/// A time, the nearest that there is where it lies beyond.
fn time(row: &Row, index: usize) -> Result<DateTime<Utc>, tokio_postgres::Error> {
    let Micros(micros) = row.try_get(index)?;
    let nearest = if micros < 0 {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    };
    Ok(DateTime::from_timestamp_micros(micros).unwrap_or(nearest))
}
