//! The object store under the lake: a local folder or an S3 bucket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use futures::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use tokio::time::{Instant, sleep_until, timeout_at};
use url::Url;

use super::counted::{Counts, counted};
use super::snapshot::{io_fault, store_fault};
use super::{LakeError, RAW_EVENTS};
use crate::config::{LakeSettings, Secret};
use crate::error::{HasKind, Kind};

/// No request to the store may hang for longer than this.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the store's own client keeps trying before the caller hears of a failure.
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);
/// A connection that nobody has used for so long is not used again: its other end may be gone without a word.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the store may take to answer at the start, when somebody may be waiting to see whether the settings work.
const START_TIMEOUT: Duration = Duration::from_secs(12);
/// How long to wait meanwhile after a request that failed.
const START_WAIT: Duration = Duration::from_millis(250);

/// The lake's place, opened.
#[derive(Debug, Clone)]
pub struct Lake {
    root: Arc<dyn ObjectStore>,
    /// The same store, whose client tries once: what the failure was is known before the time to answer is over.
    probe: Arc<dyn ObjectStore>,
    url: Url,
    prefix: Path,
    shown: String,
    folder: Option<PathBuf>,
}

impl Lake {
    /// Opens the lake's place; nothing is read or made yet.
    ///
    /// # Errors
    /// [`LakeError::Settings`] where the path is none that lakebed knows or a setting of the store is wrong.
    pub fn open(settings: &LakeSettings) -> Result<Lake, LakeError> {
        let fault = |reason: String| LakeError::Settings {
            path: settings.path.clone(),
            reason,
        };
        match settings.path.split_once("://") {
            Some(("s3" | "s3a", rest)) => open_s3(settings, rest),
            Some(("file", _)) => {
                let folder = Url::parse(&settings.path)
                    .ok()
                    .and_then(|url| url.to_file_path().ok())
                    .ok_or_else(|| fault("not a file URL of this machine; write file:///absolute/path".to_owned()))?;
                open_folder(folder, settings)
            }
            Some((scheme, _)) => Err(fault(format!(
                "no store speaks {scheme}://; DATA_LAKE_PATH is a folder, file://…, s3://bucket/prefix or s3a://bucket/prefix"
            ))),
            None => open_folder(PathBuf::from(&settings.path), settings),
        }
    }

    /// A lake in a folder whose store is seen through another, such as one that fails.
    ///
    /// # Errors
    /// As [`Lake::open`].
    pub fn open_through(
        settings: &LakeSettings,
        through: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>,
    ) -> Result<Lake, LakeError> {
        let lake = Lake::open(settings)?;
        let root = through(lake.root);
        Ok(Lake {
            probe: Arc::clone(&root),
            root,
            ..lake
        })
    }

    /// The same lake through a store that counts what is asked of it from now on.
    pub fn counted(&self) -> (Lake, Arc<Counts>) {
        let (root, counts) = counted(self.store(), self.path(RAW_EVENTS), self.folder.is_some());
        let lake = Lake { root, ..self.clone() };
        (lake, counts)
    }

