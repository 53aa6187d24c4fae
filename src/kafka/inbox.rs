//! A group's messages, taken from the client library without a detour.
//!
//! The Rust client takes them from the queue where all that the group and the connections say comes too, each as an event
//! with a life of its own. librdkafka's call for messages alone costs half of that, and wants a queue that holds nothing
//! else. So the partitions are led to a queue of their own, and all else stays where the consumer looks for it.
//!
//! librdkafka's calls for many messages at a time would cost less still. They are not used: of a partition's end and of
//! control records they take the offset for one that was given out, from which it goes on after a pause, so that messages
//! are lost.
//!
//! Each pointer that is owned here is freed by its guard, before the client is.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_void};
use std::ops::Deref;
use std::time::{Duration, Instant};

use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::guard::Guard;

/// How often partitions are led to the queue anew: the library forgets it when it stops to read one.
const LEAD_AGAIN: Duration = Duration::from_millis(100);

/// A consumer whose messages come by a queue of their own.
pub struct Inbox<C: ConsumerContext + 'static> {
    given: Guard<native::rd_kafka_message_t>,
    partitions: BTreeMap<i32, Guard<native::rd_kafka_queue_t>>,
    led: Instant,
    messages: Guard<native::rd_kafka_queue_t>,
    events: Guard<native::rd_kafka_queue_t>,
    consumer: BaseConsumer<C>,
}

/// One message as it came from Kafka.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Kafka's own time of it, milliseconds since the epoch.
    pub timestamp: Option<i64>,
}

impl Message<'_> {
    fn of(message: &native::rd_kafka_message_t) -> Message<'_> {
        let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: key and value lie where the message says, for as long as it is there.
        unsafe {
            let timestamp = native::rd_kafka_message_timestamp(message, &raw mut kind);
            Message {
                partition: message.partition,
                offset: message.offset,
                key: bytes(message.key, message.key_len),
                value: bytes(message.payload, message.len),
                timestamp: (timestamp >= 0).then_some(timestamp),
            }
        }
    }
}

/// The id that a consumer has in its group; empty while it has none.
pub fn member_id<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> String {
    let client = consumer.client().native_ptr();
    // SAFETY: the client outlives this call, and the text its copy, behind which it is freed once.
    unsafe {
        let text = native::rd_kafka_memberid(client);
        if text.is_null() {
            return String::new();
        }
        let id = CStr::from_ptr(text).to_string_lossy().into_owned();
        native::rd_kafka_mem_free(client, text.cast());
        id
    }
}

/// The bytes that lie there.
///
/// # Safety
/// They must, for as long as the result is used.
unsafe fn bytes<'a>(pointer: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: as the caller vouches for.
    (!pointer.is_null()).then(|| unsafe { std::slice::from_raw_parts(pointer.cast(), length) })
}

/// Who waits for messages.
struct Sleeper(*mut native::rd_kafka_queue_t);

// SAFETY: the library's queues may be used by any thread.
unsafe impl Send for Sleeper {}
// SAFETY: as above.
unsafe impl Sync for Sleeper {}

impl Sleeper {
    /// Has it look whether there is something else to hear.
    fn wake(&self) {
        // SAFETY: the consumer, which calls this, forgets it before the queue goes.
        unsafe { native::rd_kafka_queue_yield(self.0) }
    }
}

