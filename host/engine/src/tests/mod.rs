//! Jobs run over sources and sinks in memory and a real store in a temporary folder: the rules of time, asked of
//! the whole engine.

mod appearing;
mod beside;
mod commit;
mod counts;
mod duplicates;
mod emit;
mod failures;
mod freshness;
mod gone_sinks;
pub(crate) mod harness;
mod hours;
mod idle;
mod late;
mod leaving;
mod origin;
mod outboxes;
mod promised;
mod reforming;
mod sessions;
mod sinks;
mod skew;
mod stream;
mod taken_over;
mod unready;
mod waiting;