    /// The store, whose paths begin at its root ([`Lake::path`] gives the lake's).
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.root)
    }

    /// The URL of the store's root, under which engines register it.
    pub fn store_url(&self) -> Url {
        let mut root = self.url.clone();
        root.set_path("/");
        root
    }

    /// A path in the store of something under the lake, such as `raw_events`.
    pub fn path(&self, under: &str) -> Path {
        under.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// The folder of something under the lake, where the lake is a local one.
    pub(crate) fn folder(&self, under: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(under))
    }

    /// The lake, or something under it, as its user wrote it.
    pub fn shown(&self, under: &str) -> String {
        format!("{}/{under}", self.shown.trim_end_matches('/'))
    }

    /// Makes the lake's folder where the lake is a local one; buckets are never made.
    ///
    /// # Errors
    /// [`LakeError::Refused`] or [`LakeError::Store`] where the folder cannot be made.
    pub fn make_folder(&self) -> Result<(), LakeError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        std::fs::create_dir_all(folder).map_err(|error| {
            io_fault(&self.shown, &error).unwrap_or_else(|| LakeError::Settings {
                path: self.shown.clone(),
                reason: format!("the folder cannot be made ({error}); correct DATA_LAKE_PATH"),
            })
        })
    }

    /// Makes sure that the store answers and lets us in, before any work is begun. One request that fails on its way
    /// is no proof that it does not.
    ///
    /// # Errors
    /// [`LakeError`] where it does not, or not in time; that nothing is there yet is no error.
    pub async fn reach(&self) -> Result<(), LakeError> {
        let log = self.path(RAW_EVENTS).join("_delta_log");
        let deadline = Instant::now() + START_TIMEOUT;
        let mut fault = LakeError::Store {
            place: self.shown.clone(),
            reason: format!("no answer within {} s", START_TIMEOUT.as_secs()),
        };
        loop {
            match timeout_at(deadline, self.probe.list(Some(&log)).try_next()).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => fault = store_fault(&self.shown, &error),
                Err(_) => return Err(fault),
            }
            if fault.kind() != Kind::Retry {
                return Err(fault);
            }
            sleep_until(deadline.min(Instant::now() + START_WAIT)).await;
        }
    }

    /// Whether anything lies under the lake's folder of this name.
    ///
    /// # Errors
    /// [`LakeError`] where the store fails or refuses us.
    pub async fn has_any(&self, under: &str) -> Result<bool, LakeError> {
        let first = self.root.list(Some(&self.path(under))).try_next().await;
        first
            .map(|object| object.is_some())
            .map_err(|error| store_fault(&self.shown(under), &error))
    }

    /// The log store of a Delta table under the lake.
    pub(super) fn log_store(&self, table: &str) -> LogStoreRef {
        let path = self.path(table);
        let mut location = self.url.clone();
        let folder = format!("{}/{table}/", self.url.path().trim_end_matches('/'));
        location.set_path(&folder);
        let prefixed = Arc::new(PrefixStore::new(Arc::clone(&self.root), path));
        default_logstore(prefixed, self.store(), &location, &StorageConfig::default())
    }
}

/// Delta's log names files as URLs, and readers disagree on how often such a sign is to be unescaped.
const PERCENT: &str = "a % in its path is read as an escape by some readers of Delta's log; name another path";

fn open_folder(folder: PathBuf, settings: &LakeSettings) -> Result<Lake, LakeError> {
    let fault = |reason: String| LakeError::Settings {
        path: settings.path.clone(),
        reason,
    };
    let folder = std::path::absolute(folder).map_err(|error| fault(error.to_string()))?;
    if folder.to_string_lossy().contains('%') {
        return Err(fault(PERCENT.to_owned()));
    }
    let url =
        Url::from_directory_path(&folder).map_err(|()| fault("not a path that can be written as a URL".to_owned()))?;
    let prefix = Path::from_absolute_path(&folder).map_err(|error| fault(error.to_string()))?;
    let root: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
    Ok(Lake {
        probe: Arc::clone(&root),
        root,
        url,
        prefix,
        shown: settings.path.clone(),
        folder: Some(folder),
    })
}

