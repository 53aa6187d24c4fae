//! An expectation as the query that finds the rows which do not meet it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::prelude::{DataFrame, SessionContext};

use super::SHOWN_ROWS;
use super::definition::Expectation;
use super::kind::{Comparison, Kind};
use super::relation::Relation;
use crate::history::HistoryError;
use crate::history::session::Engine;

/// The column that tells how many rows there are beyond those shown.
pub(super) const OFFENDING: &str = "lakebed_offending_rows";

/// What a query compares with that is no column.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Facts {
    /// Rows that were published.
    pub(super) recorded: i64,
    /// The oldest that the newest value may be, microseconds since epoch.
    pub(super) oldest: i64,
}

impl Expectation {
    /// What is true of a row that does not meet it, where each row is judged by itself.
    fn against(&self) -> Option<String> {
        match &self.kind {
            Kind::NotNull(column) => Some(format!("{} IS NULL", quoted(column))),
            Kind::Range {
                column,
                at_least,
                at_most,
            } => {
                let column = quoted(column);
                let below = at_least.map(|bound| format!("{column} < {}", bound.sql()));
                let above = at_most.map(|bound| format!("{column} > {}", bound.sql()));
                let nan = format!("isnan(CAST({column} AS DOUBLE))");
                let outside: Vec<String> = [below, above, Some(nan)].into_iter().flatten().collect();
                Some(outside.join(" OR "))
            }
            // On lines of its own, since it may end with a comment.
            Kind::Always(that) => Some(format!("NOT (\n{that}\n)")),
            _ => None,
        }
    }

    /// The query whose rows do not meet it, without their order.
    fn find(&self, facts: Facts) -> String {
        let table = self.table.name;
        match &self.kind {
            Kind::Unique(columns) => {
                let columns = list(columns);
                format!("SELECT {columns}, count(*) AS \"rows\" FROM {table} GROUP BY {columns} HAVING count(*) > 1")
            }
            Kind::NotNull(_) | Kind::Range { .. } | Kind::Always(_) => {
                let against = self.against().unwrap_or_default();
                format!("SELECT * FROM {table} WHERE {against}")
            }
            Kind::Sum {
                column,
                comparison,
                other,
                other_column,
            } => {
                let of = |table: &str, column: &str| {
                    format!(
                        "(SELECT coalesce(sum(CAST({} AS DECIMAL(38, 0))), 0) AS {} FROM {table})",
                        quoted(column),
                        quoted(&format!("{table}.{column}"))
                    )
                };
                let [ours, theirs] = [(table, column), (other.name, other_column)];
                let name = |(table, column): (&str, &String)| quoted(&format!("{table}.{column}"));
                let operator = match comparison {
                    Comparison::Equals => "<>",
                    Comparison::AtMost => ">",
                };
                format!(
                    "SELECT * FROM {} CROSS JOIN {} WHERE {} {operator} {}",
                    of(ours.0, ours.1),
                    of(theirs.0, theirs.1),
                    name(ours),
                    name(theirs)
                )
            }
            Kind::Agrees { with, on, columns } => agrees(table, with.name, on, columns),
            Kind::Dense { column, order } => format!(
                "SELECT * FROM (SELECT *, CAST(row_number() OVER (ORDER BY {order}) AS BIGINT) AS place FROM {table})
                 WHERE {} IS DISTINCT FROM place",
                quoted(column)
            ),
            Kind::Rows { at_least, at_most } => {
                let below = at_least.map(|bound| format!("count(*) < {bound}"));
                let above = at_most.map(|bound| format!("count(*) > {bound}"));
                let outside: Vec<String> = [below, above].into_iter().flatten().collect();
                format!(
                    "SELECT count(*) AS \"rows\" FROM {table} HAVING {}",
                    outside.join(" OR ")
                )
            }
            Kind::RowsRecorded => format!(
                "SELECT * FROM (SELECT count(*) AS \"rows\", CAST({} AS BIGINT) AS published FROM {table})
                 WHERE \"rows\" <> published",
                facts.recorded
            ),
            Kind::Query { sql, .. } => sql.clone(),
            Kind::Fresh { column, .. } => {
                let column = quoted(column);
                format!(
                    "SELECT * FROM (
                         SELECT
                             max({column}) AS newest,
                             arrow_cast({}, 'Timestamp(Microsecond, Some(\"UTC\"))') AS expected_from
                         FROM {}
                     )
                     WHERE newest IS NULL OR newest < expected_from",
                    facts.oldest, table
                )
            }
        }
    }

    /// The query for the first rows that do not meet it, with the number of all in [`OFFENDING`].
    pub(super) fn sql(&self, facts: Facts) -> String {
        let order = match &self.kind {
            Kind::Unique(columns) | Kind::Agrees { on: columns, .. } => Some(list(columns)),
            Kind::NotNull(_) | Kind::Range { .. } | Kind::Always(_) | Kind::Dense { .. } => {
                Some(self.table.order.to_owned())
            }
            _ => None,
        };
        let order = order.map_or_else(String::new, |order| format!("ORDER BY {order}"));
        format!(
            "SELECT *, count(*) OVER () AS {OFFENDING} FROM (\n{}\n) AS found {order} LIMIT {SHOWN_ROWS}",
            self.find(facts)
        )
    }

    /// The tables that it reads beside its own; those of a query that names no table are for the engine to refuse.
    pub(super) fn others(&self, ctx: &SessionContext) -> Vec<&'static str> {
        let named = |sql: &str| {
            let state = ctx.state();
            let dialect = state.config().options().sql_parser.dialect;
            let statement = state.sql_to_statement(sql, &dialect)?;
            state.resolve_table_references(&statement)
        };
        match &self.kind {
            Kind::Sum { other, .. } | Kind::Agrees { with: other, .. } => vec![other.name],
            Kind::Query { sql, .. } => {
                let tables = named(sql).unwrap_or_default();
                let tables = tables.iter().filter_map(|table| Relation::named(table.table()));
                tables.map(|table| table.name).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// One query for each table that counts the rows which go against those expectations that judge each row by itself, in
/// their order: most of them are met, and planning a query for each costs more than to run it.
pub(super) fn counts<'e>(expectations: &[&'e Expectation]) -> Vec<(Vec<&'e Expectation>, String)> {
    let counts = Relation::all().filter_map(|table| {
        let (judging, columns): (Vec<&Expectation>, Vec<String>) = expectations
            .iter()
            .filter(|expectation| expectation.table.name == table.name)
            .filter_map(|expectation| {
                let against = expectation.against()?;
                Some((*expectation, format!("count(*) FILTER (WHERE {against})")))
            })
            .unzip();
        let columns = columns
            .iter()
            .zip(0..)
            .map(|(column, index)| format!("{column} AS c{index}"));
        let columns: Vec<String> = columns.collect();
        (!judging.is_empty()).then(|| (judging, format!("SELECT {} FROM {}", columns.join(", "), table.name)))
    });
    counts.collect()
}

