//! A store of which one call fails, takes effect and loses its answer, is repeated, or takes effect late; for tests.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult,
};

use super::Lake;
use crate::config::LakeSettings;

/// What happens to one call of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It fails and has no effect.
    Refused,
    /// It takes effect, and the caller is told that it failed.
    AnswerLost,
    /// It takes effect, and its answer is lost on the way to the store's client, which asks once more: a file that must not
    /// be there yet is there now.
    Repeated,
    /// It hangs until the caller gives it up, and takes effect so many calls later.
    Late(usize),
}

/// Which call, counted over all, is in trouble.
#[derive(Debug)]
pub(crate) struct Fault {
    calls: AtomicUsize,
    nth: usize,
    trouble: Trouble,
    hanging: Mutex<Option<(usize, Path, PutPayload, PutOptions)>>,
}

impl Fault {
    /// None is.
    pub fn none() -> Arc<Fault> {
        Fault::at(usize::MAX, Trouble::Refused)
    }

    /// This one is.
    pub fn at(nth: usize, trouble: Trouble) -> Arc<Fault> {
        Arc::new(Fault {
            calls: AtomicUsize::new(0),
            nth,
            trouble,
            hanging: Mutex::new(None),
        })
    }

    /// Whether so many calls were made that it was among them.
    pub fn came(&self) -> bool {
        self.calls.load(Ordering::SeqCst) > self.nth
    }

    fn next(&self) -> Option<Trouble> {
        (self.calls.fetch_add(1, Ordering::SeqCst) == self.nth).then_some(self.trouble)
    }

    /// Carries out what hangs, when its time has come.
    async fn arrive(&self, inner: &Arc<dyn ObjectStore>) {
        let calls = self.calls.load(Ordering::SeqCst);
        let due = |hanging: &mut (usize, Path, PutPayload, PutOptions)| hanging.0 <= calls;
        let arrived = self.hanging.lock().expect("no panic here").take_if(due);
        if let Some((_, location, payload, options)) = arrived {
            // Nobody waits for the answer any more.
            let _ = inner.put_opts(&location, payload, options).await;
        }
    }
}

/// Runs a test with each call of the store in each of these troubles, as far as it makes calls. It is given the fault,
/// and words for it.
pub(crate) async fn at_each_call(troubles: impl IntoIterator<Item = Trouble>, test: impl AsyncFn(Arc<Fault>, String)) {
    for trouble in troubles {
        for nth in 0.. {
            let fault = Fault::at(nth, trouble);
            test(Arc::clone(&fault), format!("{trouble:?} at call {nth}")).await;
            if !fault.came() {
                assert!(nth > 10, "the store was called {nth} times only");
                break;
            }
        }
    }
}

fn failure() -> object_store::Error {
    object_store::Error::Generic {
        store: "faulty",
        source: "connection reset by peer".into(),
    }
}

/// A lake in a folder, through a store that misbehaves once.
pub(crate) fn lake(folder: &std::path::Path, fault: Arc<Fault>) -> Lake {
    let settings = LakeSettings::of_path(folder.to_str().expect("UTF-8"));
    Lake::open_through(&settings, |inner| Arc::new(FaultyStore { inner, fault })).expect("a lake")
}

#[derive(Debug)]
struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    fault: Arc<Fault>,
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

#[async_trait::async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.fault.arrive(&self.inner).await;
        match self.fault.next() {
            Some(Trouble::Refused) => Err(failure()),
            Some(Trouble::Late(calls)) => {
                let late = (self.fault.nth + calls, location.clone(), payload, options);
                *self.fault.hanging.lock().expect("no panic here") = Some(late);
                Err(failure())
            }
            Some(Trouble::AnswerLost) => {
                self.inner.put_opts(location, payload, options).await?;
                Err(failure())
            }
            Some(Trouble::Repeated) => {
                self.inner.put_opts(location, payload.clone(), options.clone()).await?;
                self.inner.put_opts(location, payload, options).await
            }
            None => self.inner.put_opts(location, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.fault.arrive(&self.inner).await;
        match self.fault.next() {
            Some(Trouble::Repeated) | None => self.inner.get_opts(location, options).await,
            Some(_) => Err(failure()),
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        match self.fault.next() {
            Some(Trouble::Repeated) | None => self.inner.list(prefix),
            Some(_) => async { Err(failure()) }.into_stream().boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        match self.fault.next() {
            Some(Trouble::Repeated) | None => self.inner.list_with_delimiter(prefix).await,
            Some(_) => Err(failure()),
        }
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
