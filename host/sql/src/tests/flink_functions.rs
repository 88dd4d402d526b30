//! Functions that Flink's users type daily: what they give, which of their constants are refused.

use super::values::{bigints, doubles, evaluate, texts};
use super::{planned, refused};
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;

/// The three rows' times are 1970-01-01 00:00:00, 1970-01-02 00:00:00.001 and 1969-12-31 23:59:59.999.
fn ints(expression: &str) -> Vec<Option<i64>> {
    let values = evaluate(expression).unwrap();
    match values.as_primitive_opt::<Int32Type>() {
        Some(values) => values.iter().map(|value| value.map(i64::from)).collect(),
        None => bigints(expression),
    }
}

fn text(expression: &str) -> String {
    texts(expression)[0].clone().unwrap()
}

fn times(expression: &str) -> Vec<String> {
    let text = format!("DATE_FORMAT({expression}, 'yyyy-MM-dd HH:mm:ss.SSS')");
    texts(&text).into_iter().map(Option::unwrap_or_default).collect()
}

#[test]
fn parts_of_a_time() {
    assert_eq!(ints("YEAR(rowtime)"), [Some(1970), Some(1970), Some(1969)]);
    assert_eq!(ints("QUARTER(rowtime)"), [Some(1), Some(1), Some(4)]);
    assert_eq!(ints("MONTH(rowtime)"), [Some(1), Some(1), Some(12)]);
    assert_eq!(ints("WEEK(rowtime)"), [Some(1), Some(1), Some(1)]);
    assert_eq!(ints("DAYOFYEAR(rowtime)"), [Some(1), Some(2), Some(365)]);
    assert_eq!(ints("DAYOFMONTH(rowtime)"), [Some(1), Some(2), Some(31)]);
    // Thursday, Friday and Wednesday.
    assert_eq!(ints("DAYOFWEEK(rowtime)"), [Some(5), Some(6), Some(4)]);
    assert_eq!(ints("HOUR(rowtime)"), [Some(0), Some(0), Some(23)]);
    assert_eq!(ints("MINUTE(rowtime)"), [Some(0), Some(0), Some(59)]);
    assert_eq!(ints("SECOND(rowtime)"), [Some(0), Some(0), Some(59)]);
    assert_eq!(ints("UNIX_TIMESTAMP(rowtime)"), [Some(0), Some(86_400), Some(-1)]);
    assert_eq!(ints("UNIX_TIMESTAMP('1970-01-02 00:00:00')")[0], Some(86_400));
    assert_eq!(ints("UNIX_TIMESTAMP('02.01.1970 00:01', 'dd.MM.yyyy HH:mm')")[0], Some(86_460));
}

#[test]
fn a_difference_of_times_keeps_its_fraction() {
    let before = "(rowtime - TIMESTAMP '1970-01-01 00:00:02.500')";
    assert_eq!(
        doubles(&format!("EXTRACT(EPOCH FROM {before})")),
        [Some(-2.5), Some(86_397.501), Some(-2.501)]
    );
    assert_eq!(
        ints(&format!("EXTRACT(MILLISECOND FROM {before})")),
        [Some(-2500), Some(86_397_501), Some(-2501)]
    );
    assert_eq!(ints(&format!("EXTRACT(MINUTE FROM {before})")), [Some(0), Some(1439), Some(0)]);
    assert!(
        refused("SELECT EXTRACT(MONTH FROM rowtime - rowtime) AS x FROM event_user_action")[0]
            .contains("TIMESTAMPDIFF")
    );
}

