//! What the program adds up against the SQL that defines it.

use arrow::compute::cast;

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

/// The rows as text, sorted; those of a set once each.
fn sorted(grain: Grain, rows: &[RecordBatch]) -> Vec<String> {
    let mut all: Vec<String> = rows.iter().flat_map(lines).collect();
    all.sort();
    if matches!(grain, Grain::HourUsers | Grain::ServerUsers) {
        all.dedup();
    }
    all
}

async fn defined(events: &[Event], grain: &str) -> Vec<RecordBatch> {
    let ctx = grains_by_sql(events, &two_days()).await;
    ctx.table(grain).await.unwrap().collect().await.unwrap()
}

fn grains(sums: &Sums, codes: &Codes) -> Vec<(Grain, RecordBatch)> {
    let rows = |grain: Grain| codes.decoded(&sums.rows_of(grain).unwrap()).unwrap();
    [
        Grain::HourUsers,
        Grain::Users,
        Grain::ServerUsers,
        Grain::Places,
        Grain::Hours,
    ]
    .map(|grain| (grain, rows(grain)))
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
        let (mut sums, codes) = (Sums::default(), Codes::default());
        for events in [some, others] {
            sums.add_events(&codes.encoded(&viewed(events)).unwrap(), window).unwrap();
        }
        for (grain, rows) in grains(&sums, &codes) {
            let defined = runtime.block_on(defined(&events, grain.name()));
            prop_assert_eq!(sorted(grain, &[rows]), sorted(grain, &defined), "{}", grain.name());
        }
    }
}
