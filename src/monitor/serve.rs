//! The HTTP port: GET /metrics and GET /healthz, and POST /run where a process runs again and again.
//!
//! A thread of its own serves it, so that it answers however busy the others are. Nobody waits for it at the end: a
//! client that keeps its connection open holds nothing up.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus::process_collector::ProcessCollector;
use prometheus::{IntGaugeVec, Opts, Registry, TEXT_FORMAT, TextEncoder};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep, timeout};

use super::families::CONSTANT;
use super::health::Verdict;
use super::{archiver, health, processor, run_health};
use crate::config::MonitorSettings;
use crate::error::{HasKind, Kind};

/// Connections that are open at a time; more wait.
const CONNECTIONS: usize = 64;
/// The most bytes that the head of a request may have. No body is read.
const HEAD_BYTES: usize = 16 * 1024;
/// How long a client may take to send the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// After how long a connection is closed behind the answer that is under way.
const CONNECTION_TIME: Duration = Duration::from_secs(300);
/// How long that answer may still take.
const LAST_ANSWER: Duration = Duration::from_secs(10);
/// How long to wait where the system has no connection to give.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Why there is no port for metrics.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// The address cannot be listened on.
    #[error("cannot listen for metrics on {address}: {error}; end what listens there, or set another METRICS_LISTEN")]
    Listen {
        /// The address as it was set.
        address: SocketAddr,
        /// The system's words.
        error: std::io::Error,
    },
}

impl HasKind for MonitorError {
    fn kind(&self) -> Kind {
        Kind::Configuration
    }
}

/// Serves the archiver of `topic`, whose flushes wait for `timeout`, where the settings ask for it; until the process
/// ends.
///
/// # Errors
/// [`MonitorError::Listen`] where the address cannot be listened on.
pub fn serve_archiver(settings: &MonitorSettings, topic: &str, timeout: Duration) -> Result<(), MonitorError> {
    let Some(listen) = settings.listen else {
        return Ok(());
    };
    let limit = timeout + settings.unhealthy_after();
    let registry = archiver_registry(topic).expect(CONSTANT);
    let router = Router::new()
        .route("/metrics", get(move || async move { metrics(&registry) }))
        .route(
            "/healthz",
            get(move || async move { healthz(&health::judge(&archiver().facts(), limit)) }),
        )
        .fallback((StatusCode::NOT_FOUND, "There are /metrics and /healthz.\n"));
    start(listen.address(), router)
}

/// Serves a process that runs again and again, where the settings ask for it; until the process ends. POST /run asks
/// `trigger` for a run.
///
/// # Errors
/// [`MonitorError::Listen`] where the address cannot be listened on.
pub fn serve_processor(settings: &MonitorSettings, trigger: Arc<Notify>) -> Result<(), MonitorError> {
    let Some(listen) = settings.listen else {
        return Ok(());
    };
    let limit = settings.unhealthy_after();
    let registry = processor_registry().expect(CONSTANT);
    let router = Router::new()
        .route("/metrics", get(move || async move { metrics(&registry) }))
        .route(
            "/healthz",
            get(move || async move { healthz(&run_health::judge(&processor().facts(), limit)) }),
        )
        .route(
            "/run",
            post(
                move |Extension(client): Extension<Client>, headers: HeaderMap| async move {
                    run(client, &headers, &trigger)
                },
            ),
        )
        .fallback((
            StatusCode::NOT_FOUND,
            "There are /metrics and /healthz, and POST /run.\n",
        ));
    start(listen.address(), router)
}

/// All that is served of an archiver.
pub(super) fn archiver_registry(topic: &str) -> prometheus::Result<Registry> {
    let registry = of_process()?;
    archiver().register(topic, &registry)?;
    Ok(registry)
}

/// All that is served of a process that runs again and again.
pub(super) fn processor_registry() -> prometheus::Result<Registry> {
    let registry = of_process()?;
    processor().register(&registry)?;
    Ok(registry)
}

fn of_process() -> prometheus::Result<Registry> {
    let registry = Registry::new();
    let build = IntGaugeVec::new(
        Opts::new("lakebed_build_info", "1, with the version of lakebed."),
        &["version"],
    )?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(build))?;
    registry.register(Box::new(ProcessCollector::for_self()))?;
    Ok(registry)
}

fn metrics(registry: &Registry) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, content_type())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

fn content_type() -> String {
    format!("{TEXT_FORMAT}; charset=utf-8")
}

fn healthz<S: Serialize>(verdict: &Verdict<S>) -> Response {
    let status = match verdict.healthy {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, JSON, json(verdict)).into_response()
}

/// Who has sent a request.
#[derive(Debug, Clone, Copy)]
struct Client(SocketAddr);

/// The answer to a wish for a run.
#[derive(Serialize)]
struct Wish {
    accepted: bool,
    reason: &'static str,
}

/// Asks for a run. There is no login, so that only this machine may ask, and no page that a browser on it shows.
fn run(client: Client, headers: &HeaderMap, trigger: &Notify) -> Response {
    let refused = |reason| {
        let wish = Wish {
            accepted: false,
            reason,
        };
        (StatusCode::FORBIDDEN, JSON, json(&wish)).into_response()
    };
    if !client.0.ip().to_canonical().is_loopback() {
        return refused("ask from the same machine, or send the process SIGUSR1");
    }
    if headers.contains_key(header::ORIGIN) {
        return refused("no web page may ask for a run");
    }
    let reason = match processor().facts().at_work {
        Some(_) => "a run is at work; another one follows it",
        None => "a run begins",
    };
    trigger.notify_one();
    let wish = Wish { accepted: true, reason };
    (StatusCode::ACCEPTED, JSON, json(&wish)).into_response()
}

const JSON: [(header::HeaderName, &str); 2] = [
    (header::CONTENT_TYPE, "application/json"),
    (header::CACHE_CONTROL, "no-store"),
];

/// A struct of flags and strings has no reason to fail.
fn json<T: Serialize>(answer: &T) -> String {
    serde_json::to_string(answer).unwrap_or_default()
}

/// Binds the address, so that one that is taken is an error here and now, and starts the thread.
fn start(address: SocketAddr, router: Router) -> Result<(), MonitorError> {
    let fault = |error| MonitorError::Listen { address, error };
    let listener = TcpListener::bind(address).map_err(fault)?;
    listener.set_nonblocking(true).map_err(fault)?;
    let bound = listener.local_addr().map_err(fault)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(fault)?;
    let serve = move || runtime.block_on(accept(listener, router));
    std::thread::Builder::new()
        .name("monitor".to_owned())
        .spawn(serve)
        .map_err(fault)?;
    tracing::info!("metrics at http://{bound}/metrics, health at http://{bound}/healthz");
    Ok(())
}

async fn accept(listener: TcpListener, router: Router) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "metrics and health are not served"),
    };
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(permit) = Arc::clone(&connections).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, client)) => {
                let answers = answer(stream, router.clone().layer(Extension(Client(client))));
                tokio::spawn(async move {
                    answers.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection for metrics was not accepted");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// Answers the requests of one connection.
async fn answer(stream: TcpStream, router: Router) {
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = sleep(CONNECTION_TIME) => None,
    };
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        // What a client does not take by then is not sent.
        let _ = timeout(LAST_ANSWER, connection).await;
    }
}
