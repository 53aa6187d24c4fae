//! What the program adds up against the SQL that defines it.

use arrow::compute::cast;
use arrow::error::ArrowError;

use super::*;
use crate::history::rollup::Sums;
use crate::history::scan::Codes;

/// Events as a scan gives them.
fn viewed(events: &[Event]) -> RecordBatch {
    let batch = batch(events);
    let (schema, columns) = (batch.schema(), batch.columns().iter());
    let columns = schema.fields().iter().zip(columns).map(|(field, column)| {
        let column = match field.data_type() {
            DataType::Utf8 => cast(column, &DataType::Utf8View).unwrap(),
            _ => Arc::clone(column),
        };
        (field.name().as_str(), column, true)
    });
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn added(
    parts: &[RecordBatch],
    codes: &Codes,
    add: impl Fn(&mut Sums, &RecordBatch) -> Result<(), ArrowError>,
) -> Sums {
    let mut sums = Sums::default();
    for part in parts {
        add(&mut sums, &codes.encoded(part).unwrap()).unwrap();
    }
    sums
}

/// The rows as lines, in order.
fn lines(rows: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::new().with_null("␀");
    let mut lines: Vec<String> = Vec::new();
    for rows in rows {
        let columns: Vec<_> = rows
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        lines.extend((0..rows.num_rows()).map(|row| {
            let cells = columns
                .iter()
                .map(|column| format!("{:?}", column.value(row).to_string()));
            cells.collect::<Vec<_>>().join(" ")
        }));
    }
    lines.sort();
    lines
}

async fn defined(events: &[Event], grain: &str) -> Vec<RecordBatch> {
    let ctx = grains_by_sql(events, &two_days()).await;
    ctx.table(grain).await.unwrap().collect().await.unwrap()
}

fn grains(sums: &Sums, codes: &Codes) -> Vec<(&'static str, RecordBatch)> {
    let rows = [
        ("rollup", sums.detail()),
        ("users", sums.users()),
        ("server_users", sums.server_users()),
        ("places", sums.places()),
        ("hours", sums.of_hours()),
    ];
    rows.map(|(grain, rows)| (grain, codes.decoded(&rows.unwrap()).unwrap()))
        .into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn sums_are_what_the_sql_defines(events in events(), split in 0..120_usize) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let window = two_days();
        let window = (window.first_second(), window.last_second());
        let (some, others) = events.split_at(split.min(events.len()));
        let codes = Codes::default();
        let sums = added(&[viewed(some), viewed(others)], &codes, |sums, events| sums.add_events(events, window));
        for (grain, rows) in grains(&sums, &codes) {
            let defined = runtime.block_on(defined(&events, grain));
            prop_assert_eq!(lines(&[rows]), lines(&defined), "{}", grain);
        }

        // The same from rows of the finest grain, which others have added up.
        let apart = [some, others].map(|events| {
            let codes = Codes::default();
            let sums = added(&[viewed(events)], &codes, |sums, events| sums.add_events(events, window));
            codes.decoded(&sums.detail().unwrap()).unwrap()
        });
        let codes = Codes::default();
        let sums = added(&apart, &codes, Sums::add_rows);
        for (grain, rows) in grains(&sums, &codes) {
            let defined = runtime.block_on(defined(&events, grain));
            prop_assert_eq!(lines(&[rows]), lines(&defined), "{} of rows", grain);
        }
    }
}
