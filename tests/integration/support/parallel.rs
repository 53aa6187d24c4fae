//! The same test over many things, a few at a time.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

/// Runs a test on each thing, so many at once, to the end; fails with the things on which it failed, and why.
pub fn each<T: Debug + Clone + Send>(things: Vec<T>, at_once: usize, test: impl Fn(T) + Sync) {
    let waiting = Mutex::new(things.into_iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(thing) = next(&waiting) {
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(thing.clone()))) {
                        let reason = panic
                            .downcast_ref::<String>()
                            .map(String::as_str)
                            .or_else(|| panic.downcast_ref::<&str>().copied())
                            .unwrap_or("a panic without words");
                        failed
                            .lock()
                            .expect("no panic here")
                            .push(format!("{thing:?}: {reason}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic here");
    assert!(failed.is_empty(), "failed on {}:\n{}", failed.len(), failed.join("\n"));
}

fn next<T>(waiting: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    waiting.lock().expect("no panic here").next()
}
