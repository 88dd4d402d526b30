//! The component host: runs uploaded WASM components so that they cannot hurt anything but their own job.
//!
//! A component's way: bytes -> [`admit`](PluginHost::admit) (size, imports, compiled in a killable child, every
//! export looked up, a dry run) -> [`PluginRegistry`] (immutable versions, one of them active) -> adapters that
//! make a guest's functions the engine's own: [`weir_plan::ScalarFunction`] and [`weir_timeline::Aggregate`].
//!
//! Knows: wasmtime (nothing else does), the interfaces in `wit/`, Arrow columns. Must not know: SQL, what a job is,
//! streams, windows, HTTP. A guest gets no clock, randomness, file or network; the linker offers
//! `weir:feature/platform` alone.

mod account;
mod admit;
mod aggregate;
mod binding;
mod bisect;
mod breaker;
mod cache;
mod columns;
mod compile;
mod describe;
mod engine;
mod error;
mod failure;
mod guest;
mod journal;
mod lab;
mod ledger;
mod limits;
mod migrate;
mod pace;
mod payloads;
mod plugin;
mod pool;
mod process;
mod registry;
mod scalar;
mod seen;
mod states;
mod transform;
mod usage;
mod wire;
mod world;

#[cfg(test)]
mod tests;

pub use breaker::BreakerStatus;
pub use compile::{CompileWith, compile_to_file};
pub use describe::Described;
pub use engine::PluginHost;
pub use error::{Phase, PluginError};
pub use journal::LogLine;
pub use lab::{Finding, LabSettings, Tried, Verdict};
pub use limits::{Allowed, Limits, MAX_STATE_BYTES, TakenNames};
pub use plugin::Plugin;
pub use registry::{PluginRegistry, PluginStatus, Stored, VersionStatus};
pub use usage::PluginUsage;
pub use wire::{DataType, Field, LogicalType};
