//! Where time comes from: a component is handed a [`Clock`], reads it and waits by it, so that a test can move time by
//! hand and a replay decides as the first run did.
//!
//! Knows no runtime. The clock of the machine waits by a runtime's timer, so it is with the crate that has one; here is
//! the clock that a test moves.

mod manual;
mod waits;

pub use manual::ManualClock;
pub use waits::{Ticks, within};

use crate::time::EventTime;
use std::fmt::Debug;
use std::pin::Pin;
use std::time::Duration;

/// A wait that a clock ends. To drop it is to give it up.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// Where a component takes the time from.
pub trait Clock: Debug + Send + Sync {
    /// The wall's time, milliseconds since the epoch.
    fn now(&self) -> EventTime;
    /// Time since some fixed point, never going back: for durations and back-off.
    fn monotonic(&self) -> Duration;
    /// A wait that ends when so much monotonic time has passed since this call.
    fn sleep(&self, span: Duration) -> Sleep;
}
