//! What the system's allocator keeps of the memory that is given back to it.

/// Has freed memory go back to the system, so that what the process holds follows what it uses. Left to itself, glibc
/// keeps a heap for every few threads, and after the first large block that is freed it takes the next ones from these
/// heaps, where a small block behind a large one keeps it all.
///
/// Blocks of `large` bytes go back at once, smaller ones where they lie at a heap's end and are twice as many. What is
/// returned costs when it is asked for again: the system hands out pages of zeros, and takes its time for each.
///
/// For a process whose memory must stay within bounds; one that computes would pay for it in speed.
pub fn give_back_what_is_freed(large: usize) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const HEAPS: i32 = 2;
        let large = i32::try_from(large).unwrap_or(i32::MAX / 2);
        // SAFETY: these set numbers in the allocator and touch no memory of ours.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, HEAPS);
            libc::mallopt(libc::M_MMAP_THRESHOLD, large);
            libc::mallopt(libc::M_TRIM_THRESHOLD, large.saturating_mul(2));
        }
    }
}
