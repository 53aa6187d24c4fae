//! The rule as a table.

use super::*;

const LIMIT: Duration = Duration::from_secs(360);
const SHORT: Duration = Duration::from_secs(359);
const LONG: Duration = Duration::from_secs(361);

fn reading() -> Facts {
    Facts {
        phase: Phase::Reading,
        partitions: 4,
        waiting: None,
        silent: Some(Duration::from_secs(5)),
        kafka_away: None,
        store_away: None,
        halted: Vec::new(),
    }
}

fn waiting(without_commit: Duration) -> Option<Waiting> {
    Some(Waiting {
        messages: 1200,
        partition: 3,
        without_commit,
    })
}

#[test]
fn table_of_verdicts() {
    let halted = vec![(2, "offsets 4 to 9 are gone".to_owned())];
    let table: [(&str, Facts, bool, Status); 19] = [
        ("an idle topic", reading(), true, Status::Idle),
        (
            "more members than partitions",
            Facts {
                partitions: 0,
                ..reading()
            },
            true,
            Status::Idle,
        ),
        (
            "work",
            Facts {
                waiting: waiting(SHORT),
                ..reading()
            },
            true,
            Status::Archiving,
        ),
        (
            "exactly the limit",
            Facts {
                waiting: waiting(LIMIT),
                ..reading()
            },
            true,
            Status::Archiving,
        ),
        (
            "no commit",
            Facts {
                waiting: waiting(LONG),
                ..reading()
            },
            false,
            Status::Stalled,
        ),
        (
            "an outage of the store, early",
            Facts {
                waiting: waiting(SHORT),
                store_away: Some(LONG),
                ..reading()
            },
            true,
            Status::Archiving,
        ),
        (
            "an outage of the store",
            Facts {
                waiting: waiting(LONG),
                store_away: Some(LONG),
                ..reading()
            },
            false,
            Status::Stalled,
        ),
        (
            "the store away, nothing to write",
            Facts {
                store_away: Some(LONG),
                ..reading()
            },
            true,
            Status::Idle,
        ),
        (
            "a short outage of Kafka",
            Facts {
                kafka_away: Some(SHORT),
                ..reading()
            },
            true,
            Status::Idle,
        ),
        (
            "a long outage of Kafka",
            Facts {
                kafka_away: Some(LONG),
                ..reading()
            },
            false,
            Status::KafkaAway,
        ),
        (
            "Kafka away while messages wait",
            Facts {
                kafka_away: Some(LONG),
                waiting: waiting(LONG),
                ..reading()
            },
            false,
            Status::Stalled,
        ),
        (
            "a halted partition beside good ones",
            Facts {
                halted: halted.clone(),
                ..reading()
            },
            false,
            Status::Halted,
        ),
        (
            "a hanging thread",
            Facts {
                silent: Some(LONG),
                ..reading()
            },
            false,
            Status::Stalled,
        ),
        (
            "a start",
            Facts {
                phase: Phase::Starting(SHORT),
                silent: None,
                partitions: 0,
                ..reading()
            },
            true,
            Status::Starting,
        ),
        (
            "a start that leads nowhere",
            Facts {
                phase: Phase::Starting(LONG),
                silent: None,
                partitions: 0,
                ..reading()
            },
            false,
            Status::Starting,
        ),
        (
            "a rebalance",
            Facts {
                phase: Phase::Settling(SHORT),
                ..reading()
            },
            true,
            Status::Rebalancing,
        ),
        (
            "a rebalance without end",
            Facts {
                phase: Phase::Settling(LONG),
                ..reading()
            },
            false,
            Status::Rebalancing,
        ),
        (
            "a rebalance over messages that wait",
            Facts {
                phase: Phase::Settling(SHORT),
                waiting: waiting(LONG),
                ..reading()
            },
            false,
            Status::Stalled,
        ),
        (
            "an end",
            Facts {
                phase: Phase::Ending,
                halted,
                waiting: waiting(LONG),
                ..reading()
            },
            true,
            Status::Ending,
        ),
    ];
    for (what, facts, healthy, status) in table {
        let verdict = judge(&facts, LIMIT);
        assert_eq!(
            (verdict.healthy, verdict.status),
            (healthy, status),
            "{what}: {}",
            verdict.reason
        );
    }
}

#[test]
fn the_reason_names_the_cause() {
    let facts = Facts {
        waiting: waiting(LONG),
        store_away: Some(Duration::from_secs(400)),
        ..reading()
    };
    assert_eq!(
        judge(&facts, LIMIT).reason,
        "1200 messages wait, and of partition 3 none was committed for 361 s; the lake's store has been away for 400 s"
    );
    let facts = Facts {
        halted: vec![(2, "offsets 4 to 9 are gone".to_owned()), (3, "x".to_owned())],
        ..reading()
    };
    assert_eq!(
        judge(&facts, LIMIT).reason,
        "partition 2 is halted until somebody acts: offsets 4 to 9 are gone (1 more are halted)"
    );
}
