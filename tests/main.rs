//! One binary for everything that links the heavy crates or drives the built `weir`.
//!
//! Each module is one kind of proof. Needs `weir` built beside it, the sample components in `plugins/dist`, and
//! what `tests/setup` installs: `make test` sees to all three.

mod answers;
mod architecture;
mod aws_compliance;
mod bad_input;
mod bad_sinks;
mod changes;
mod circles;
mod crash;
mod deploy;
mod dynamodb;
mod edges_of_time;
mod edits;
mod every_type;
mod failed_results;
mod failed_rows;
mod feast_stores;
mod flights;
mod flights_kafka;
mod formats;
mod golden;
mod golden_core;
mod golden_served;
mod harness;
mod kafka_connector;
mod kafka_exactly_once;
mod kafka_logs;
mod keyed_compliance;
mod keyed_job;
mod keyed_secure;
mod keyed_sinks;
mod keyed_zombies;
mod kinesis;
mod lost_rows;
mod objects;
mod old_state;
mod operations;
mod operations_definitions;
mod operations_plugins;
mod plugins;
mod postgres_tables;
mod put_back;
mod read_back;
mod reference_formats;
mod registered;
mod replay;
mod served;
mod services;
mod sinks;
mod tidy;
mod told;
mod tour;
mod web_stores;
mod zoo;
