//! The words that every crate of weir shares: event time, schemas, keys, watermarks, positions and the
//! messages that flow between stages.
//!
//! Knows: Arrow arrays and how weir's types map to them. Must not know: how anything is read, computed, stored
//! or served; nothing here does I/O or keeps state beyond a value, except the clock that tests move. Whoever waits by a
//! clock brings a runtime.

pub mod clock;
pub mod date;
pub mod decimal;
pub mod fault;
pub mod key;
pub mod message;
pub mod position;
pub mod random;
pub mod schema;
pub mod size;
pub mod suggestion;
pub mod time;
pub mod watermark;
pub mod written;
pub mod zone;

pub use clock::{Clock, ManualClock, Sleep, Ticks, within};
pub use date::Date;
pub use decimal::{DecimalError, DecimalType};
pub use fault::Fault;
pub use key::{KeyGroup, id_hash, key_group, key_hash};
pub use message::{Message, Signal};
pub use position::{PartitionId, Position, Rank};
pub use random::random_id;
pub use schema::{DataType, Field, StreamSchema};
pub use size::{ByteSize, SizeError};
pub use time::{EventTime, Span};
pub use watermark::{JobWatermark, PartitionWatermark};
pub use written::{PatternError, TIME_UNITS, TimeForm, TimePattern, TimeUnit};
pub use zone::{UnknownZone, zone_named};
