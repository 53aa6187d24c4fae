//! Who hands out memory, and what becomes of what is freed.
//!
//! jemalloc, for C libraries as well: messages are made by threads of Kafka's client and freed by ours, which the
//! system's allocator takes a fifth of all processor time for.

use std::ffi::CStr;
use std::ptr::null_mut;

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// What is freed goes back to the system within some seconds, so that what the process holds follows what it uses; sooner
/// would cost more, since the system takes its time to hand out pages of zeros. Few arenas, so that threads share what they
/// free: many read files, each a few. (An arena for each core would do that too, but picks ones that do not exist where the
/// process may use some cores only. Large pages would cost less still, and more memory than the budget has.)
// SAFETY: jemalloc reads its settings from a pointer to text under this name, which a slice begins with.
#[unsafe(export_name = "malloc_conf")]
static SETTINGS: &[u8] = b"dirty_decay_ms:3000,muzzy_decay_ms:0,narenas:4\0";

/// Gives what is free back to the system at once: after work of another kind than what follows, which would find little of
/// it where it looks.
pub fn give_back() {
    /// jemalloc's name for all its arenas together.
    const PURGE: &CStr = c"arena.4096.purge";
    // SAFETY: the call reads its name and, asked for nothing and given nothing, no other memory of ours. Where it fails,
    // all stays as it is.
    unsafe {
        tikv_jemalloc_sys::mallctl(PURGE.as_ptr(), null_mut(), null_mut(), null_mut(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_goes_back_at_once() {
        const BYTES: usize = 256 << 20;
        // In small pieces: what is large enough goes back by itself.
        drop(std::hint::black_box(vec![vec![1_u8; 4096]; BYTES / 4096]));
        let before = held();
        give_back();
        assert!(held() + BYTES / 2 < before, "{before} bytes, then {}", held());
    }

    /// Bytes of memory that the process holds.
    fn held() -> usize {
        let text = std::fs::read_to_string("/proc/self/statm").expect("readable");
        let pages: usize = text
            .split(' ')
            .nth(1)
            .and_then(|pages| pages.parse().ok())
            .expect("pages");
        pages * 4096
    }
}
