//! Queries over a table whose rows are updated and deleted.

use super::{CATALOG, job, lines, planned, refused};
use crate::{explain, plan};
use arrow_schema::DataType;
use weir_event::Span;
use weir_event::schema::TAKEN_BACK;
use weir_plan::{Emit, JobPlan};

const BY_HOUR: &str = "FROM orders GROUP BY city, TUMBLE(rowtime, INTERVAL '1' HOUR)";

fn by_hour(columns: &str) -> String {
    format!("SELECT city, {columns} {BY_HOUR}")
}

fn identities(plan: &JobPlan) -> Vec<&str> {
    let stage = plan.stage.as_ref().unwrap();
    stage.spec.aggregates.iter().map(|aggregate| aggregate.function.card().identity.as_str()).collect()
}

#[test]
fn aggregates_are_over_rows_that_are_left_and_one_counts_these() {
    let plan = planned(&by_hour("SUM(seats) AS s, AVG(fare) FILTER (WHERE seats > 1) AS a")).plan;
    assert_eq!(
        identities(&plan),
        ["taking back(sum(Int32)#1)#1", "taking back(avg(Float64)#1)#1", "taking back(count(*)#1)#1"]
    );
    let stage = plan.stage.as_ref().unwrap();
    assert_eq!(stage.present, Some(2));
    for aggregate in &stage.spec.aggregates {
        let last = *aggregate.arguments.last().unwrap();
        assert_eq!(stage.spec.inputs[last], DataType::Boolean);
    }
    let read: Vec<&str> = plan.inputs[0]
        .columns
        .iter()
        .map(|column| plan.inputs[0].stream.schema.fields[*column].name.as_str())
        .collect();
    assert_eq!(read, ["city", "fare", "seats", "at", TAKEN_BACK]);

    let counted = planned(&by_hour("COUNT(*) AS n")).plan;
    assert_eq!(identities(&counted), ["taking back(count(*)#1)#1"]);
    assert_eq!(counted.stage.unwrap().present, Some(0));
    let others = planned(
        "SELECT user_id, COUNT(*) AS n FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
    );
    assert_eq!(others.plan.stage.unwrap().present, None);
}

#[test]
fn it_is_said_that_rows_are_taken_back() {
    let text = explain(&planned(&by_hour("COUNT(*) AS n, SUM(fare) AS s")).plan);
    assert!(
        text.contains("\n  at timestamp  event time\n  rows that are updated or deleted are taken back\n"),
        "{text}"
    );
    assert!(text.contains("  0: taking back(count(*)#1)#1 -> bigint"), "{text}");
    assert!(!text.contains('\0'), "{text}");
}

#[test]
fn every_query_that_can_take_rows_back_runs() {
    for query in [
        by_hour("VARIANCE(fare) AS v, STDDEV_POP(fare) AS d, CORR(fare, seats) AS c, BOOL_OR(seats > 1) AS b"),
        "SELECT city, COUNT(seats) AS n FROM orders GROUP BY city, HOP(rowtime, INTERVAL '1' HOUR, INTERVAL '1' DAY)".to_owned(),
        "SELECT city, SERIES(SUM(fare)) AS n FROM orders GROUP BY city, HOP(rowtime, INTERVAL '1' HOUR, INTERVAL '1' DAY)".to_owned(),
        "SELECT city, COUNT(*) AS n FROM orders GROUP BY city, CUMULATE(rowtime, INTERVAL '1' HOUR, INTERVAL '1' DAY)".to_owned(),
        "SELECT tag, COUNT(*) AS n FROM orders CROSS JOIN UNNEST(tags) AS t(tag) GROUP BY tag, TUMBLE(rowtime, INTERVAL '1' DAY)".to_owned(),
        "SELECT c, SUM(f) AS s FROM (SELECT UPPER(city) AS c, fare * 2 AS f, rowtime FROM orders WHERE seats > 1) GROUP BY c, TUMBLE(rowtime, INTERVAL '1' DAY)".to_owned(),
        "SELECT c, SUM(f) AS s FROM (SELECT city AS c, fare AS f, rowtime FROM orders UNION ALL SELECT geohash, fare, rowtime FROM event_user_action) GROUP BY c, TUMBLE(rowtime, INTERVAL '1' DAY)".to_owned(),
    ] {
        let plan = planned(&query).plan;
        assert!(plan.stage.as_ref().unwrap().present.is_some(), "{query}");
        assert!(identities(&plan).iter().all(|identity| identity.contains("taking back(")), "{query}");
    }
}

