//! Every source and sink of weir, one folder each, and the table that finds them by name.
//!
//! A connector is *transport x format*: what carries bytes never looks into them, what decodes them never asks
//! where they came from. Knows the contracts in `weir-connect` and the formats; must not know SQL, jobs, state or the
//! engine. Whoever adds a connector adds a folder here and a row in [`registry`].

#[cfg(feature = "aws")]
mod aws;
mod blocking;
#[cfg(feature = "web")]
pub mod clickhouse;
pub mod context;
pub mod discard;
pub mod druid;
#[cfg(feature = "aws")]
pub mod dynamodb;
#[cfg(any(feature = "aws", feature = "redis"))]
mod feast;
pub mod file;
pub mod generator;
pub mod http;
pub mod kafka;
#[cfg(feature = "aws")]
pub mod kinesis;
pub mod log_start;
mod object;
#[cfg(feature = "web")]
pub mod opensearch;
#[cfg(feature = "web")]
pub mod post;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
pub mod registry;
#[cfg(feature = "web")]
pub mod schema_registry;
mod shell;
pub mod stdout;
pub mod surroundings;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod trust;
pub mod upsert;
#[cfg(feature = "web")]
mod web;

pub use weir_connect::settings;
