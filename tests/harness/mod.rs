//! What the tests share: the built `weir`, project folders that vanish, running servers, result rows, random numbers.
//!
//! Knows the contract's files, commands and routes. Must not know any crate of the host.

mod dice;
mod project;
mod server;

pub(crate) use dice::Dice;
pub(crate) use project::{
    Project, last_rows, last_sessions, repository, result_files, result_lines, rows, weir,
};
pub(crate) use server::{Server, free_port};

use std::time::Duration;

/// Waits until `ready` gives a value; the panic names what was waited for.
#[track_caller]
#[allow(
    clippy::disallowed_methods,
    reason = "another process goes by its own clock; it is looked at, with a bound"
)]
pub(crate) fn wait_for<T>(what: &str, within: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    const STEP: Duration = Duration::from_millis(20);
    let mut left = within;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(left > STEP, "waited {within:?} for {what}");
        left -= STEP;
        std::thread::sleep(STEP);
    }
}