fn open_s3(settings: &LakeSettings, rest: &str) -> Result<Lake, LakeError> {
    let fault = |reason: String| LakeError::Settings {
        path: settings.path.clone(),
        reason,
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(fault("it names no bucket; write s3://bucket/prefix".to_owned()));
    }
    check_s3(settings, bucket).map_err(fault)?;
    let client = ClientOptions::new()
        .with_timeout(REQUEST_TIMEOUT)
        .with_connect_timeout(Duration::from_secs(5))
        .with_pool_idle_timeout(IDLE_TIMEOUT);
    let retry = RetryConfig {
        retry_timeout: RETRY_TIMEOUT,
        ..RetryConfig::default()
    };
    let once = RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(&settings.aws_region)
        .with_client_options(client);
    match (&settings.aws_access_key_id, &settings.aws_secret_access_key) {
        (Some(key), Some(secret)) => {
            builder = builder.with_access_key_id(key).with_secret_access_key(secret.reveal());
            if let Some(token) = &settings.aws_session_token {
                builder = builder.with_token(token.reveal());
            }
        }
        (None, None) => builder = with_machine_role(builder),
        (Some(_), None) => {
            return Err(fault(
                "AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not".to_owned(),
            ));
        }
        (None, Some(_)) => {
            return Err(fault(
                "AWS_SECRET_ACCESS_KEY is set but AWS_ACCESS_KEY_ID is not".to_owned(),
            ));
        }
    }
    if let Some(endpoint) = &settings.aws_endpoint_url {
        builder = builder
            .with_endpoint(endpoint.trim_end_matches('/'))
            .with_allow_http(endpoint.starts_with("http://"));
    }
    let build = |builder: AmazonS3Builder| builder.build().map_err(|error| fault(error.to_string()));
    let probe = build(builder.clone().with_retry(once))?;
    let store = build(builder.with_retry(retry))?;
    if prefix.contains('%') {
        return Err(fault(PERCENT.to_owned()));
    }
    let prefix = Path::parse(prefix.trim_matches('/')).map_err(|error| fault(error.to_string()))?;
    let url = Url::parse(&format!("s3://{bucket}/{prefix}/"))
        .map_err(|error| fault(format!("not a bucket and prefix: {error}")))?;
    Ok(Lake {
        root: Arc::new(store),
        probe: Arc::new(probe),
        url,
        prefix,
        shown: settings.path.clone(),
        folder: None,
    })
}

/// Looks for what the store's client would panic over, or send to a server that cannot understand it.
fn check_s3(settings: &LakeSettings, bucket: &str) -> Result<(), String> {
    let word = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    if !word(bucket) {
        return Err("it names no bucket that can be: those have letters, digits, dots and hyphens".to_owned());
    }
    if settings.aws_region.is_empty() || !word(&settings.aws_region) {
        return Err("AWS_REGION is no region such as us-east-1".to_owned());
    }
    let logins = [
        ("AWS_ACCESS_KEY_ID", settings.aws_access_key_id.as_deref()),
        (
            "AWS_SECRET_ACCESS_KEY",
            settings.aws_secret_access_key.as_ref().map(Secret::reveal),
        ),
        (
            "AWS_SESSION_TOKEN",
            settings.aws_session_token.as_ref().map(Secret::reveal),
        ),
    ];
    for (name, value) in logins {
        if value.is_some_and(|value| !value.chars().all(|c| c.is_ascii_graphic())) {
            return Err(format!(
                "{name} has a space, a line break or another character that no key has"
            ));
        }
    }
    let endpoint = settings.aws_endpoint_url.as_deref().map(Url::parse);
    let wrong = match endpoint {
        None => false,
        Some(Ok(url)) => {
            !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.query().is_some()
        }
        Some(Err(_)) => true,
    };
    match wrong {
        true => Err("AWS_ENDPOINT_URL is no address such as http://localhost:9000".to_owned()),
        false => Ok(()),
    }
}

/// The variables through which a machine hands its role to the client; the instance's own metadata needs none.
fn with_machine_role(builder: AmazonS3Builder) -> AmazonS3Builder {
    const ROLE_VARIABLES: [&str; 8] = [
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_ENDPOINT_URL_STS",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_METADATA_ENDPOINT",
    ];
    ROLE_VARIABLES
        .iter()
        .filter_map(|name| Some((name, std::env::var(name).ok()?)))
        .fold(builder, |builder, (name, value)| {
            match name.to_ascii_lowercase().parse() {
                Ok(key) => builder.with_config(key, value),
                Err(_) => builder,
            }
        })
}
