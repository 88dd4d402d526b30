//! The allocator: which one it is, and when it gives memory back.
//!
//! Must not know what memory is for.

#![allow(unsafe_code, reason = "a setting of the allocator has no safe interface")]

use libmimalloc_sys::{mi_option_set, mi_option_t};

/// Batches are made on one thread and dropped on another all the time, at which the system's allocator is slow.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc's header; its Rust interface does not name it.
const PURGE_DELAY: mi_option_t = 15;

/// Pages that nobody has used for so long, milliseconds, go back to the system. After its usual 10 ms a batch gets those of
/// the one before as new ones, which the system has to clear: a quarter of the time of a training set.
const KEPT_MS: std::ffi::c_long = 100;

/// Keeps memory that the next batch will want. To be called before anything else runs.
pub(crate) fn keep_between_batches() {
    // Whoever runs the program may know better.
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        // SAFETY: the option takes any number; mimalloc reads it whenever it purges.
        unsafe { mi_option_set(PURGE_DELAY, KEPT_MS) };
    }
}
