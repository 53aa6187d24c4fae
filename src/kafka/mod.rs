//! Talking to Kafka: one way to connect, one way to say what is wrong.

mod ask;
mod connection;
mod fault;
mod guard;
mod inbox;
mod probe;
mod retention;
mod topic_id;

pub use ask::{ask, ask_within};
pub use connection::{Notes, check, client_config};
pub use fault::KafkaFault;
pub use inbox::{Inbox, Message, member_id};
pub use probe::{Probe, Watermarks};
pub use retention::{ByAge, Drops, Retention};
pub use topic_id::TopicId;
