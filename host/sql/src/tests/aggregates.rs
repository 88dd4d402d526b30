//! Calls of aggregates as they are bound, and their documentation.

use super::planned;
use crate::explain;
use weir_timeline::{BuiltinDoc, builtin_docs};

/// The identity and the result's type of an aggregate of `event_user_action`.
fn bound(call: &str) -> (String, String) {
    let plan = planned(&format!(
        "SELECT {call} AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)"
    ))
    .plan;
    let aggregates = &plan.stage.as_ref().unwrap().spec.aggregates;
    assert_eq!(aggregates.len(), 1, "{call}");
    (aggregates[0].function.card().identity.clone(), plan.features[0].data_type.to_string())
}

#[test]
fn constants_are_parameters_and_all_else_is_a_column() {
    for (call, identity, result) in [
        ("COUNT(1)", "count(*)#1", "bigint"),
        ("COUNT(DISTINCT action)", "count(distinct Utf8View)#1", "bigint"),
        ("COUNT(DISTINCT ROW(action, seats))", "count(distinct Utf8View, Int32)#1", "bigint"),
        ("MAX(DISTINCT fare)", "max(Float64)#1", "double"),
        ("stddev(fare)", "stddev_samp(Float64)#1", "double"),
        ("CORR(fare, seats)", "corr(Float64, Int32)#1", "double"),
        ("FIRST_VALUE(action) IGNORE NULLS", "first_value(Utf8View)#1", "string"),
        ("ANY_VALUE(action)", "first_value(Utf8View)#1", "string"),
        ("SOME(fare > 1)", "bool_or(Boolean)#1", "boolean"),
        ("EVERY(fare > 1)", "bool_and(Boolean)#1", "boolean"),
        ("ARRAY_AGG(action)", "collect(Utf8View)#1", "array<string>"),
        ("LAST_N(3, action, 'desc')", "last_n(Utf8View, 3, desc)#1", "array<string>"),
        ("LAST_N(((3)), (action), ('desc'))", "last_n(Utf8View, 3, desc)#1", "array<string>"),
        (
            "TOP(2, ROW(action, place.lat))",
            "top(action Utf8View, lat Float64, 2, asc)#1",
            "array<row<action string, lat double>>",
        ),
        (
            "COLLECT((action, fare * 2))",
            "collect(action Utf8View, f1 Float64)#1",
            "array<row<action string, f1 double>>",
        ),
        ("ARG_MAX(action, fare)", "arg_max(Utf8View, Float64)#1", "string"),
        (
            "MAX_BY(ROW(action, seats), fare)",
            "arg_max(action Utf8View, seats Int32, fare Float64)#1",
            "row<action string, seats int>",
        ),
        ("APPROX_PERCENTILE(0.5, fare)", "approx_percentile(Float64, 0.5)#1", "double"),
        (
            "APPROX_PERCENTILE(ARRAY[0, 0.5, 1], fare)",
            "approx_percentile(Float64, 0, 0.5, 1)#1",
            "array<double>",
        ),
        ("APPROX_PERCENTILE(0.5, 0.9, seats)", "approx_percentile(Int32, 0.5, 0.9)#1", "array<double>"),
        ("DECAY_SUM(INTERVAL '7' DAY, fare)", "decay_sum(Float64, 604800000)#1", "double"),
        ("DECAY_SUM('7d', fare)", "decay_sum(Float64, 604800000)#1", "double"),
        ("DECAY_COUNT(3600000)", "decay_count(3600000)#1", "double"),
        ("MAP_AGG_BY(action, 'sum', fare)", "map_agg_by(Utf8View, Float64, sum)#1", "map<string, double>"),
        ("HISTOGRAM(action)", "histogram(Utf8View)#1", "map<string, bigint>"),
        ("GAP_AVG()", "gap_avg()#1", "double"),
        ("TIME_SINCE_LAST(ride_id)", "time_since_last(Utf8View)#1", "bigint"),
        ("decayed(0.5, fare)", "sum(Float64)#1", "double"),
    ] {
        assert_eq!(bound(call), (identity.to_owned(), result.to_owned()), "{call}");
    }
}

/// Only what the call itself writes as a constant is an option of it.
#[test]
fn columns_of_an_inner_query_that_are_constants_are_values() {
    for (call, identity) in [
        ("LAST_N(3, src)", "last_n(Utf8View, 3, asc)#1"),
        ("LAST_N(3, (src), 'desc')", "last_n(Utf8View, 3, desc)#1"),
        ("MAX_N(2, src)", "max_n(Utf8View, 2)#1"),
        ("max(-one)", "max(Int64)#1"),
        ("COUNT(one)", "count(Int64)#1"),
        ("LAST_N(2, ROW(src, one))", "last_n(f0 Utf8View, f1 Int64, 2, asc)#1"),
    ] {
        let plan = planned(&format!(
            "SELECT {call} AS a FROM (SELECT *, 'web' AS src, 1 AS one FROM event_user_action) t
             GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)"
        ))
        .plan;
        assert_eq!(
            plan.stage.as_ref().unwrap().spec.aggregates[0].function.card().identity,
            identity,
            "{call}"
        );
    }
}

#[test]
fn an_aggregate_is_explained_by_its_card() {
    let text = explain(
        &planned(
            "SELECT COLLECT(action) AS a, APPROX_PERCENTILE(0.5, fare) AS p FROM event_user_action
             GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        )
        .plan,
    );
    for part in [
        "     exact; memory per key grows with its values; NULLs: skipped; an empty list of no values",
        "     approximate; memory per key bounded; NULLs: skipped; null of no values",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

/// The documentation of all built-in aggregates.
fn documentation() -> String {
    let mut text = "# Built-in aggregates\n\n\
        An *exact* aggregate gives the same value in whatever order rows come, an *ordered* one takes them in order of \
        event time, an *approximate* one keeps to the error that it states. With an *inverse* rows can be taken out \
        again, so that a sliding window costs the same whatever its length. A *bounded* state does not grow with its \
        rows. Every aggregate takes `FILTER (WHERE ..)`, and `ROW(a, b)` where it takes a row. In a query grouped by a HOP \
        window, `SERIES(SUM(x))` is the list of an aggregate's values in each step of the window, the oldest first: with \
        `HOP(rowtime, INTERVAL '7' DAY, INTERVAL '84' DAY)` the sums of the last 12 weeks.\n\n\
        | call | also called | value | nulls | algebra | inverse | bounded |\n\
        |---|---|---|---|---|---|---|\n"
        .to_owned();
    for doc in builtin_docs() {
        text.push_str(&line(doc));
    }
    text
}

fn line(doc: &BuiltinDoc) -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let yes = |is: bool| if is { "yes" } else { "no" };
    format!(
        "| `{}` | {} | {} | {} | {} | {} | {} |\n",
        cell(doc.signature),
        doc.aliases.join(", "),
        cell(doc.does),
        cell(doc.nulls),
        doc.algebra.name(),
        yes(doc.inverse),
        yes(doc.bounded)
    )
}

#[test]
fn the_documentation_of_aggregates_is_up_to_date() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../timeline/AGGREGATES.md");
    let rendered = documentation();
    if std::env::var_os("WEIR_WRITE_DOCUMENTATION").is_some() {
        std::fs::write(file, &rendered).unwrap();
    }
    let found = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        found == rendered,
        "host/timeline/AGGREGATES.md differs from builtin_docs(); run \
         `WEIR_WRITE_DOCUMENTATION=1 cargo test -p weir-sql documentation_of_aggregates` and commit the file"
    );
}
