//! The query engine, held to a budget.

use std::sync::Arc;

use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};

use super::HistoryError;
use super::read_fault::query_fault;

/// What sorts and aggregations may hold in memory before they spill to temporary files, all of them together. Each may hold
/// as much as any other, and most hold next to nothing: what is really held is a fraction of this.
const MEMORY_POOL: usize = 768 * 1024 * 1024;

/// A session that spills beyond its memory pool and uses every core.
///
/// # Errors
/// [`HistoryError::Query`] where the place for temporary files cannot be used.
pub fn session() -> Result<SessionContext, HistoryError> {
    let config = SessionConfig::new()
        .with_target_partitions(cores())
        .with_information_schema(true);
    Ok(SessionContext::new_with_config_rt(config, Engine::new()?.runtime))
}

/// One memory pool for queries that run beside each other, each on one core.
///
/// A query on one core groups its rows once; on several it would group them on each, and the groups once more.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    runtime: Arc<RuntimeEnv>,
}

impl Engine {
    /// An engine with a pool of its own.
    ///
    /// # Errors
    /// [`HistoryError::Query`] where the place for temporary files cannot be used.
    pub(super) fn new() -> Result<Engine, HistoryError> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(MEMORY_POOL)))
            .build_arc()
            .map_err(|error| query_fault("anything", &error))?;
        Ok(Engine { runtime })
    }

    /// A session in which each query runs on one core.
    pub(super) fn session(&self) -> SessionContext {
        // Queries of few steps are planned for each run: a second pass of the optimizer would cost more than it saves.
        let config = SessionConfig::new()
            .with_target_partitions(1)
            .set_usize("datafusion.optimizer.max_passes", 1);
        SessionContext::new_with_config_rt(config, Arc::clone(&self.runtime))
    }
}

/// Cores that this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
