//! The Delta kernel, which reads tables' logs and blocks meanwhile.

use std::num::NonZeroUsize;
use std::sync::Arc;

use delta_kernel::{DeltaResult, Engine, Snapshot};
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

/// A table's newest version, or this one; none where its folder has no log.
///
/// # Errors
/// [`LakeError`] where the store fails, or the log cannot be read or has no such version.
pub(super) async fn load(
    log_store: &LogStoreRef,
    place: &str,
    version: Option<u64>,
) -> Result<Option<Arc<Snapshot>>, LakeError> {
    let build = || {
        let (url, engine) = (log_store.root_url().clone(), engine(log_store));
        blocking(place, move || {
            let newest = Snapshot::builder_for(url.as_str());
            let builder = match version {
                Some(version) => newest.at_version(version),
                None => newest,
            };
            builder.build(engine.as_ref())
        })
    };
    match build().await {
        Err(LakeError::Table { .. }) => {}
        loaded => return loaded.map(Some),
    }
    // Asked only now, since it is a request of its own, and again built then: the log may have been made meanwhile.
    let exists = log_store.is_delta_table_location().await;
    match exists.map_err(|error| delta_fault(place, &error))? {
        true => build().await.map(Some),
        false => Ok(None),
    }
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
