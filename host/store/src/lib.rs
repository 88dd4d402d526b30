//! The checkpoint store: keeps what jobs committed, and gives it back after a crash.
//!
//! It knows bytes: sorted entries (key, value or tombstone), manifests whose body is opaque JSON, and epochs. It
//! must not know timelines, Arrow, SQL, connectors or clocks. No other crate says sled.
//!
//! **The protocol.** A checkpoint is written in four steps, and only after the last is it safe:
//!
//! 1. [`CheckpointStore::write_segment`]: each job's dirty entries become an immutable *segment*, sorted and packed
//!    into chunks of at most 4 KiB. Nothing refers to it yet, so a crash leaves only garbage.
//! 2. [`CheckpointStore::commit`] makes the segments durable: sled's flush, then our own fsync of its files and
//!    folder, for that flush is not one.
//! 3. The manifests, the commit record and HEAD go into sled as one atomic batch, and are made durable likewise.
//! 4. The *witness*, a file outside sled, is replaced by one that holds the new epoch. If sled ever loses its tail,
//!    the witness knows that there was more.
//!
//! **In the folder**: `lock` (one server at a time), `state` (format version and the name of the live sled
//! folder), `witness`, `identity` (a random id) and `sled-N`. Whoever makes something with the state may have a mark left
//! beside it, which knows the id and an epoch: by it a folder that was put back whole is noticed. Every chunk and record
//! carries a checksum over its address and content, so a chunk in the wrong place is found as surely as a flipped bit.
//!
//! **Reading the code**: `sled_store.rs` is the protocol; `open.rs` the guarded start; `ledger.rs` which commits and
//! segments are alive; `segment.rs`, `chunk.rs`, `index.rs` and `merge.rs` the bytes of segments; `tier.rs` which of them to
//! merge; `record.rs` manifests and commits; `lasting.rs` opens it all again after the disk has failed; `rows.rs` is the only file that names sled.

mod checkpoint;
mod chunk;
mod copy;
mod error;
mod files;
mod guard;
mod index;
mod lasting;
mod ledger;
mod mark;
mod merge;
mod model;
mod open;
mod rebuild;
mod record;
mod rows;
mod segment;
mod sled_store;
mod tier;
mod varint;

#[cfg(test)]
mod tests;

pub use checkpoint::{CheckpointStore, Visit};
pub use copy::{Copied, copy};
pub use error::StoreError;
pub use lasting::LastingStore;
pub use model::{Commit, Entry, Epoch, Manifest, SegmentRef};
pub use open::StoreOptions;
pub use sled_store::SledStore;
