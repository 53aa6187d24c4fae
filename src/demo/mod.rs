//! A day of Wikipedia as lakebed's demo and tests feed it, generated: the same seed gives the same bytes.
//!
//! [`generate`] lays out the day, [`event`] writes an ordinary message, [`oddity`] the odd and the broken ones,
//! [`names`] holds what they are made of and [`random`] draws from it.

mod broker;
mod event;
pub mod generate;
mod names;
mod oddity;
pub mod random;
mod rhythm;

pub use broker::Broker;
pub use generate::{Message, day};