#[test]
fn whole_units_between_times() {
    let last = "TIMESTAMP '1970-03-01 00:00:00'";
    assert_eq!(ints(&format!("TIMESTAMPDIFF(SECOND, rowtime, {last})"))[0], Some(59 * 86_400));
    assert_eq!(ints(&format!("TIMESTAMPDIFF(DAY, rowtime, {last})")), [Some(59), Some(57), Some(59)]);
    assert_eq!(ints(&format!("TIMESTAMPDIFF(MONTH, rowtime, {last})")), [Some(2), Some(1), Some(2)]);
    assert_eq!(ints(&format!("TIMESTAMPDIFF(MONTH, {last}, rowtime)")), [Some(-2), Some(-1), Some(-2)]);
    assert_eq!(ints(&format!("TIMESTAMPDIFF(SQL_TSI_WEEK, rowtime, {last})"))[0], Some(8));
    assert_eq!(
        times("TIMESTAMPADD(MONTH, 1, TIMESTAMP '1970-01-31 12:00:00')")[0],
        "1970-02-28 12:00:00.000"
    );
    assert_eq!(times("TIMESTAMPADD(HOUR, -2, rowtime)")[1], "1970-01-01 22:00:00.001");
    assert_eq!(times("FLOOR(rowtime TO DAY)")[2], "1969-12-31 00:00:00.000");
    assert_eq!(
        times("CEIL(rowtime TO DAY)"),
        ["1970-01-01 00:00:00.000", "1970-01-03 00:00:00.000", "1970-01-01 00:00:00.000"]
    );
}

#[test]
fn a_time_in_a_zone_is_the_same_instant_by_another_clock() {
    let there = "rowtime AT TIME ZONE 'America/New_York'";
    assert_eq!(ints(&format!("EXTRACT(HOUR FROM {there})")), [Some(19), Some(19), Some(18)]);
    assert_eq!(ints(&format!("HOUR({there})"))[0], Some(19));
    assert_eq!(text(&format!("DATE_FORMAT({there}, 'yyyy-MM-dd HH:mm')")), "1969-12-31 19:00");
    assert_eq!(text(&format!("TO_CHAR({there}, '%H:%M %:z')")), "19:00 -05:00");
    assert_eq!(text(&format!("CAST(CAST({there} AS DATE) AS STRING)")), "1969-12-31");
    assert_eq!(ints(&format!("UNIX_TIMESTAMP(date_trunc('day', {there}))"))[0], Some(5 * 3600 - 86_400));
    assert_eq!(ints(&format!("UNIX_TIMESTAMP(FLOOR({there} TO DAY))"))[0], Some(5 * 3600 - 86_400));
    assert_eq!(ints(&format!("UNIX_TIMESTAMP({there} AT TIME ZONE 'Asia/Tokyo')"))[0], Some(0));
    assert_eq!(ints(&format!("CASE WHEN {there} = rowtime THEN 1 ELSE 0 END"))[0], Some(1));
    assert_eq!(ints(&format!("TIMESTAMPDIFF(SECOND, rowtime, {there})"))[0], Some(0));
    // A day of 23 hours.
    let (before, after) = ("TIMESTAMP '2026-03-08 00:00:00'", "TIMESTAMP '2026-03-09 00:00:00'");
    let zoned = |of: &str| format!("{of} AT TIME ZONE 'America/New_York'");
    assert_eq!(ints(&format!("TIMESTAMPDIFF(HOUR, {}, {})", zoned(before), zoned(after)))[0], Some(23));
    assert_eq!(ints(&format!("TIMESTAMPDIFF(DAY, {}, {})", zoned(before), zoned(after)))[0], Some(1));
    assert_eq!(
        ints(&format!("TIMESTAMPDIFF(HOUR, {0}, TIMESTAMPADD(DAY, 1, {0}))", zoned(before)))[0],
        Some(23)
    );
    // What a clock showed tells another instant in every zone.
    assert_eq!(
        ints("UNIX_TIMESTAMP(TIMESTAMP '1970-01-01 00:00:00' AT TIME ZONE 'America/New_York')")[0],
        Some(18_000)
    );
    assert_eq!(
        ints("UNIX_TIMESTAMP(TO_TIMESTAMP('1970-01-01', 'yyyy-MM-dd') AT TIME ZONE 'America/New_York')")[0],
        Some(18_000)
    );
    assert_eq!(ints("UNIX_TIMESTAMP('1970-01-01T00:00:00+01:00' AT TIME ZONE 'Asia/Tokyo')")[0], Some(-3600));
    let notices = planned("SELECT rowtime AT TIME ZONE 'Asia/Tokyo' AS here FROM event_user_action").notices;
    assert!(notices[0].to_string().contains("`here` is the same instant in every zone"), "{notices:?}");
    let since = "rowtime >= TIMESTAMP '1969-12-31 19:00:00' AT TIME ZONE 'America/New_York'";
    assert_eq!(ints(&format!("IF({since}, 1, 0)")), [Some(1), Some(1), Some(0)]);
    let found = refused("SELECT rowtime AT TIME ZONE 'America/NewYork' AS x FROM event_user_action");
    assert!(found[0].contains("did you mean 'America/New_York'?"), "{found:?}");
}

