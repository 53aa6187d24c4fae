//! The id of a topic, which Kafka draws when it makes the topic and never gives again: what tells a topic from another
//! one that was made under its name.
//!
//! The Rust client has no call for it, so librdkafka's own are used. Each pointer that is owned here is
//! freed by its guard, and all that is borrowed from an event is copied before that goes.

use std::ffi::CString;
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::guard::Guard;

/// What tells a topic from all others that ever were: the first 63 bits of the id that Kafka gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicId(i64);

impl TopicId {
    /// The id that a mark of the lake holds.
    pub fn from_mark(mark: i64) -> TopicId {
        TopicId(mark)
    }

    /// The id as a mark of the lake holds it; never negative.
    pub fn as_mark(self) -> i64 {
        self.0
    }
}

/// Asks a broker for the id of a topic; none where it gives topics no ids, as brokers before version 2.8. Without a
/// `broker`, any may answer. Blocks at most for `patience`.
///
/// # Errors
/// [`RDKafkaErrorCode::UnknownTopicOrPartition`] where there is no such topic, else the client library's, where no broker
/// answers.
pub fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    broker: Option<i32>,
    patience: Duration,
) -> KafkaResult<Option<TopicId>> {
    let fault = |code: RDKafkaRespErr| Err(KafkaError::MetadataFetch(RDKafkaErrorCode::from(code)));
    let milliseconds = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    let Ok(name) = CString::new(topic) else {
        return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::InvalidTopic));
    };
    // SAFETY: the client outlives this call, and with it all that is made of its pointer here. The name lives until the
    // end of the function, and the collection copies it. The queue, the options, the collection and the event are freed
    // once, by their guards; an answer that comes too late is dropped by the library with the queue.
    unsafe {
        let client = client.native_ptr();
        let queue = Guard::new(native::rd_kafka_queue_new(client), native::rd_kafka_queue_destroy);
        let options = Guard::new(
            native::rd_kafka_AdminOptions_new(client, native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS),
            native::rd_kafka_AdminOptions_destroy,
        );
        native::rd_kafka_AdminOptions_set_request_timeout(options.pointer(), milliseconds, std::ptr::null_mut(), 0);
        if let Some(broker) = broker {
            native::rd_kafka_AdminOptions_set_broker(options.pointer(), broker, std::ptr::null_mut(), 0);
        }
        let mut names = [name.as_ptr()];
        let topics = Guard::new(
            native::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
            native::rd_kafka_TopicCollection_destroy,
        );
        native::rd_kafka_DescribeTopics(client, topics.pointer(), options.pointer(), queue.pointer());
        let event = native::rd_kafka_queue_poll(queue.pointer(), milliseconds);
        if event.is_null() {
            return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut));
        }
        let event = Guard::new(event, native::rd_kafka_event_destroy);
        match native::rd_kafka_event_error(event.pointer()) {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            code => return fault(code),
        }
        let result = native::rd_kafka_event_DescribeTopics_result(event.pointer());
        let mut count = 0;
        if result.is_null() {
            return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::BadMessage));
        }
        let described = native::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if described.is_null() || count == 0 {
            return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition));
        }
        let described = *described;
        match native::rd_kafka_error_code(native::rd_kafka_TopicDescription_error(described)) {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            code => return fault(code),
        }
        let id = native::rd_kafka_TopicDescription_topic_id(described);
        if id.is_null() {
            return Ok(None);
        }
        let bits = native::rd_kafka_Uuid_most_significant_bits(id);
        Ok((bits != 0).then_some(TopicId((bits >> 1) & i64::MAX)))
    }
}