/// The keys that only one of the tables has, or for which a column differs.
fn agrees(table: &str, with: &str, on: &[String], columns: &std::collections::BTreeMap<String, String>) -> String {
    let keys = on.iter().map(|key| {
        let key = quoted(key);
        format!("coalesce(ours.{key}, theirs.{key}) AS {key}")
    });
    let values = columns.iter().flat_map(|(column, other)| {
        let of = |side: &str, table: &str, column: &str| {
            let alias = quoted(&format!("{table}.{column}"));
            format!("{side}.{} AS {alias}", quoted(column))
        };
        [of("ours", table, column), of("theirs", with, other)]
    });
    let selected: Vec<String> = keys.chain(values).collect();
    let joined: Vec<String> = on
        .iter()
        .map(|key| format!("(ours.{0} IS NOT DISTINCT FROM theirs.{0})", quoted(key)))
        .collect();
    let differs: Vec<String> = columns
        .iter()
        .map(|(column, other)| {
            let (column, other) = (quoted(column), quoted(other));
            format!("(ours.{column} IS DISTINCT FROM theirs.{other})")
        })
        .collect();
    format!(
        "SELECT {} FROM (SELECT *, true AS here FROM {table}) AS ours
         FULL JOIN (SELECT *, true AS here FROM {with}) AS theirs ON {}
         WHERE ours.here IS NULL OR theirs.here IS NULL OR {}",
        selected.join(", "),
        joined.join(" AND "),
        differs.join(" OR ")
    )
}

/// Registers a table in memory.
pub(super) fn register(ctx: &SessionContext, table: Relation, rows: RecordBatch) -> Result<(), DataFusionError> {
    let memory = MemTable::try_new(table.schema(), vec![vec![rows]])?;
    ctx.register_table(table.name, Arc::new(memory))?;
    Ok(())
}

/// A query that may only read.
pub(super) async fn read_only(ctx: &SessionContext, sql: &str) -> Result<DataFrame, DataFusionError> {
    let options = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    ctx.sql_with_options(sql, options).await
}

/// Whether the engine takes the SQL of all of them.
///
/// # Errors
/// [`HistoryError::Expectations`] with the first that it does not.
pub(super) async fn plan(all: &[Expectation]) -> Result<(), HistoryError> {
    let ctx = Engine::new()?.session();
    let fault = |expectation: &Expectation, error: &DataFusionError| HistoryError::Expectations {
        file: expectation.place.clone(),
        reason: format!("{}: {}", expectation.name(), error.find_root().strip_backtrace()),
    };
    for table in Relation::all() {
        let empty = RecordBatch::new_empty(table.schema());
        register(&ctx, table, empty).map_err(|error| HistoryError::Query {
            what: table.name.to_owned(),
            reason: error.strip_backtrace(),
        })?;
    }
    for expectation in all {
        let sql = expectation.sql(Facts::default());
        let frame = read_only(&ctx, &sql)
            .await
            .map_err(|error| fault(expectation, &error))?;
        frame
            .create_physical_plan()
            .await
            .map_err(|error| fault(expectation, &error))?;
    }
    Ok(())
}

fn list(columns: &[String]) -> String {
    columns
        .iter()
        .map(|column| quoted(column))
        .collect::<Vec<_>>()
        .join(", ")
}

fn quoted(column: &str) -> String {
    format!("\"{}\"", column.replace('"', "\"\""))
}
