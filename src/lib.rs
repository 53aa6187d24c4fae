//! lakebed: the batch layer of a Lambda architecture in one binary.

pub mod archive;
pub mod config;
pub mod demo;
pub mod error;
pub mod history;
pub mod kafka;
pub mod lake;
pub mod produce;
