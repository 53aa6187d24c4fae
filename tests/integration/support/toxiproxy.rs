//! Proxies in which connections go wrong: Toxiproxy's, through its HTTP API.

use std::fs::File;
use std::path::Path;

use serde_json::{Value, json};

use super::{service, unique};

/// A proxy, undisturbed at first.
pub struct Proxy {
    name: String,
    /// Where clients connect to.
    pub address: String,
    upstream: String,
    client: reqwest::Client,
    _lock: Option<File>,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toxic {
    /// Everything comes so many milliseconds late, give or take.
    Latency { ms: u64, jitter: u64 },
    /// So many kilobytes a second pass.
    Bandwidth { kilobytes: u64 },
    /// The connection is reset after so many milliseconds.
    Reset { ms: u64 },
    /// Nothing passes, nobody is told, and after so many milliseconds the connection is closed.
    Silence { ms: u64 },
    /// The connection is closed behind so many bytes.
    Cut { bytes: u64 },
}

/// Which way it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// What the server is asked.
    Requests,
    /// What it answers.
    Answers,
}

impl Proxy {
    /// In front of the S3 server: a proxy that nobody else uses.
    pub async fn of_store() -> Proxy {
        let endpoint = service("AWS_ENDPOINT_URL");
        Proxy::of("store", endpoint.trim_start_matches("http://").to_owned()).await
    }

    /// In front of PostgreSQL: a proxy that nobody else uses.
    pub async fn of_postgres() -> Proxy {
        let upstream = format!("{}:{}", service("POSTGRES_HOST"), service("POSTGRES_PORT"));
        Proxy::of("postgres", upstream).await
    }

    async fn of(what: &str, upstream: String) -> Proxy {
        let mut proxy = Proxy {
            name: unique(what),
            address: "127.0.0.1:0".to_owned(),
            upstream,
            client: client(),
            _lock: None,
        };
        proxy.address = text(&proxy.make().await["listen"]);
        proxy
    }

    /// In front of a listener of Kafka's, all to oneself: waits until one is free.
    pub async fn of_kafka() -> Proxy {
        let addresses = service("LAKEBED_TEST_KAFKA_PROXIED");
        let folder = service("LAKEBED_SERVICES_DIR");
        let open = |number: usize| {
            let path = Path::new(&folder).join(format!("run/kafka-proxy-{number}.lock"));
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .expect("a lock file")
        };
        let locks: Vec<File> = (0..addresses.split(' ').count()).map(open).collect();
        let free = locks.iter().position(|lock| lock.try_lock().is_ok());
        let number = free.unwrap_or_else(|| {
            let number = std::process::id() as usize % locks.len();
            locks[number].lock().expect("the lock is waited for");
            number
        });
        let client = client();
        let name = format!("kafka-{number}");
        let present = ask(client.get(api(&format!("/{name}")))).await;
        let proxy = Proxy {
            name,
            address: text(&present["listen"]),
            upstream: text(&present["upstream"]),
            client,
            _lock: locks.into_iter().nth(number),
        };
        // What a test that was killed may have left.
        proxy.heal().await;
        proxy
    }

    /// Lets something go wrong, on so many connections in a hundred.
    pub async fn disturb(&self, toxic: Toxic, stream: Stream, percent: u64) {
        let (kind, attributes) = match toxic {
            Toxic::Latency { ms, jitter } => ("latency", json!({"latency": ms, "jitter": jitter})),
            Toxic::Bandwidth { kilobytes } => ("bandwidth", json!({"rate": kilobytes})),
            Toxic::Reset { ms } => ("reset_peer", json!({"timeout": ms})),
            Toxic::Silence { ms } => ("timeout", json!({"timeout": ms})),
            Toxic::Cut { bytes } => ("limit_data", json!({"bytes": bytes})),
        };
        let stream = match stream {
            Stream::Requests => "upstream",
            Stream::Answers => "downstream",
        };
        let share = percent as f64 / 100.0;
        let wanted = json!({"type": kind, "stream": stream, "toxicity": share, "attributes": attributes});
        let toxics = api(&format!("/{}/toxics", self.name));
        ask(self.client.post(toxics).body(wanted.to_string())).await;
    }

    /// Closes all connections and takes no more.
    pub async fn cut(&self) {
        let wanted = json!({"enabled": false}).to_string();
        ask(self.client.post(api(&format!("/{}", self.name))).body(wanted)).await;
    }

    /// Puts everything right, with a new proxy in the place of this one: taking toxics out can hang, and in some of the
    /// connections nothing would ever come.
    pub async fn heal(&self) {
        self.delete().await;
        self.make().await;
    }

    /// Takes the proxy away, where it is the test's own.
    pub async fn remove(self) {
        match self._lock {
            Some(_) => self.heal().await,
            None => self.delete().await,
        }
    }

    async fn make(&self) -> Value {
        let wanted = json!({"name": self.name, "listen": self.address, "upstream": self.upstream, "enabled": true});
        ask(self.client.post(api("")).body(wanted.to_string())).await
    }

    async fn delete(&self) {
        ask(self.client.delete(api(&format!("/{}", self.name)))).await;
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("an HTTP client")
}

fn api(path: &str) -> String {
    format!("{}/proxies{path}", service("LAKEBED_TEST_TOXIPROXY"))
}

async fn ask(request: reqwest::RequestBuilder) -> Value {
    let answer = request.send().await.expect("Toxiproxy answers");
    let status = answer.status();
    let body = answer.text().await.expect("Toxiproxy's answer is whole");
    assert!(status.is_success(), "Toxiproxy: {status}: {body}");
    serde_json::from_str(&body).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}
