//! Where a process that goes on shows how it gets on.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, value_parser};

/// The port for metrics and health, and when a process counts as unhealthy.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Watch")]
pub struct MonitorSettings {
    /// Serve /metrics (Prometheus) and /healthz here, of archive and of process --every and --cron: a port of the loopback interface, or an address and a port;
    /// without it, nothing listens
    #[arg(long = "metrics-listen", env = "METRICS_LISTEN", value_name = "[ADDRESS:]PORT")]
    pub listen: Option<Listen>,

    /// /healthz answers 503 once messages have waited without a commit for this many seconds beyond TIMEOUT_SEC, or a
    /// run of process --every or --cron has been due for so long
    #[arg(long, env = "UNHEALTHY_AFTER_SEC", default_value_t = 300, value_parser = value_parser!(u32).range(1..=86_400), value_name = "SECONDS")]
    pub unhealthy_after_sec: u32,
}

impl MonitorSettings {
    /// How long messages may wait without a commit beyond what a flush waits of right, and a run that is due.
    pub fn unhealthy_after(&self) -> Duration {
        Duration::from_secs(u64::from(self.unhealthy_after_sec))
    }
}

/// An address to listen on, which is a loopback one unless another is written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen(SocketAddr);

impl Listen {
    /// The address.
    pub fn address(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        let loopback = |port: &str| Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse::<u16>().ok()?)));
        let address = match text.strip_prefix("localhost:") {
            Some(port) => loopback(port),
            None => loopback(text).or_else(|| text.parse().ok()),
        };
        address.map(Listen).ok_or_else(|| {
            "write a port, such as 9187, for this machine alone, or an IP address and a port, such as 0.0.0.0:9187 for every interface"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Listen;

    #[test]
    fn only_an_address_that_is_written_out_leaves_the_machine() {
        let table = [
            ("9187", Some("127.0.0.1:9187")),
            ("localhost:9187", Some("127.0.0.1:9187")),
            ("127.0.0.1:9187", Some("127.0.0.1:9187")),
            ("[::1]:9187", Some("[::1]:9187")),
            ("0.0.0.0:9187", Some("0.0.0.0:9187")),
            (":9187", None),
            ("*:9187", None),
            ("70000", None),
            ("0.0.0.0", None),
            ("example.org:9187", None),
        ];
        for (text, expected) in table {
            let parsed = text.parse::<Listen>().ok().map(|listen| listen.address().to_string());
            assert_eq!(parsed.as_deref(), expected, "{text}");
        }
    }
}
