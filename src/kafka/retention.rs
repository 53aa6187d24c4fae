//! How long Kafka keeps a topic's messages, and what that means for one that is not archived yet.

use std::fmt;
use std::time::Duration;

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

use super::{KafkaFault, client_config};
use crate::config::KafkaSettings;

/// How long a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
const HOUR_MS: f64 = 3_600_000.0;

/// How long Kafka keeps a topic's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// By their age.
    pub by_age: ByAge,
    /// Whether it drops the oldest ones too once a partition outgrows a size: when that will be, nobody can foretell.
    pub by_size: bool,
}

/// How long Kafka keeps a message for its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ByAge {
    /// It was not asked yet, or did not say: the login may have no right to ask.
    #[default]
    NotKnown,
    /// For ever.
    Ever,
    /// For so many milliseconds.
    Milliseconds(i64),
}

/// When Kafka drops the oldest message that waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Drops {
    /// Not known.
    NotKnown,
    /// Never, for its age.
    Never,
    /// Within so many hours at the earliest; 0 where it may be dropped already.
    InHours(f64),
}

impl fmt::Display for Drops {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Drops::NotKnown => formatter.write_str("not known"),
            Drops::Never => formatter.write_str("never"),
            Drops::InHours(hours) => write!(formatter, "{hours:.1}"),
        }
    }
}

impl Retention {
    /// What a topic's settings say; `setting` gives the value of one.
    pub fn of(setting: impl Fn(&str) -> Option<String>) -> Retention {
        let number = |name: &str| setting(name).and_then(|value| value.parse::<i64>().ok());
        let deletes = setting("cleanup.policy").is_none_or(|policy| policy.contains("delete"));
        let by_age = match number("retention.ms") {
            _ if !deletes => ByAge::Ever,
            None => ByAge::NotKnown,
            Some(..0) => ByAge::Ever,
            Some(milliseconds) => ByAge::Milliseconds(milliseconds),
        };
        Retention {
            by_age,
            by_size: deletes && number("retention.bytes").is_some_and(|bytes| bytes >= 0),
        }
    }

    /// When Kafka drops a message of this time at the earliest; both are milliseconds since the epoch.
    pub fn drops(&self, message: Option<i64>, now: i64) -> Drops {
        match (self.by_age, message) {
            (ByAge::Ever, _) => Drops::Never,
            (ByAge::NotKnown, _) | (_, None) => Drops::NotKnown,
            (ByAge::Milliseconds(kept), Some(message)) => {
                let left = message.saturating_add(kept).saturating_sub(now).max(0);
                #[expect(clippy::cast_precision_loss, reason = "hours are told to a tenth")]
                Drops::InHours(left as f64 / HOUR_MS)
            }
        }
    }

    /// Asks Kafka, on a connection that is closed afterwards. Blocks until a broker answers.
    ///
    /// # Errors
    /// [`KafkaFault`] where no broker answers or the login has no right to ask.
    pub fn ask(settings: &KafkaSettings) -> Result<Retention, KafkaFault> {
        const WHAT: &str = "tell how long it keeps the topic's messages";
        let fault = |error| KafkaFault::of(&settings.brokers, WHAT, &error, None);
        let client: AdminClient<DefaultClientContext> = client_config(settings).create().map_err(fault)?;
        let topic = ResourceSpecifier::Topic(&settings.topic);
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let answers = block_on(client.describe_configs([&topic], &options)).map_err(fault)?;
        let answer: Option<Result<ConfigResource, _>> = answers.into_iter().next();
        let refused = |reason: String| KafkaFault::Request { what: WHAT, reason };
        let answer = answer
            .ok_or_else(|| refused("it said nothing".to_owned()))?
            .map_err(|code| refused(code.to_string()))?;
        Ok(Retention::of(|name| answer.get(name)?.value.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retention(settings: &[(&str, &str)]) -> Retention {
        Retention::of(|name| {
            let found = settings.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_topic_s_settings_say_how_long_it_keeps_messages() {
        let day = ByAge::Milliseconds(86_400_000);
        let age = ("retention.ms", "86400000");
        let size = ("retention.bytes", "1000");
        let cases = [
            (vec![], ByAge::NotKnown, false),
            (vec![age, ("retention.bytes", "-1")], day, false),
            (vec![age, size], day, true),
            (vec![("retention.ms", "-1"), size], ByAge::Ever, true),
            (vec![age, ("cleanup.policy", "compact")], ByAge::Ever, false),
            (vec![age, ("cleanup.policy", "compact,delete")], day, false),
            (vec![("retention.ms", "soon")], ByAge::NotKnown, false),
        ];
        for (settings, by_age, by_size) in cases {
            assert_eq!(retention(&settings), Retention { by_age, by_size }, "{settings:?}");
        }
    }

    #[test]
    fn the_oldest_message_is_dropped_when_its_time_is_up() {
        let day = retention(&[("retention.ms", "86400000")]);
        let hour = 3_600_000;
        assert_eq!(day.drops(Some(10 * hour), 11 * hour), Drops::InHours(23.0));
        assert_eq!(day.drops(Some(10 * hour), 34 * hour), Drops::InHours(0.0));
        assert_eq!(day.drops(Some(10 * hour), 99 * hour), Drops::InHours(0.0));
        assert_eq!(
            day.drops(Some(i64::MAX), i64::MIN),
            Drops::InHours(i64::MAX as f64 / HOUR_MS)
        );
        assert_eq!(day.drops(None, 11 * hour), Drops::NotKnown);
        assert_eq!(retention(&[]).drops(Some(hour), hour), Drops::NotKnown);
        assert_eq!(
            retention(&[("retention.ms", "-1")]).drops(Some(hour), hour),
            Drops::Never
        );
        assert_eq!(Drops::InHours(23.04).to_string(), "23.0");
    }
}
