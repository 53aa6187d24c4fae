//! All integration tests, in one binary: they run the real program against real servers.

mod archive;
mod archive_faults;
mod cli;
mod connections;
mod errors;
mod support;
