//! Who hands out memory, and what becomes of what is freed.
//!
//! jemalloc, for C libraries as well: messages are made by threads of Kafka's client and freed by ours, which the
//! system's allocator takes a fifth of all processor time for.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// What is freed goes back to the system within some seconds, so that what the process holds follows what it uses; sooner
/// would cost more, since the system takes its time to hand out pages of zeros.
// SAFETY: jemalloc reads its settings from a pointer to text under this name, which a slice begins with.
#[unsafe(export_name = "malloc_conf")]
static SETTINGS: &[u8] = b"dirty_decay_ms:3000,muzzy_decay_ms:0\0";