impl<C: ConsumerContext + 'static> Inbox<C> {
    /// Takes over a consumer that has no partitions yet.
    pub fn new(mut consumer: BaseConsumer<C>) -> Inbox<C> {
        // SAFETY: the client outlives both queues, which are freed by their guards.
        let (messages, events) = unsafe {
            let client = consumer.client().native_ptr();
            (
                Guard::new(native::rd_kafka_queue_new(client), native::rd_kafka_queue_destroy),
                Guard::new(
                    native::rd_kafka_queue_get_consumer(client),
                    native::rd_kafka_queue_destroy,
                ),
            )
        };
        let sleeper = Sleeper(messages.pointer());
        consumer.set_nonempty_callback(move || sleeper.wake());
        Inbox {
            given: Guard::new(std::ptr::null_mut(), native::rd_kafka_message_destroy),
            partitions: BTreeMap::new(),
            led: Instant::now(),
            messages,
            events,
            consumer,
        }
    }

    /// Has the messages of these partitions come here. To be called before they are assigned: the order of messages that
    /// come by two ways is not known.
    pub fn lead(&mut self, partitions: &TopicPartitionList) {
        let client = self.consumer.client().native_ptr();
        for element in partitions.elements() {
            let Ok(topic) = CString::new(element.topic()) else {
                continue;
            };
            // SAFETY: the library copies the name.
            let queue = unsafe {
                Guard::new(
                    native::rd_kafka_queue_get_partition(client, topic.as_ptr(), element.partition()),
                    native::rd_kafka_queue_destroy,
                )
            };
            // It gives none where it can give the topic no place, which the assignment will say.
            if !queue.pointer().is_null() {
                self.partitions.insert(element.partition(), queue);
            }
        }
        self.lead_all();
    }

    /// Leads partitions here again that the library has stopped to read, which has it forget where they were led to. To be
    /// called now and then.
    pub fn lead_again(&mut self, now: Instant) {
        if now.duration_since(self.led) >= LEAD_AGAIN {
            self.lead_all();
        }
    }

    /// Hears what the group and the connections say, by the consumer's context, and gives what is an error.
    pub fn hear(&self) -> Option<KafkaError> {
        // SAFETY: the queue is there until this is dropped.
        while unsafe { native::rd_kafka_queue_length(self.events.pointer()) } > 0 {
            match self.consumer.poll(Duration::ZERO) {
                Some(Err(error)) => return Some(error),
                Some(Ok(_)) => return Some(KafkaError::MessageConsumption(RDKafkaErrorCode::Inconsistent)),
                None => {}
            }
        }
        None
    }

    /// The next message, or what the library says of a partition in its place; none where none has come when the time is
    /// over, or earlier where something else is to be heard.
    pub fn next_message(&mut self, wait: Duration) -> Option<Result<Message<'_>, KafkaError>> {
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is there until this is dropped. What it gives is ours to free; a guard of nothing frees nothing.
        self.given = unsafe {
            Guard::new(
                native::rd_kafka_consume_queue(self.messages.pointer(), wait),
                native::rd_kafka_message_destroy,
            )
        };
        // SAFETY: it is a message until its guard goes, which is when the next is asked for.
        let message = unsafe { self.given.pointer().as_ref()? };
        let code = RDKafkaErrorCode::from(message.err);
        Some(match message.err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(Message::of(message)),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => Err(KafkaError::PartitionEOF(message.partition)),
            _ => {
                // SAFETY: the reason is text that lives as long as the message.
                let reason = unsafe { CStr::from_ptr(native::rd_kafka_message_errstr(message)) };
                let context = self.consumer.context();
                context.error(KafkaError::Global(code), &reason.to_string_lossy());
                Err(KafkaError::MessageConsumption(code))
            }
        })
    }

    fn lead_all(&mut self) {
        for queue in self.partitions.values() {
            // SAFETY: both are queues of this client. What is in the first already is put into the second in order.
            unsafe { native::rd_kafka_queue_forward(queue.pointer(), self.messages.pointer()) }
        }
        self.led = Instant::now();
    }
}

impl<C: ConsumerContext + 'static> Deref for Inbox<C> {
    type Target = BaseConsumer<C>;

    fn deref(&self) -> &BaseConsumer<C> {
        &self.consumer
    }
}

impl<C: ConsumerContext + 'static> Drop for Inbox<C> {
    fn drop(&mut self) {
        // The queue that is woken goes before the consumer does.
        self.consumer.set_nonempty_callback(|| ());
    }
}