#[test]
fn patterns_of_times() {
    assert_eq!(text("DATE_FORMAT(rowtime, 'yyyy-MM-dd')"), "1970-01-01");
    assert_eq!(text("DATE_FORMAT(rowtime, '%d.%m.%y')"), "01.01.70");
    assert_eq!(text("DATE_FORMAT(rowtime, 'yyyy-MM-dd''T''HH:mm:ss.SSS')"), "1970-01-01T00:00:00.000");
    assert_eq!(text("DATE_FORMAT(rowtime, 'EEE d MMM h a')"), "Thu 1 Jan 12 AM");
    assert_eq!(text("FROM_UNIXTIME(86399)"), "1970-01-01 23:59:59");
    assert_eq!(text("FROM_UNIXTIME(86399, 'yyyyMMdd')"), "19700101");
    assert_eq!(
        times("TO_TIMESTAMP('01/02/1970 03:04:05.678', 'dd/MM/yyyy HH:mm:ss.SSS')")[0],
        "1970-02-01 03:04:05.678"
    );
    assert_eq!(times("TO_TIMESTAMP_LTZ(1500, 3)")[0], "1970-01-01 00:00:01.500");
    assert_eq!(times("TO_TIMESTAMP_LTZ(15, 0)")[0], "1970-01-01 00:00:15.000");
    assert_eq!(times("CAST(CURRENT_DATE AS TIMESTAMP)")[2], "1969-12-31 00:00:00.000");
}

#[test]
fn texts_and_numbers() {
    assert_eq!(ints("MOD(limit, 3)"), [Some(2), Some(0), Some(1)]);
    assert_eq!(ints("MOD(-7, 3)")[0], Some(-1));
    assert_eq!(ints("SIGN(event_id)"), [Some(1), None, Some(-1)]);
    assert_eq!(doubles("SIGN(fare)"), [Some(1.0), Some(0.0), None]);
    assert_eq!(ints("IF(limit > 0, 1, 0)"), [Some(1), Some(0), Some(1)]);
    assert_eq!(ints("IF(event_id > 0, 1, 0)"), [Some(1), Some(0), Some(0)]);
    assert_eq!(texts("SPLIT_INDEX('a,b,,c', ',', 3)")[0].as_deref(), Some("c"));
    assert_eq!(texts("SPLIT_INDEX('a,b,,c', ',', 2)")[0].as_deref(), Some(""));
    assert_eq!(texts("SPLIT_INDEX('a,b,,c', ',', 4)")[0], None);
    assert_eq!(texts("REGEXP_EXTRACT(action, '(\\w+) (\\w+)', 2)")[2].as_deref(), Some("me"));
    assert_eq!(texts("REGEXP_EXTRACT(action, '(\\w+) (\\w+)', 0)")[2].as_deref(), Some("Cancel me"));
    assert_eq!(texts("REGEXP_EXTRACT(action, '(x)')"), [None, None, None]);
    assert_eq!(text("SHA256('a')"), "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb");
    assert_eq!(text("SHA2('a', 256)"), text("SHA256('a')"));
    assert_eq!(text("REGEXP_REPLACE('a1b22', '[0-9]+', '#')"), "a#b#");
    assert_eq!(text("REGEXP_REPLACE('a1b22', '([0-9]+)', '<$1>')"), "a<1>b<22>");
    assert_eq!(text("TO_BASE64('a')"), "YQ==");
    assert_eq!(text("FROM_BASE64('YQ==')"), "a");
    assert_eq!(text("MD5('a')"), "0cc175b9c0f1b6a831c399e269772661");
    assert_eq!(ints("LOCATE('de', action)")[0], Some(3));
    assert_eq!(ints("POSITION('de' IN action)")[0], Some(3));
    assert_eq!(ints("CHAR_LENGTH(action)")[0], Some(4));
    assert_eq!(text("IFNULL(action, 'x')"), "ride");
    assert_eq!(ints("GREATEST(limit, 1)")[1], Some(1));
    assert_eq!(ints("CASE WHEN action RLIKE '^r' THEN 1 ELSE 0 END")[0], Some(1));
}

