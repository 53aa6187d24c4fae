//! The tables' definitions in PostgreSQL: made where missing, compared where they are there.

use std::collections::BTreeMap;

use tokio_postgres::Transaction;

use super::{Postgres, quoted};
use crate::history::HistoryError;
use crate::history::runs::RUNS_TABLE;
use crate::history::tables::HISTORY_TABLES;

/// A table's name and its DDL.
pub(super) type Definition = (&'static str, &'static str);

/// The table of runs.
pub(super) const RUNS: &[Definition] = &[(RUNS_TABLE, include_str!("../../../../migrations/lakebed_runs.sql"))];

/// The five tables.
pub(super) const HISTORY: &[Definition] = &[
    (
        "historical_hourly_patterns",
        include_str!("../../../../migrations/historical_hourly_patterns.sql"),
    ),
    (
        "historical_hourly_trends",
        include_str!("../../../../migrations/historical_hourly_trends.sql"),
    ),
    (
        "historical_top_contributors",
        include_str!("../../../../migrations/historical_top_contributors.sql"),
    ),
    (
        "historical_language_distribution",
        include_str!("../../../../migrations/historical_language_distribution.sql"),
    ),
    (
        "historical_server_rankings",
        include_str!("../../../../migrations/historical_server_rankings.sql"),
    ),
];

/// What earlier versions made without a column: the table, the column, and the DDL that adds it.
const MIGRATIONS: [(&str, &str, &str); 2] = [
    (
        RUNS_TABLE,
        "corrupt_files",
        include_str!("../../../../migrations/lakebed_runs_corrupt_files.sql"),
    ),
    (
        RUNS_TABLE,
        "figures",
        include_str!("../../../../migrations/lakebed_runs_figures.sql"),
    ),
];

const RUNS_COLUMNS: [(&str, &str); 14] = [
    ("id", "uuid"),
    ("outcome", "text"),
    ("started_at", "timestamp with time zone"),
    ("ended_at", "timestamp with time zone"),
    ("window_start", "timestamp with time zone"),
    ("window_end", "timestamp with time zone"),
    ("lake_id", "text"),
    ("lake_version", "bigint"),
    ("mode", "text"),
    ("events_read", "bigint"),
    ("corrupt_files", "bigint"),
    ("rows_per_table", "jsonb"),
    ("error", "text"),
    ("figures", "jsonb"),
];

/// Makes the schema and those of the tables that are missing, and refuses one that has other columns.
///
/// What is there is not touched, not even by IF NOT EXISTS, which asks for the right to create all the same.
pub(super) async fn prepare(
    postgres: &Postgres<'_>,
    transaction: &Transaction<'_>,
    tables: &[Definition],
) -> Result<(), HistoryError> {
    let schema = &postgres.settings.schema;
    let known = transaction
        .query_opt("SELECT FROM pg_namespace WHERE nspname = $1", &[schema])
        .await
        .map_err(|error| postgres.fault("look for the schema", &error))?;
    if known.is_none() {
        let create = format!("CREATE SCHEMA {}", quoted(schema));
        transaction
            .batch_execute(&create)
            .await
            .map_err(|error| postgres.fault(&format!("make the schema {schema}"), &error))?;
    }
    for (table, ddl) in tables {
        let mut found = columns(postgres, transaction, table).await?;
        if !found.is_empty() && migrate(postgres, transaction, table, &found).await? {
            found = columns(postgres, transaction, table).await?;
        }
        if found.is_empty() {
            transaction
                .batch_execute(ddl)
                .await
                .map_err(|error| postgres.fault(&format!("make {table}"), &error))?;
        } else if let Some(difference) = difference(&expected(table), &found) {
            return Err(HistoryError::OtherColumns {
                table,
                place: postgres.place(),
                difference,
            });
        }
    }
    Ok(())
}

/// Refuses to go on without these rights on the tables, before any work: a run that lacked one would fail at its end.
pub(super) async fn need(
    postgres: &Postgres<'_>,
    transaction: &Transaction<'_>,
    tables: &[Definition],
    rights: &[&str],
) -> Result<(), HistoryError> {
    let names: Vec<&str> = tables.iter().map(|(name, _)| *name).collect();
    let lacking = transaction
        .query(
            "SELECT wanted || ' on ' || relname
             FROM pg_class
             JOIN pg_namespace ON pg_namespace.oid = relnamespace
             CROSS JOIN unnest($3::text[]) AS wanted
             WHERE nspname = $1 AND relname = ANY ($2) AND NOT has_table_privilege(pg_class.oid, wanted)
             ORDER BY relname, wanted",
            &[&postgres.settings.schema, &names, &rights],
        )
        .await
        .and_then(|rows| {
            rows.iter()
                .map(|row| row.try_get(0))
                .collect::<Result<Vec<String>, _>>()
        })
        .map_err(|error| postgres.fault("look for the rights on the tables", &error))?;
    if lacking.is_empty() {
        return Ok(());
    }
    let user = &postgres.settings.user;
    Err(postgres.lacks_rights("publish", format!("{user} has no right to {}", lacking.join(", "))))
}

