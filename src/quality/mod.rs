//! Whether what is in the lake is what it should be.
//!
//! [`verify()`] proves from the lake's own records that nothing is lost or doubled: [`coverage`] holds the arithmetic.

pub mod coverage;
mod offsets;
mod records;
mod verify;

pub use coverage::Finding;
pub use verify::{PartitionReport, VerifyReport, verify};
