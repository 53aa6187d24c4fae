//! A file on a web server, or a live stream of server-sent events, as a reader.
//!
//! A live stream has no end: when its connection is lost it is asked for again, from behind the last event that was
//! passed on whole. A file is read once.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures::StreamExt;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::sync::mpsc::Sender;

use super::{InputError, Line, recognise};
use crate::error::{HasKind, Kind};
use crate::retry::Patience;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A live stream that is silent for so long is taken for lost.
const SILENCE: Duration = Duration::from_secs(60);
/// How often a waiting reader looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(200);

/// Why a URL was not read, or not to its end.
#[derive(Debug, thiserror::Error)]
enum StreamFault {
    #[error("{0}")]
    Lost(String),
    #[error("{0}")]
    Refused(String),
}

impl HasKind for StreamFault {
    fn kind(&self) -> Kind {
        match self {
            StreamFault::Lost(_) => Kind::Retry,
            StreamFault::Refused(_) => Kind::Configuration,
        }
    }
}

/// Asks for a URL; its content is fetched as it is read, and ends early once `stop` is set.
///
/// # Errors
/// [`InputError::Failed`] where the server cannot be reached, [`InputError::Unopened`] where it refuses.
pub async fn open(url: Url, stop: Arc<AtomicBool>) -> Result<impl Read + Send + 'static, InputError> {
    let unopened = |reason: String| InputError::Unopened {
        name: url.to_string(),
        reason,
    };
    let client = Client::builder()
        .user_agent(concat!("lakebed/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(SILENCE)
        .build()
        .map_err(|error| unopened(error.to_string()))?;
    let response = ask(&client, &url, None).await.map_err(|fault| match fault {
        StreamFault::Refused(reason) => unopened(reason),
        StreamFault::Lost(reason) => InputError::Failed {
            name: url.to_string(),
            lines: 0,
            reason,
        },
    })?;
    let (chunks, received) = tokio::sync::mpsc::channel(16);
    let live = is_live(&response);
    tokio::spawn(async move {
        let ended = if live {
            follow(&client, &url, response, &chunks).await
        } else {
            pass_on(response, &chunks).await
        };
        if let Err(fault) = ended {
            // Nobody is told where the reader has gone.
            let _ = chunks.send(Err(io::Error::other(fault.to_string()))).await;
        }
    });
    Ok(Body::new(received, stop))
}

async fn ask(client: &Client, url: &Url, after: Option<&str>) -> Result<Response, StreamFault> {
    let mut request = client
        .get(url.clone())
        .header(ACCEPT, "text/event-stream, application/x-ndjson, */*");
    if let Some(id) = after {
        request = request.header("Last-Event-ID", id);
    }
    let response = request.send().await.map_err(|error| StreamFault::Lost(full(&error)))?;
    match response.status() {
        status if status.is_success() => Ok(response),
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            Err(StreamFault::Lost(format!("the server answered {status}")))
        }
        status => Err(StreamFault::Refused(format!("the server answered {status}"))),
    }
}

fn is_live(response: &Response) -> bool {
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}

async fn pass_on(response: Response, chunks: &Sender<io::Result<Bytes>>) -> Result<(), StreamFault> {
    let mut body = response.bytes_stream();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| StreamFault::Lost(full(&error)))?;
        if chunks.send(Ok(chunk)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Passes a live stream's whole lines on, for as long as somebody reads.
async fn follow(
    client: &Client,
    url: &Url,
    mut response: Response,
    chunks: &Sender<io::Result<Bytes>>,
) -> Result<(), StreamFault> {
    let mut position = None;
    let mut named = None;
    loop {
        let mut body = response.bytes_stream();
        let mut part = BytesMut::new();
        while let Some(Ok(chunk)) = body.next().await {
            part.extend_from_slice(&chunk);
            let Some(last) = part.iter().rposition(|byte| *byte == b'\n') else {
                continue;
            };
            let whole = part.split_to(last + 1).freeze();
            for line in whole.split(|byte| *byte == b'\n') {
                match recognise(line) {
                    Line::Position(id) => named = Some(String::from_utf8_lossy(id).into_owned()),
                    // An event ends with an empty line; before that, asking from behind its id would skip it.
                    Line::Blank if line.trim_ascii().is_empty() && named.is_some() => position = named.take(),
                    _ => {}
                }
            }
            if chunks.send(Ok(whole)).await.is_err() {
                return Ok(());
            }
        }
        let mut patience = Patience::new("go on with the live stream");
        response = loop {
            match ask(client, url, position.as_deref()).await {
                Ok(response) => break response,
                Err(fault) => patience.bear(fault).await?,
            }
            if chunks.is_closed() {
                return Ok(());
            }
        };
    }
}

fn full(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// What has come of the content.
struct Body {
    chunks: std::sync::mpsc::Receiver<io::Result<Bytes>>,
    present: Bytes,
    stop: Arc<AtomicBool>,
}

impl Body {
    fn new(mut received: tokio::sync::mpsc::Receiver<io::Result<Bytes>>, stop: Arc<AtomicBool>) -> Body {
        // A waiting thread cannot look at `stop` while it waits on a channel of the async side.
        let (forward, chunks) = std::sync::mpsc::sync_channel(1);
        tokio::task::spawn_blocking(move || {
            while let Some(chunk) = received.blocking_recv() {
                if forward.send(chunk).is_err() {
                    return;
                }
            }
        });
        Body {
            chunks,
            present: Bytes::new(),
            stop,
        }
    }
}

impl Read for Body {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.present.is_empty() {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(0);
            }
            match self.chunks.recv_timeout(LOOK) {
                Ok(chunk) => self.present = chunk?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
        let length = out.len().min(self.present.len());
        self.present.copy_to_slice(&mut out[..length]);
        Ok(length)
    }
}
