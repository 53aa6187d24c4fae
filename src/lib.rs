//! lakebed: the batch layer of a Lambda architecture in one binary.

pub mod archive;
pub mod cli;
pub mod config;
pub mod demo;
pub mod error;
pub mod event;
pub mod fail_point;
pub mod history;
pub mod kafka;
pub mod lake;
pub mod memory;
pub mod monitor;
pub mod produce;
pub mod quality;
pub mod quarantine;
pub mod query;
pub mod retry;
pub mod schedule;
pub mod validate;
