//! Accelerators: they belong to the writer, move only forward, are never stored, and give what the truth gives.

pub(crate) mod blocks;
pub(crate) mod choice;
pub(crate) mod hop;
mod lists;
pub(crate) mod over;
mod stack;
mod tail;
