//! A store that counts what is asked of it.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, coalesce_ranges,
};
use serde::Serialize;

/// Requests of a store, tries of one request counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Requests {
    /// Objects, or parts of them, that were asked for.
    pub gets: u64,
    /// Objects that were put.
    pub puts: u64,
    /// Folders that were listed.
    pub lists: u64,
    /// Objects that were to be deleted.
    pub deletes: u64,
    /// Bytes that were got.
    pub bytes_got: u64,
    /// Bytes that were put.
    pub bytes_put: u64,
}

/// The data files of a table that were opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Opened {
    /// How many.
    pub files: u64,
    /// Their bytes, read or not.
    pub bytes: u64,
    /// The bytes of them that were read; more than they have where some were read again.
    pub bytes_read: u64,
}

/// What a store was asked for.
#[derive(Debug)]
pub struct Counts {
    gets: AtomicU64,
    puts: AtomicU64,
    lists: AtomicU64,
    deletes: AtomicU64,
    bytes_got: AtomicU64,
    bytes_put: AtomicU64,
    /// The folder whose data files are told apart.
    folder: Path,
    /// Each of them that was opened, with its size.
    opened: Mutex<HashMap<Path, u64>>,
    bytes_read: AtomicU64,
}

impl Counts {
    fn new(folder: Path) -> Counts {
        Counts {
            gets: AtomicU64::new(0),
            puts: AtomicU64::new(0),
            lists: AtomicU64::new(0),
            deletes: AtomicU64::new(0),
            bytes_got: AtomicU64::new(0),
            bytes_put: AtomicU64::new(0),
            folder,
            opened: Mutex::default(),
            bytes_read: AtomicU64::new(0),
        }
    }

    /// What was asked for so far.
    pub fn requests(&self) -> Requests {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Requests {
            gets: of(&self.gets),
            puts: of(&self.puts),
            lists: of(&self.lists),
            deletes: of(&self.deletes),
            bytes_got: of(&self.bytes_got),
            bytes_put: of(&self.bytes_put),
        }
    }

    /// The data files that were opened so far.
    pub fn opened(&self) -> Opened {
        let opened = self.lock();
        Opened {
            files: opened.len() as u64,
            bytes: opened.values().sum(),
            bytes_read: self.bytes_read.load(Ordering::Relaxed),
        }
    }

    fn got(&self, location: &Path, bytes: u64, size: Option<u64>) {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.bytes_got.fetch_add(bytes, Ordering::Relaxed);
        let is_data = location.extension() == Some("parquet")
            && location
                .prefix_match(&self.folder)
                .is_some_and(|mut parts| parts.next().is_some_and(|part| part.as_ref() != "_delta_log"));
        if is_data {
            self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
            let mut opened = self.lock();
            let known = opened.entry(location.clone()).or_default();
            *known = size.unwrap_or(*known);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Path, u64>> {
        self.opened.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Counts what goes through to a store. `folder` is that whose data files are told apart; `local` says that the store
/// reads several parts of a file at once, as a disk does.
pub(super) fn counted(inner: Arc<dyn ObjectStore>, folder: Path, local: bool) -> (Arc<dyn ObjectStore>, Arc<Counts>) {
    let counts = Arc::new(Counts::new(folder));
    let store = CountedStore {
        inner,
        counts: Arc::clone(&counts),
        local,
    };
    (Arc::new(store), counts)
}

#[derive(Debug)]
struct CountedStore {
    inner: Arc<dyn ObjectStore>,
    counts: Arc<Counts>,
    local: bool,
}

impl fmt::Display for CountedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait::async_trait]
impl ObjectStore for CountedStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.counts.puts.fetch_add(1, Ordering::Relaxed);
        let bytes = payload.content_length() as u64;
        self.counts.bytes_put.fetch_add(bytes, Ordering::Relaxed);
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.counts.puts.fetch_add(1, Ordering::Relaxed);
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        let head = options.head;
        let result = self.inner.get_opts(location, options).await;
        match &result {
            Ok(got) if !head => self
                .counts
                .got(location, got.range.end - got.range.start, Some(got.meta.size)),
            _ => {
                self.counts.gets.fetch_add(1, Ordering::Relaxed);
            }
        }
        result
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        if self.local {
            let parts = self.inner.get_ranges(location, ranges).await?;
            let bytes = parts.iter().map(|part| part.len() as u64).sum();
            self.counts.got(location, bytes, None);
            return Ok(parts);
        }
        // As the store itself would, so that each request is seen.
        let fetch = |range| self.get_range(location, range);
        coalesce_ranges(ranges, fetch, OBJECT_STORE_COALESCE_DEFAULT).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        let counts = Arc::clone(&self.counts);
        let seen = locations.inspect(move |_| {
            counts.deletes.fetch_add(1, Ordering::Relaxed);
        });
        self.inner.delete_stream(seen.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.counts.lists.fetch_add(1, Ordering::Relaxed);
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.counts.lists.fetch_add(1, Ordering::Relaxed);
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.counts.lists.fetch_add(1, Ordering::Relaxed);
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(
        &self,
        from: &Path,
        to: &Path,
        options: object_store::RenameOptions,
    ) -> object_store::Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}
