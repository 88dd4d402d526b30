//! What people bring from other engines, and what can be written but is never meant: refused with what is meant, or
//! warned of.

use super::{lines, planned, refusals, refused};

const REFUSED: &[(&str, &str)] = &[
    (
        "SELECT MEDIAN(fare) FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: MEDIAN is not available; write APPROX_PERCENTILE(0.5, fare)",
    ),
    (
        "SELECT user_id, PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY fare) AS p FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:17: PERCENTILE_CONT is not available; write APPROX_PERCENTILE(0.25, fare)",
    ),
    (
        "SELECT user_id, QUANTILE(fare, 0.9) AS p FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:17: QUANTILE is not available; write APPROX_PERCENTILE(0.9, fare)",
    ),
    (
        "SELECT user_id, PERCENTILE(fare, 95) AS p FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:17: PERCENTILE is not available; write APPROX_PERCENTILE(0.95, fare)",
    ),
    (
        "SELECT user_id, PERCENTILE_APPROX(fare, 99.9) AS p FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:17: PERCENTILE_APPROX is not available; write APPROX_PERCENTILE(0.999, fare)",
    ),
    (
        "SELECT user_id, APPROX_QUANTILES(fare, 100) AS p FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:17: APPROX_QUANTILES is not available; write APPROX_PERCENTILE(0.95, fare)",
    ),
    (
        "SELECT user_id, PERCENTILE(-1, fare) AS p FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:17: PERCENTILE is not available; write APPROX_PERCENTILE(0.95, fare)",
    ),
    (
        "SELECT user_id FROM event_user_action WHERE action = \"ride_ids\"",
        "1:54: `event_user_action` has no column `ride_ids`; did you mean `ride_id`? (names stand in double quotes, and texts in single ones: 'ride_ids')",
    ),
    (
        "SELECT user_id, MAX(LEN(action)) AS p FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:21: LEN is not available; write LENGTH(text)",
    ),
    (
        "SELECT user_id, MAX(ISNULL(action, '')) AS p FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:21: ISNULL is not available; write COALESCE(action, '')",
    ),
    (
        "SELECT user_id, NUNIQUE(action) AS p FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:17: NUNIQUE is not available; write COUNT(DISTINCT x)",
    ),
    (
        "SELECT user_id, COUNT(*) AS n FROM event_user_action WHERE action = NULL GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:69: `action = NULL` is never true, nor false; write action IS NULL",
    ),
    (
        "SELECT user_id, COUNT(*) FILTER (WHERE NULL <> fare) AS n FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:40: `NULL <> fare` is never true, nor false; write fare IS NOT NULL",
    ),
    (
        "SELECT user_id, COUNT(*) FILTER (WHERE action NOT IN ('a', NULL)) AS n FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:40: NOT IN with NULL in its list is never true",
    ),
    (
        "SELECT user_id, SUM(CASE action WHEN NULL THEN 1 ELSE 0 END) AS n FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:38: WHEN NULL never applies; write CASE WHEN action IS NULL",
    ),
    (
        "SELECT user_id, MAX(tags[0]) AS n FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:21: the values of an array are counted from 1, so [0] is none of them",
    ),
    (
        "SELECT user_id, MAX(ELEMENT_AT(tags, -1)) AS n FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:32: the values of an array are counted from 1, so [-1] is none of them",
    ),
    (
        "SELECT LAG(fare, 1, 'x') OVER (PARTITION BY user_id ORDER BY rowtime) AS n FROM event_user_action",
        "1:8: CASE, IF and LAG give one of their values, which are string and double here",
    ),
    (
        "SELECT user_id, MAX(IF(fare > 1, 'x', 0)) AS n FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:24: CASE, IF and LAG give one of their values, which are string and bigint here",
    ),
    (
        "SELECT user_id, SUM(fare) / 0 AS n FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:17: `/` fails on every row with these constants: division by zero",
    ),
    (
        "SELECT user_id, SUM(fare % 0.0) AS n FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:21: `%` fails on every row with these constants: division by zero",
    ),
    (
        "SELECT user_id, 1.5 / 0.0 AS n, COUNT(*) AS m FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:17: a constant of the query has no value: division by zero",
    ),
    (
        "SELECT geohash, user_id, COUNT(*) AS n FROM event_user_action GROUP BY geohash, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:17: `user_id` is neither in GROUP BY nor inside an aggregate; add it to GROUP BY, which makes it a part of the key, or write LAST_VALUE(user_id)",
    ),
    (
        "SELECT DATE_FORMAT(rowtime, 'yyyy-MM-DD') AS d FROM event_user_action",
        "1:29: `DD` in a pattern of a time is not available; write dd for the day of the month",
    ),
];