#[test]
fn like_with_another_escape() {
    let like = |of: &str, pattern: &str| {
        let case = format!(
            "CASE WHEN '{of}' || COALESCE(action, '') LIKE '{pattern}%' ESCAPE '!' THEN 1 ELSE 0 END"
        );
        ints(&case)[1]
    };
    assert_eq!(like("50%", "50!%"), Some(1));
    assert_eq!(like("50x", "50!%"), Some(0));
    assert_eq!(like("a!b", "a!!b"), Some(1));
    assert_eq!(like("a\\b", "a\\b"), Some(1));
    for (wrong, says) in [("'a!b' ESCAPE '!'", "escapes neither"), ("'a' ESCAPE 'xy'", "one character")] {
        let found = refused(&format!("SELECT action LIKE {wrong} AS x FROM event_user_action"));
        assert!(found[0].contains(says), "{found:?}");
    }
}

#[test]
fn values_of_json() {
    let json = r#"'{"a": {"b": 1.50, "c": ["x", true]}, "n": null, "t": "o\"k"}'"#;
    let value = |path: &str| texts(&format!("JSON_VALUE({json}, '{path}')"))[0].clone();
    assert_eq!(value("$.a.b").as_deref(), Some("1.50"));
    assert_eq!(value("$.a.c[1]").as_deref(), Some("true"));
    assert_eq!(value("$.t").as_deref(), Some("o\"k"));
    assert_eq!(value("$.n"), None);
    assert_eq!(value("$.a"), None);
    assert_eq!(doubles(&format!("JSON_VALUE({json}, '$.a.b' RETURNING DOUBLE)"))[0], Some(1.5));
    assert_eq!(
        bigints(&format!("JSON_VALUE({json}, '$.t' RETURNING BIGINT NULL ON EMPTY NULL ON ERROR)"))[0],
        None
    );
    assert_eq!(text(&format!("{json} -> 'a' -> 'c' ->> 0")), "x");
    assert_eq!(text(&format!("{json} ->> 'a'")), r#"{"b": 1.50, "c": ["x", true]}"#);
    assert_eq!(text(&format!("CAST(JSON_QUERY({json}, '$.a.c') AS STRING)")), r#"["x", true]"#);
    assert_eq!(ints(&format!("IF(JSON_EXISTS({json}, '$.n'), 1, 0)"))[0], Some(1));
    assert_eq!(texts("JSON_VALUE(action, '$.a')"), [None, None, None]);
    let found = refused("SELECT JSON_VALUE(action, 'a.b') AS x FROM event_user_action");
    assert!(found[0].contains("`$` is missing"), "{found:?}");
}

#[test]
fn what_is_wrong_on_every_row_is_refused_with_its_place() {
    let mut wrong = Vec::new();
    for (expression, column, says) in [
        ("date_trunc('dayy', rowtime)", 19, "one of YEAR, QUARTER"),
        ("date_part('foo', rowtime)", 18, "is not a part of a time"),
        ("EXTRACT(CENTURY FROM rowtime)", 29, "is not a part of a time"),
        ("regexp_replace(action, '[0-9', '#')", 31, "unclosed character class"),
        ("regexp_like(action, '(?=a)')", 28, "look-around"),
        ("action SIMILAR TO '['", 26, "unclosed character class"),
        ("action RLIKE '['", 21, "unclosed character class"),
        ("encode(action, 'hexx')", 23, "hex, base64"),
        ("digest(action, 'crc')", 23, "md5, sha224"),
        ("DATE_FORMAT(rowtime, 'YYYY')", 29, "write yyyy"),
        ("DATE_FORMAT(rowtime, action)", 29, "constant text"),
        ("TO_CHAR(rowtime, 'YYYY-MM-DD')", 25, "has no `%`"),
        ("to_timestamp(action, '%Q')", 29, "`%Q`"),
        ("TIMESTAMPDIFF(FORTNIGHT, rowtime, rowtime)", 22, "is not a unit of time"),
        ("FLOOR(rowtime TO CENTURY)", 14, "is not a unit"),
        ("REGEXP_EXTRACT(action, 'a', 1)", 31, "0 groups"),
        ("CAST('abc' AS BIGINT)", 13, "'abc' is not a value of type bigint"),
        ("TIMESTAMP '2026-13-01 00:00:00'", 18, "2026-13-01"),
        ("DATE '2026-02-30'", 13, "2026-02-30"),
        ("CASE WHEN limit > 1 THEN 1 / 0 ELSE limit END", 8, "1 / 0 has no value"),
        ("rowtime + INTERVAL '1 fortnight'", 8, "fortnight"),
        ("rowtime > 'yesterday'", 8, "yesterday"),
        (
            "rowtime > '2026-03-01 10:00'",
            8,
            "'2026-03-01 10:00' is not a time; write RFC 3339, such as '2026-01-31T12:00:00Z'",
        ),
        ("rowtime > action", 8, "timestamp and string cannot be compared"),
        ("MOD(seats, 0)", 12, "`%` fails on every row"),
        ("seats / 0", 8, "`/` fails on every row with these constants: division by zero"),
        ("split_part(action, ',', 0)", 8, "`split_part` fails on every row"),
        ("regexp_like(action, 'a', 'y')", 8, "`regexp_like` fails on every row"),
        ("rowtime + INTERVAL '99999999' YEAR", 8, "`+` fails on every row"),
        ("LOG(fare)", 8, "LN(x) or LOG10(x)"),
        ("rowtime + INTERVAL '1' FORTNIGHT", 31, "`FORTNIGHT` is not a unit of an interval"),
        ("EXTRACT(foo FROM rowtime)", 25, "`foo` is not a part of a time"),
        ("JSON_VALUE(action, '$.a' DEFAULT 0 ON EMPTY)", 33, "write COALESCE"),
        ("CASE WHEN action THEN 1 END", 8, "takes a condition"),
        ("UNIX_TIMESTAMP()", 8, "UNIX_TIMESTAMP(rowtime)"),
        ("UPPER(seats)", 8, "`upper` takes string, not int"),
        ("rowtime - TIMESTAMP '2026-01-01'", 8, "EXTRACT(EPOCH FROM a - b)"),
        ("cont(action)", 8, "did you mean `count`?"),
    ] {
        let found = refused(&format!("SELECT {expression} AS x FROM event_user_action"));
        let is_it = found[0].contains(says) && found[0].contains(&format!(":1:{column}:"));
        wrong.extend((!is_it).then(|| format!("{expression}: {found:?}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn lag_is_the_row_before() {
    let over = "OVER (PARTITION BY user_id ORDER BY rowtime)";
    for call in [
        format!("LAG(fare) {over}"),
        format!("LAG(fare, 2) {over}"),
        format!("LAG(fare, 2, 0.0) {over}"),
        format!("fare - LAG(fare) {over}"),
    ] {
        planned(&format!("SELECT user_id, {call} AS x FROM event_user_action"));
    }
    planned(
        "SELECT user_id, LAG(fare) OVER w AS x FROM event_user_action WINDOW w AS (PARTITION BY user_id ORDER BY rowtime)",
    );
    for (call, says) in [
        ("LAG(fare)".to_owned(), "has no window"),
        (format!("LAG(fare, n) {over}"), "whole number of rows"),
        (
            "LAG(fare) OVER (PARTITION BY user_id ORDER BY rowtime ROWS 5 PRECEDING)".to_owned(),
            "leave the frame",
        ),
        (format!("LEAD(fare) {over}"), "what follows a row is not known"),
        (format!("ROW_NUMBER() {over}"), "LAST_N"),
    ] {
        let found = refused(&format!("SELECT user_id, {call} AS x FROM event_user_action"));
        assert!(found.iter().any(|found| found.contains(says)), "{call}: {found:?}");
    }
}

#[test]
fn aggregates_by_flinks_names() {
    let window = "FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)";
    for call in [
        "LAST(fare)",
        "FIRST(fare)",
        "LISTAGG(action)",
        "LISTAGG(action, ';') FILTER (WHERE fare > 1)",
        "TOP(3, action, 'desc')",
        "HISTOGRAM(action)['ride']",
        "CARDINALITY(COLLECT(action))",
    ] {
        planned(&format!("SELECT user_id, {call} AS x {window}"));
    }
}
