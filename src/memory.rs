//! What the system's allocator keeps of the memory that is given back to it.

/// Has freed memory go back to the system, so that what the process holds follows what it uses. Left to itself, glibc
/// keeps a heap for every few threads, and after the first large block that is freed it takes the next ones from these
/// heaps, where a small block behind a large one keeps it all.
///
/// For a process whose memory must stay within bounds; one that computes would pay for it in speed.
pub fn give_back_what_is_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const HEAPS: i32 = 2;
        const LARGE: i32 = 256 << 10;
        // SAFETY: these set numbers in the allocator and touch no memory of ours.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, HEAPS);
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
            libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE);
        }
    }
}