#[test]
fn what_cannot_take_rows_back_is_refused_with_what_to_write() {
    let over = "OVER (PARTITION BY city ORDER BY rowtime RANGE INTERVAL '1' DAY PRECEDING)";
    for (query, place, what) in [
        (by_hour("MIN(fare) AS m"), "1:14", "MIN cannot"),
        (by_hour("COUNT(*) AS n, MAX(fare) AS m"), "1:29", "MAX cannot"),
        (by_hour("COUNT(DISTINCT id) AS n"), "1:14", "COUNT(DISTINCT ..) cannot"),
        (by_hour("TOP(3, id) AS t"), "1:14", "TOP cannot"),
        (by_hour("LAST_VALUE(id) AS t"), "1:14", "LAST_VALUE cannot"),
        (by_hour("MODE(id) AS t"), "1:14", "MODE cannot"),
        (by_hour("APPROX_COUNT_DISTINCT(id) AS t"), "1:14", "APPROX_COUNT_DISTINCT cannot"),
        (by_hour("SERIES(MAX(fare)) AS t").replace("TUMBLE(rowtime, ", "HOP(rowtime, INTERVAL '1' MINUTE, "), "1:21", "MAX cannot"),
        (format!("SELECT city, COUNT(*) {over} AS n FROM orders"), "1:108", "OVER, which gives a result for each row, cannot"),
        ("SELECT city, COUNT(*) AS n FROM orders GROUP BY city, SESSION(rowtime, INTERVAL '1' HOUR)".to_owned(), "1:33", "SESSION cannot"),
        ("SELECT city, fare FROM orders".to_owned(), "1:24", "a query that computes each row alone cannot"),
        ("SELECT fare, action FROM orders LAST JOIN event_user_action ON orders.city = event_user_action.user_id".to_owned(), "1:26", "LAST JOIN cannot"),
        ("SELECT fare, action FROM event_user_action LAST JOIN (SELECT city, rowtime FROM orders) AS o ON event_user_action.user_id = o.city".to_owned(), "1:81", "LAST JOIN cannot"),
    ] {
        let found = refused(&query);
        let [error] = &found[..] else { panic!("{query}\n{found:#?}") };
        assert!(error.contains(&format!(":{place}: ")) && error.contains(&format!("{what} take back")), "{query}\n{error}");
        assert!(error.contains("`deletes: ignore` in the format of `orders`"), "{query}\n{error}");
    }
}

#[test]
fn lifetime_values_are_refused_too() {
    let mut of_life = job("SELECT city, COUNT(*) AS n FROM orders GROUP BY city");
    of_life.emit = Emit::Change;
    of_life.retention = Some(Span::from_millis(86_400_000));
    let found = lines(&plan(&of_life, &CATALOG).unwrap_err());
    assert!(found.contains("1:33: a query without a window cannot take back rows of `orders`"), "{found}");
}

#[test]
fn the_hidden_column_cannot_be_named() {
    let found = refused(
        "SELECT city, COUNT(\"taken_back\") AS n FROM orders GROUP BY city, TUMBLE(rowtime, INTERVAL '1' HOUR)",
    );
    assert!(found[0].contains("its columns are id, city, fare, seats, tags, at"), "{found:?}");
}
