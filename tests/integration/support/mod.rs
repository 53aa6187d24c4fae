//! Real servers, the real program, and readers that are not ours.

pub mod history;
pub mod http;
pub mod kafka;
pub mod lake;
pub mod metrics;
pub mod oracle;
pub mod parallel;
pub mod postgres;
pub mod program;
pub mod python;
pub mod toxiproxy;

/// A setting that `scripts/test` hands over.
pub fn service(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run the tests with scripts/test, which starts the servers they need")
    })
}

/// A name that no other test, of this run or another, has.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", uuid::Uuid::new_v4().simple())
}
