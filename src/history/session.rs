//! The query engine, held to a budget.

use std::sync::Arc;

use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::HistoryError;
use super::read_fault::query_fault;

/// What sorts and aggregations may hold in memory before they spill to temporary files.
const MEMORY_POOL: usize = 512 * 1024 * 1024;

/// A session that spills beyond its memory pool and uses every core.
///
/// # Errors
/// [`HistoryError::Query`] where the place for temporary files cannot be used.
pub fn session() -> Result<SessionContext, HistoryError> {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(MEMORY_POOL)))
        .build_arc()
        .map_err(|error| query_fault("anything", &error))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let config = SessionConfig::new()
        .with_target_partitions(cores)
        .with_information_schema(true);
    Ok(SessionContext::new_with_config_rt(config, runtime))
}