/// Adds the columns that a table of an earlier version lacks; whether there were any.
async fn migrate(
    postgres: &Postgres<'_>,
    transaction: &Transaction<'_>,
    table: &str,
    found: &BTreeMap<String, String>,
) -> Result<bool, HistoryError> {
    let mut migrated = false;
    for (_, column, ddl) in MIGRATIONS.iter().filter(|(of, ..)| *of == table) {
        // Of a table that is somebody else's nothing is changed.
        let ours = expected(table)
            .iter()
            .all(|(name, wanted)| found.get(name).is_none_or(|there| there == wanted));
        if ours && found.contains_key("id") && !found.contains_key(*column) {
            transaction
                .batch_execute(ddl)
                .await
                .map_err(|error| postgres.fault(&format!("add the column {column} to {table}"), &error))?;
            migrated = true;
        }
    }
    Ok(migrated)
}

/// The columns that a table is to have, by name, with their types.
pub(super) fn expected(table: &str) -> BTreeMap<String, String> {
    let owned = |(name, column_type): (&str, &str)| (name.to_owned(), column_type.to_owned());
    match HISTORY_TABLES.iter().find(|known| known.name == table) {
        Some(known) => known
            .columns
            .iter()
            .map(|(name, column_type)| owned((name, column_type.postgres_name())))
            .collect(),
        None => RUNS_COLUMNS.into_iter().map(owned).collect(),
    }
}

/// The columns of whatever bears the table's name; none where nothing does.
pub(super) async fn columns(
    postgres: &Postgres<'_>,
    transaction: &Transaction<'_>,
    table: &str,
) -> Result<BTreeMap<String, String>, HistoryError> {
    let fault = |error| postgres.fault(&format!("look for {table}"), &error);
    let rows = transaction
        .query(
            "SELECT attname::text, format_type(atttypid, atttypmod), relkind IN ('r', 'p')
             FROM pg_class
             JOIN pg_namespace ON pg_namespace.oid = relnamespace
             LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
             WHERE nspname = $1 AND relname = $2",
            &[&postgres.settings.schema, &table],
        )
        .await
        .map_err(fault)?;
    let mut found = BTreeMap::new();
    for row in rows {
        let name: Option<String> = row.try_get(0).map_err(fault)?;
        let column_type: Option<String> = row.try_get(1).map_err(fault)?;
        if !row.try_get::<_, bool>(2).map_err(fault)? {
            return Err(HistoryError::OtherColumns {
                table: expected_name(table),
                place: postgres.place(),
                difference: "what bears its name is no table".to_owned(),
            });
        }
        found.insert(name.unwrap_or_default(), column_type.unwrap_or_default());
    }
    Ok(found)
}

fn expected_name(table: &str) -> &'static str {
    HISTORY_TABLES
        .iter()
        .map(|known| known.name)
        .find(|name| *name == table)
        .unwrap_or(RUNS_TABLE)
}

/// How the columns differ, in words; none where they do not.
pub(super) fn difference(expected: &BTreeMap<String, String>, found: &BTreeMap<String, String>) -> Option<String> {
    let missing_or_other = expected.iter().filter_map(|(name, wanted)| match found.get(name) {
        None => Some(format!("{name} {wanted} is missing")),
        Some(there) if there != wanted => Some(format!("{name} is {there} instead of {wanted}")),
        Some(_) => None,
    });
    let more = found
        .iter()
        .filter(|(name, _)| !name.is_empty() && !expected.contains_key(*name))
        .map(|(name, there)| format!("{name} {there} is one too many"));
    let all: Vec<String> = missing_or_other.chain(more).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_history_table_has_its_ddl_in_order() {
        let names: Vec<_> = HISTORY_TABLES.iter().map(|table| table.name).collect();
        let ddl: Vec<_> = HISTORY.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ddl);
    }

    #[test]
    fn a_difference_names_each_column() {
        let columns = |list: &[(&str, &str)]| {
            list.iter()
                .map(|(name, column_type)| ((*name).to_owned(), (*column_type).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let ours = columns(&[("a", "bigint"), ("b", "text"), ("c", "text")]);
        assert_eq!(difference(&ours, &ours), None);
        assert_eq!(
            difference(&ours, &columns(&[("a", "integer"), ("b", "text"), ("d", "text")])).unwrap(),
            "a is integer instead of bigint, c text is missing, d text is one too many"
        );
    }
}
