//! All integration tests, in one binary: they run the real program against real servers.

mod archive;
mod archive_faults;
mod archive_kills;
mod archive_loss;
mod archive_topics;
mod check;
mod cli;
mod connections;
mod demo;
mod end_to_end;
mod errors;
mod groups;
mod histories;
mod interoperability;
mod lost_commits;
mod monitor;
mod outages;
mod process_kills;
mod produce;
mod publish_postgres;
mod quarantine;
mod schedule;
mod support;
mod torture;
mod validate;
mod verify;
