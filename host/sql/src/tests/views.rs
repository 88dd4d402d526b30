//! Queries inside FROM: what they are taken into, and that they end.

use super::{planned, refused};

/// The same plan is made of both, by its definition.
fn same(left: &str, right: &str) {
    assert_eq!(planned(left).plan.definition, planned(right).plan.definition, "{left}\n{right}");
}

#[test]
fn a_query_inside_from_means_what_its_columns_mean() {
    let plain = "SELECT user_id, SUM(fare * 2) AS s FROM event_user_action WHERE fare > 6 AND seats < 3
        GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)";
    for inner in [
        "WITH x AS (SELECT user_id, fare * 2 AS twice, seats, rowtime FROM event_user_action WHERE fare > 6)
         SELECT user_id, SUM(twice) AS s FROM x WHERE seats < 3 GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR);",
        "SELECT t.user_id, SUM(t.twice) AS s FROM
         (SELECT *, e.fare * 2 AS twice FROM event_user_action AS e WHERE e.fare > 6) AS t
         WHERE t.seats < 3 GROUP BY t.user_id, TUMBLE(t.rowtime, INTERVAL '1' HOUR)",
        "WITH a AS (SELECT * FROM event_user_action WHERE fare > 6),
              b (who, much, at) AS (SELECT user_id, fare * 2, event_time FROM a WHERE seats < 3)
         SELECT who AS user_id, SUM(much) AS s FROM b GROUP BY who, TUMBLE(at, INTERVAL '1' HOUR)",
        "WITH x AS (SELECT user_id, fare, event_time FROM event_user_action WHERE fare > 6 AND seats < 3)
         SELECT user_id, SUM(fare * 2) AS s FROM TABLE(TUMBLE(TABLE x, DESCRIPTOR(rowtime), INTERVAL '1' HOUR))
         GROUP BY user_id, window_start, window_end",
    ] {
        same(plain, inner);
    }
}

#[test]
fn members_and_over_pass_through() {
    same(
        "SELECT place.lat AS lat FROM event_user_action",
        "SELECT p.lat AS lat FROM (SELECT place AS p FROM event_user_action)",
    );
    same(
        "SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY rowtime RANGE INTERVAL '1' HOUR PRECEDING) AS n
         FROM event_user_action WHERE action = 'ride'",
        "WITH rides AS (SELECT user_id, rowtime FROM event_user_action WHERE action = 'ride')
         SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY rowtime RANGE INTERVAL '1' HOUR PRECEDING) AS n
         FROM rides",
    );
    same(
        "SELECT fare AS f FROM event_user_action",
        "SELECT fare AS f FROM (SELECT *, fare FROM event_user_action)",
    );
    same(
        "SELECT CURRENT_TIMESTAMP AS at, HOUR(rowtime) AS h FROM event_user_action",
        "SELECT CURRENT_TIMESTAMP AS at, h FROM (SELECT HOUR(rowtime) AS h FROM event_user_action)",
    );
}

#[test]
fn columns_that_double_end() {
    let doubled: Vec<String> =
        (1..60).map(|n| format!("t{n} AS (SELECT x + x AS x FROM t{})", n - 1)).collect();
    let query = format!(
        "WITH t0 AS (SELECT fare AS x FROM event_user_action), {} SELECT x FROM t59",
        doubled.join(", ")
    );
    assert!(refused(&query)[0].contains("more than 10000 parts"), "{:?}", refused(&query));
    let deep: Vec<String> =
        (1..200).map(|n| format!("t{n} AS (SELECT x + 1 AS x FROM t{})", n - 1)).collect();
    let query = format!(
        "WITH t0 AS (SELECT fare AS x FROM event_user_action), {} SELECT x FROM t199",
        deep.join(", ")
    );
    assert!(refused(&query)[0].contains("nested too deep"), "{:?}", refused(&query));
}

/// (query, `line:column: message` up to where it is long enough to be known).
const REFUSED: &[(&str, &str)] = &[
    (
        "SELECT fare FROM (SELECT user_id FROM event_user_action) t",
        "1:8: `t` has no column `fare`; add it to the SELECT of `t`",
    ),
    (
        "SELECT user_id, COUNT(*) AS n FROM (SELECT user_id FROM event_user_action) t GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:103: `t` has no column `rowtime`; add it to the SELECT of `t`",
    ),
    (
        "WITH t AS (SELECT user_id, COUNT(*) AS n FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)) SELECT MAX(n) AS m FROM t",
        "1:12: `t` groups its rows, and weir 0.1 does not read another query's results yet; an inner query filters",
    ),
    (
        "SELECT n FROM (SELECT COUNT(*) OVER (PARTITION BY user_id ORDER BY rowtime) AS n FROM event_user_action) t",
        "1:23: COUNT is in `t`, a query inside FROM",
    ),
    (
        "SELECT user_id, fare FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY fare DESC) AS rn FROM event_user_action) WHERE rn <= 5",
        "1:38: ROW_NUMBER is not available; write LAST_N(5, x)",
    ),
    (
        "WITH t AS (SELECT user_id FROM event_user_action), u AS (SELECT user_id FROM event_user_action) SELECT user_id FROM t",
        "1:52: nothing reads `u`; leave it out of WITH",
    ),
    (
        "WITH RECURSIVE t AS (SELECT user_id FROM t) SELECT user_id FROM t",
        "1:1: WITH RECURSIVE is not available",
    ),
    ("WITH t AS (SELECT user_id FROM u) SELECT user_id FROM t", "1:32: stream `u` not found"),
    (
        "WITH t AS (SELECT user_id FROM event_user_action LIMIT 5) SELECT user_id FROM t",
        "1:12: LIMIT is not available",
    ),
    (
        "SELECT user_id, COUNT(*) AS n FROM (SELECT user_id, rowtime FROM TABLE(TUMBLE(TABLE event_user_action, DESCRIPTOR(rowtime), INTERVAL '1' HOUR))) GROUP BY user_id, window_end",
        "1:72: TUMBLE is in an inner query, and table functions belong in the outer one",
    ),
];

#[test]
fn what_an_inner_query_cannot_be_is_refused_with_its_place() {
    for (text, expected) in REFUSED {
        let found = refused(text);
        assert!(
            found.iter().any(|line| line.starts_with(&format!("jobs/job.sql:{expected}"))),
            "{text}: {found:?}"
        );
    }
}
