//! Functions that a query can call, from the catalogues of aggregates and of scalar functions.

use super::{code, table};
use weir_sql::{FunctionDoc, function_docs};
use weir_timeline::{BuiltinDoc, builtin_docs};

pub(super) fn part() -> String {
    let aggregates = builtin_docs().iter().map(aggregate);
    let functions = function_docs().into_iter().map(function);
    format!(
        "## Aggregates\n\nHow exact each is, what it does with NULL and how much it keeps is in \
         [AGGREGATES.md](../timeline/AGGREGATES.md). Every one takes `FILTER (WHERE ..)`, and may stand over a window \
         of `GROUP BY` or `OVER (..)`.\n\n{}\n\
         ## Scalar functions\n\nNames are not case-sensitive. Plugins bring others.\n\n{}",
        table(&["call", "also called", "value"], aggregates),
        table(&["call", "also called", "value"], functions)
    )
}

fn aggregate(doc: &BuiltinDoc) -> Vec<String> {
    vec![code(doc.signature), doc.aliases.join(", "), doc.does.to_owned()]
}

fn function(doc: FunctionDoc) -> Vec<String> {
    vec![code(&doc.call), doc.aliases.join(", "), doc.does]
}
