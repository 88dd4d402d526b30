//! Every source and sink of weir, one folder each, and the table that finds them by name.
//!
//! A connector is *transport x format*: what carries bytes never looks into them, what decodes them never asks
//! where they came from. Knows the contracts in `weir-connect` and the formats; must not know SQL, jobs, state or the
//! engine. Whoever adds a connector adds a folder here and a row in [`registry`].

mod aws;
mod blocking;
pub mod clickhouse;
pub mod context;
pub mod discard;
pub mod druid;
pub mod dynamodb;
pub mod file;
pub mod generator;
pub mod http;
pub mod kafka;
pub mod kinesis;
pub mod log_start;
mod object;
pub mod opensearch;
pub mod post;
pub mod postgres;
pub mod redis;
pub mod registry;
pub mod schema_registry;
pub mod stdout;
pub mod surroundings;
pub mod upsert;
mod web;

pub use weir_connect::settings;
