//! SQL: the text of a query in, a plan out.
//!
//! The way of a query: text -> [`tokens`](tokens) (limits, what the parser's tree cannot hold) -> [`parse`](parse)
//! (one `SELECT`; [`table_function`](table_function) and [`process_call`](process_call) cut table functions out before) -> [`relation`](relation) (what FROM
//! reads, several streams as one) -> [`names`](names) (every column and function is known) ->
//! [`planner`](planner) (keys, windows, aggregates, result columns; [`process`](process) for keyed logic) with scalar expressions bound by
//! [`expressions`](expressions) -> a [`weir_plan::JobPlan`]; [`transform`](transform) then adds what is derived of its results.
//!
//! Knows: SQL text, sqlparser, DataFusion's expression library; neither's types leave this crate. Must not know:
//! where definitions or events come from, plugins beyond the catalog's traits, time of day.

mod aggregates;
mod calendar;
mod changes;
mod components;
mod composed;
mod dialect;
mod elsewhere;
mod explain;
mod expressions;
mod features;
mod grouping;
mod hashes;
mod inputs;
mod intervals;
mod labels;
mod last_join;
mod names;
mod over;
mod parse;
mod planner;
mod process;
mod process_call;
mod relation;
mod report;
mod resolution;
mod results;
mod series;
mod sides;
mod spellings;
mod stage;
mod state;
mod syntax;
mod table_function;
mod taken;
mod tokens;
mod transform;
mod unnest;
mod views;
mod warnings;
mod windows;

#[cfg(test)]
mod tests;

pub use explain::explain;
pub use expressions::{FunctionDoc, function_docs};
pub use planner::{Planned, plan};
pub use taken::taken;

use weir_plan::definition::Query;
use weir_plan::diagnostic::Diagnostic;

/// Names of the tables that a query reads, in order of the text.
///
/// Errors are what keeps the text from being one `SELECT`, each with its place.
pub fn tables(query: &Query) -> Result<Vec<String>, Vec<Diagnostic>> {
    match parse::parse(&query.text) {
        Ok(parsed) => Ok(parsed.base.tables().into_iter().map(|(name, _)| name.to_owned()).collect()),
        Err(refusals) => {
            let mut report = report::Report::new(query);
            report.refuse_all(refusals);
            Err(report.into_diagnostics())
        }
    }
}
