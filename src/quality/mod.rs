//! Whether what is in the lake is what it should be.
//!
//! [`verify()`] proves from the lake's own records that nothing is lost or doubled: [`records`] reads what the tables'
//! logs say of each file, [`coverage`] follows what flushes claim, [`deep`] compares it with every row's offset, and
//! [`waiting`] asks the broker what is still to come.

pub mod coverage;
pub mod deep;
pub mod finding;
pub(crate) mod places;
mod records;
mod strays;
mod verify;
pub mod waiting;

pub use deep::Progress;
pub use finding::{Finding, FindingKind};
pub use verify::{PartitionReport, VerifyReport, verify};
pub use waiting::BrokerReport;
