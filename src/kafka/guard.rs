//! What the client library made and is ours to free.

/// A pointer of the client library's that is freed when this goes. One to nothing is not.
#[derive(Debug)]
pub struct Guard<T> {
    pointer: *mut T,
    free: unsafe extern "C" fn(*mut T),
}

// SAFETY: the client library's objects may be used and freed by any thread.
unsafe impl<T> Send for Guard<T> {}

impl<T> Guard<T> {
    /// Takes over what the library's function that makes it returned; `free` is the one that frees it.
    pub fn new(pointer: *mut T, free: unsafe extern "C" fn(*mut T)) -> Guard<T> {
        Guard { pointer, free }
    }

    /// The pointer, for as long as this is there.
    pub fn pointer(&self) -> *mut T {
        self.pointer
    }
}

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        if !self.pointer.is_null() {
            // SAFETY: the pointer came from the library's function that makes it, and is freed here only.
            unsafe { (self.free)(self.pointer) }
        }
    }
}
