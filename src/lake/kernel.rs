//! The Delta kernel, which reads tables' logs and blocks meanwhile.

use std::num::NonZeroUsize;
use std::sync::Arc;

use delta_kernel::{DeltaResult, Engine};
use delta_kernel_engine::DefaultEngineBuilder;
use delta_kernel_engine::executor::tokio::TokioMultiThreadExecutor;
use deltalake_core::logstore::LogStoreRef;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::LakeError;
use super::snapshot::delta_fault;

/// Files of a local log that are opened ahead. Each takes a thread, and what many of them leave behind is memory that all
/// that comes later is spread over; a disk is not faster for it. Of a store's answers many are waited for at a time.
const LOCAL_FILES: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// What the kernel does its work with on this log.
pub(super) fn engine(log_store: &LogStoreRef) -> Arc<dyn Engine> {
    let runtime = Handle::current();
    let is_local = log_store.root_url().scheme() == "file";
    if !is_local || runtime.runtime_flavor() != RuntimeFlavor::MultiThread {
        return log_store.engine(None);
    }
    Arc::new(
        DefaultEngineBuilder::new(log_store.root_object_store(None))
            .with_task_executor(Arc::new(TokioMultiThreadExecutor::new(runtime)))
            .with_buffer_size(LOCAL_FILES)
            .build(),
    )
}

/// Runs a call of the kernel where blocking does no harm.
///
/// # Errors
/// [`LakeError`] where the store fails or the log cannot be read.
pub(super) async fn blocking<T: Send + 'static>(
    place: &str,
    call: impl FnOnce() -> DeltaResult<T> + Send + 'static,
) -> Result<T, LakeError> {
    tokio::task::spawn_blocking(call)
        .await
        .map_err(|error| LakeError::Table {
            place: place.to_owned(),
            reason: error.to_string(),
        })?
        .map_err(|error| delta_fault(place, &error.into()))
}