#[test]
fn what_is_never_meant_is_refused_with_what_is() {
    refusals::check(REFUSED);
}

#[test]
fn patterns_that_probably_mean_something_else_are_warned_of() {
    for (pattern, said) in [
        ("yyyy-mm-dd", "1:29: warning: the pattern 'yyyy-mm-dd': mm are minutes; for the month write MM"),
        ("hh:mm", "1:29: warning: the pattern 'hh:mm': hh goes from 1 to 12"),
    ] {
        let text = format!("SELECT DATE_FORMAT(rowtime, '{pattern}') AS d FROM event_user_action");
        let notices = lines(&planned(&text).notices);
        assert!(notices.contains(said), "{notices}");
    }
    let plain = planned("SELECT DATE_FORMAT(rowtime, 'yyyy-MM-dd HH:mm') AS d FROM event_user_action");
    assert!(plain.notices.is_empty(), "{:?}", plain.notices);
}

#[test]
fn names_that_nobody_gave_are_told() {
    let text = "SELECT geohash, COUNT(*) FROM event_user_action
        GROUP BY geohash, HOUR(rowtime), TUMBLE(rowtime, INTERVAL '1' HOUR)";
    let notices = lines(&planned(text).notices);
    assert!(notices.contains("the feature is called `EXPR$1`; write AS and a name behind it"), "{notices}");
    assert!(notices.contains("so lookups call it `key_1`"), "{notices}");
    let named = "SELECT geohash, HOUR(rowtime) AS hour, COUNT(*) AS n FROM event_user_action
        GROUP BY geohash, HOUR(rowtime), TUMBLE(rowtime, INTERVAL '1' HOUR)";
    let named = planned(named);
    assert!(named.notices.is_empty(), "{:?}", named.notices);
    assert_eq!(named.plan.stage.unwrap().key_names, ["geohash", "hour"]);
}

#[test]
fn an_entity_is_called_as_the_query_around_calls_it() {
    let keys = |query: &str| planned(query).plan.stage.unwrap().key_names;
    let window = "TUMBLE(rowtime, INTERVAL '1' HOUR)";
    let inner = "SELECT user_id AS k, rowtime FROM event_user_action";
    assert_eq!(keys(&format!("SELECT k, COUNT(*) AS n FROM ({inner}) GROUP BY k, {window}")), ["k"]);
    let with = format!("WITH t AS ({inner}) SELECT k, COUNT(*) AS n FROM t GROUP BY k, {window}");
    assert_eq!(keys(&with), ["k"]);
    let plain = |column: &str| {
        format!("SELECT {column}, COUNT(*) AS n FROM event_user_action GROUP BY user_id, {window}")
    };
    for column in ["user_id", "user_id AS u", "(user_id)"] {
        assert_eq!(keys(&plain(column)), ["user_id"], "{column}");
    }
}

#[test]
fn where_rows_or_groups_have_a_wrong_name_nothing_is_said_of_columns() {
    let window = "TUMBLE(rowtime, INTERVAL '1' HOUR)";
    for text in [
        format!("SELECT geohash, COUNT(*) AS n FROM event_user_action GROUP BY geohsh, {window}"),
        "SELECT user_id, SUM(fare) OVER w AS s, SUM(action) AS t FROM event_user_action WINDOW w AS (PARTITION BY usr_id ORDER BY rowtime)"
            .to_owned(),
        format!(
            "SELECT id, SUM(f + 1) AS s, MAX(f) AS m FROM (SELECT user_id AS id, faer AS f, rowtime FROM event_user_action) GROUP BY id, {window}"
        ),
        format!(
            "SELECT id, COUNT(*) AS n FROM (SELECT user_id AS id, rowtime FROM event_user_action WHERE faer > 1) GROUP BY id, {window}"
        ),
    ] {
        let found = refused(&text);
        assert!(matches!(&*found, [only] if only.contains("has no column")), "{text}: {found:?}");
    }
}

#[test]
fn what_is_wrong_with_types_is_said_beside_a_name_that_was_not_found() {
    let found = refused(
        "SELECT SUM(action['x']) AS a, MAX(tags[0]) AS b, MAX(faer) AS c, COUNT(*) AS d, action AS e FROM \
         event_user_action WHERE fare > 'x' GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
    );
    let places: Vec<&str> = found.iter().filter_map(|line| line.strip_prefix("jobs/job.sql:1:")).collect();
    let begin = [
        "12: a value of type string",
        "35: the values of an array",
        "54: `event_user_action` has no",
        "81: `action`",
    ];
    assert_eq!(found.len(), begin.len(), "{found:?}");
    assert!(places.iter().zip(begin).all(|(line, begin)| line.starts_with(begin)), "{found:?}");
}
