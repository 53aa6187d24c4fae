//! Talking to Kafka: one way to connect, one way to say what is wrong.

mod connection;
mod fault;
mod probe;

pub use connection::{Notes, client_config};
pub use fault::KafkaFault;
pub use probe::{Probe, Watermarks};
