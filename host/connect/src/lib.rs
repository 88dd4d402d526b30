//! What a source, a sink and a format are, and what each of them promises.
//!
//! A connector is *transport x format*: a source hands out blocks of raw records with their positions, a
//! [`Decoder`] turns them into columns, a [`Sink`] takes columns and writes what an [`Encoder`] makes of them. Knows no
//! connector by name; must not know the engine, SQL or how state is kept. Whoever writes a connector reads this crate
//! and runs its [`compliance`] kit, and nothing else.

pub mod compliance;
pub mod cpu;
pub mod error;
pub mod folder;
pub mod format;
pub mod health;
pub mod key;
pub mod mark;
pub mod probe;
pub mod settings;
pub mod shape;
pub mod sink;
pub mod source;

pub use cpu::CpuTime;
pub use error::ConnectError;
pub use folder::make_folder;
pub use format::{BadRow, Decoded, Decoder, Encoder, FileLayout, Records};
pub use health::Health;
pub use key::KeyDoc;
pub use mark::{NoMark, StateMark};
pub use probe::Probe;
pub use shape::{RowIdentity, RowShape};
pub use sink::{Delivery, Op, Sink, SinkCounts, SinkRows, Token};
pub use source::{Fetch, Framing, KnownTimes, Left, OpenPartition, RawBlock, Reader, Source};
