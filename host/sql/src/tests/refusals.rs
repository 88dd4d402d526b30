//! Queries that cannot run: each with the place and the beginning of what is said, and what to write instead.

use super::{job, refused};
use crate::plan;
use crate::tests::CATALOG;

/// (query, `line:column: message` up to where it is long enough to be known).
const REFUSED: &[(&str, &str)] = &[
    // Windows.
    (
        "SELECT SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND INTERVAL '1' DAY FOLLOWING) AS s FROM event_user_action",
        "1:8: a frame with FOLLOWING is available as RANGE BETWEEN CURRENT ROW AND INTERVAL '7' DAY FOLLOWING alone",
    ),
    (
        "SELECT SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS s FROM event_user_action",
        "1:8: a frame with FOLLOWING is available as RANGE",
    ),
    (
        "SELECT SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING) AS s FROM event_user_action",
        "1:8: a frame with FOLLOWING is available as RANGE",
    ),
    (
        "SELECT SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW EXCLUDE GROUP) AS s FROM event_user_action",
        "1:119: EXCLUDE GROUP is not available; end the frame before",
    ),
    (
        "SELECT SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime ROWS 5 PRECEDING EXCLUDE OTHERS) AS s FROM event_user_action",
        "1:79: EXCLUDE takes CURRENT ROW, TIES or NO OTHERS",
    ),
    (
        "SELECT SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime GROUPS 5 PRECEDING) AS s FROM event_user_action",
        "1:8: GROUPS frames are not available; write RANGE",
    ),
    (
        "SELECT SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime ROWS INTERVAL '5' DAY PRECEDING) AS s FROM event_user_action",
        "1:76: ROWS counts rows, INTERVAL '5' DAY is a length of time; write RANGE INTERVAL '5' DAY PRECEDING",
    ),
    (
        "SELECT SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime ROWS -5 PRECEDING) AS s FROM event_user_action",
        "1:68: ROWS counts rows, `-5` is not a whole number; write ROWS 5 PRECEDING",
    ),
    (
        "SELECT SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime ROWS 1.5 PRECEDING) AS s FROM event_user_action",
        "1:67: ROWS counts rows, `1.5` is not a whole number",
    ),
    (
        "SELECT SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime RANGE 5 PRECEDING) AS s FROM event_user_action",
        "1:68: `5` is not a length of time; write it as INTERVAL",
    ),
    (
        "SELECT SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime RANGE INTERVAL '-5' DAY PRECEDING) AS s FROM event_user_action",
        "1:8: a frame's bound of -5d is after the row; write a positive interval",
    ),
    (
        "SELECT SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime ROWS BETWEEN 1 PRECEDING AND 5 PRECEDING) AS s FROM event_user_action",
        "1:8: the frame ends before it begins; write the bound that is farther back first",
    ),
    (
        "SELECT SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime RANGE BETWEEN CURRENT ROW AND INTERVAL '1' DAY PRECEDING) AS s FROM event_user_action",
        "1:8: the frame ends before it begins",
    ),
    (
        "SELECT SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED PRECEDING) AS s FROM event_user_action",
        "1:8: a frame that ends at UNBOUNDED PRECEDING holds no row",
    ),
    ("SELECT user_id, COUNT(*) FROM event_user_action", "1:17: COUNT has no window: over a whole stream"),
    ("SELECT user_id, COUNT(*) FROM event_user_action GROUP BY user_id", "1:58: GROUP BY has no window"),
    (
        "SELECT COUNT(*) FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '0' HOUR)",
        "1:49: TUMBLE has a length of 0ms; a window's lengths are positive",
    ),
    (
        "SELECT COUNT(*) FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '-1' HOUR)",
        "1:49: TUMBLE has a length of -1h",
    ),
    (
        "SELECT COUNT(*) FROM event_user_action GROUP BY HOP(rowtime, INTERVAL '1' SECOND, INTERVAL '30' DAY)",
        "1:49: a window of 30d with a slide of 1s is made of 2592000 panes of 1s, the limit is 100000",
    ),
    (
        "SELECT COUNT(*) FROM event_user_action GROUP BY TUMBLE(rowtime, '1 hour')",
        "1:65: `'1 hour'` is not a length of time; write it as INTERVAL",
    ),
    (
        "SELECT COUNT(*) FROM event_user_action GROUP BY TUMBLE(fare, INTERVAL '1' HOUR)",
        "1:56: TUMBLE must be over the event time `event_time`",
    ),
    (
        "SELECT COUNT(*) FROM event_user_action GROUP BY HOP(rowtime, INTERVAL '1' HOUR)",
        "1:49: HOP has 2 arguments; write HOP(event_time, INTERVAL '1' HOUR, INTERVAL '1' DAY)",
    ),
    (
        "SELECT COUNT(*), TUMBLE_END(rowtime, INTERVAL '2' HOUR) FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:18: TUMBLE_END is of another window (TUMBLE of 2h) than GROUP BY (TUMBLE of 1h)",
    ),
    (
        "SELECT COUNT(*), HOP_END(rowtime, INTERVAL '1' HOUR, INTERVAL '2' HOUR) FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:18: HOP_END is of another window",
    ),
    (
        "SELECT COUNT(*), TUMBLE_PROCTIME(rowtime, INTERVAL '1' HOUR) FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:18: results never depend on the time of day",
    ),
    // OVER.
    (
        "SELECT COUNT(*) OVER (PARTITION BY user_id ORDER BY fare RANGE INTERVAL '1' DAY PRECEDING) AS n FROM event_user_action",
        "1:53: OVER must be ordered by the event time `event_time`",
    ),
    (
        "SELECT COUNT(*) OVER (PARTITION BY user_id ORDER BY rowtime DESC) AS n FROM event_user_action",
        "1:53: OVER runs forward in time, DESC is not available",
    ),
    ("SELECT COUNT(*) OVER (PARTITION BY user_id) AS n FROM event_user_action", "1:8: OVER has no order"),
    (
        "SELECT COUNT(*) OVER w AS n FROM event_user_action",
        "1:22: window `w` not found; define it with WINDOW",
    ),
    (
        "SELECT COUNT(*) OVER (PARTITION BY user_id ORDER BY rowtime) AS a,\n COUNT(*) OVER (PARTITION BY geohash ORDER BY rowtime) AS b FROM event_user_action",
        "2:2: the OVER windows of one query share one PARTITION BY, here are (user_id) and (geohash); write two jobs",
    ),
    (
        "SELECT COUNT(*) OVER (PARTITION BY user_id ORDER BY rowtime) AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:99: GROUP BY and OVER cannot be in one query; write two jobs",
    ),
    (
        "SELECT COUNT(*) OVER (PARTITION BY user_id ORDER BY rowtime) AS a, SUM(fare) AS s FROM event_user_action",
        "1:68: SUM has no window, other columns have OVER",
    ),
    (
        "SELECT UPPER(action) OVER (PARTITION BY user_id ORDER BY rowtime) AS a FROM event_user_action",
        "1:8: `upper` is not an aggregate; leave OVER out",
    ),
    (
        "SELECT COUNT(*) OVER (PARTITION BY tags ORDER BY rowtime) AS a FROM event_user_action",
        "1:36: a column of type array<string> cannot be a key",
    ),
    (
        "SELECT tags, COUNT(*) OVER (PARTITION BY user_id ORDER BY rowtime) AS a FROM event_user_action",
        "1:8: a column of type array<string> cannot be kept for each row of OVER",
    ),
    // Shape.
    (
        "SELECT a.user_id FROM event_user_action a JOIN features f ON a.user_id = f.id",
        "1:43: of joins weir 0.1 has LAST JOIN",
    ),
    ("SELECT user_id FROM event_user_action, features", "1:40: FROM takes one stream; write (SELECT"),
    (
        "SELECT user_id FROM event_user_action WHERE fare > (SELECT MAX(fare) FROM event_user_action)",
        "1:53: a subquery cannot be a value of an expression",
    ),
    (
        "SELECT user_id FROM event_user_action UNION ALL SELECT id FROM features",
        "1:1: UNION ALL stands inside FROM; write SELECT",
    ),
    (
        "SELECT user_id FROM event_user_action ORDER BY user_id",
        "1:39: results of a stream have no end to be sorted by",
    ),
    ("SELECT user_id FROM event_user_action LIMIT 5", "1:39: results of a stream have no end to be limited"),
    ("SELECT * FROM event_user_action", "1:8: SELECT * is not available; name the columns"),
    ("SELECT DISTINCT user_id FROM event_user_action", "1:1: SELECT DISTINCT is not available"),
    (
        "SELECT user_id, fare AS user_id FROM event_user_action",
        "1:17: two result columns are called `user_id`",
    ),
    ("WITH t AS (SELECT 1) SELECT user_id FROM t", "1:1: the query reads no stream"),
    (
        "INSERT INTO t SELECT user_id FROM event_user_action",
        "1:1: leave INSERT INTO .. out and begin with SELECT",
    ),
    ("CREATE TABLE t (a INT)", "1:1: a query creates nothing; declare a stream in streams/"),
    ("DELETE FROM t", "1:1: a job is one SELECT over one stream, it cannot begin with `DELETE`"),
    (
        "SELECT user_id FROM event_user_action; SELECT 1",
        "1:40: a job is one SELECT; write a job for each query",
    ),
    (
        "SELECT user_id FROM event_user_action; INSERT INTO x SELECT 1",
        "1:40: a job is one SELECT; write a job for",
    ),
    ("SELECT user_id event_id fare FROM event_user_action", "1:25: `fare` does not continue the query"),
    (
        "SELECT user_id,, fare FROM event_user_action",
        "1:16: the query cannot be read: expected an expression",
    ),
    ("SELECT 'open FROM event_user_action", "1:8: unterminated string literal"),
    ("", "1:1: the query is empty"),
    ("SELECT 1", "1:1: the query reads no stream"),
    (
        "SELECT user_id FROM event_user_action GROUP BY 1, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:48: GROUP BY takes no positions or constants",
    ),
    // Names.
    (
        "SELECT user_id FROM event_user_actoin",
        "1:21: stream `event_user_actoin` not found; did you mean `event_user_action`?",
    ),
    (
        "SELECT SUM(faer) FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:12: `event_user_action` has no column `faer`; did you mean `fare`?",
    ),
    (
        "SELECT User_Id FROM event_user_action",
        "1:8: `event_user_action` has no column `User_Id`; names are case-sensitive",
    ),
    (
        "SELECT xyzzy FROM features",
        "1:8: `features` has no column `xyzzy`; its columns are feature_name, version",
    ),
    ("SELECT fare.amount AS a FROM event_user_action", "1:8: `fare` is not a row, it has no member `amount`"),
    (
        "SELECT uper(action) AS a FROM event_user_action",
        "1:8: function `uper` not found; did you mean `upper`?",
    ),
    (
        "SELECT twise(event_id) AS a FROM event_user_action",
        "1:8: function `twise` not found; did you mean `twice`?",
    ),
    ("SELECT COUNT(*) AS n FROM event_user_action WHERE n > 1", "1:51: `n` is a result column of this query"),
    ("SELECT now() AS a FROM event_user_action", "1:8: `now` differs from call to call"),
    ("SELECT random() * 2 AS a FROM event_user_action", "1:8: `random` differs from call to call"),
    ("SELECT uuid() AS a FROM event_user_action", "1:8: `uuid` differs from call to call"),
    ("SELECT LOCALTIME AS a FROM event_user_action", "1:8: `localtime` differs from call to call"),
    (
        "SELECT hexx(action) AS a FROM event_user_action",
        "1:8: function `hexx` not found; a plugin can bring one",
    ),
    ("SELECT '5' + 1 AS a FROM event_user_action", "1:8: string and bigint cannot be compared or combined"),
    (
        "SELECT MOD(action, 2) AS a FROM event_user_action",
        "1:12: string and bigint cannot be compared or combined",
    ),
    (
        "SELECT power(action, 2) AS a FROM event_user_action",
        "1:8: `power` takes double, not string; write a CAST",
    ),
    ("SELECT abs('5') AS a FROM event_user_action", "1:8: `abs` takes a number, not string; write a CAST"),
    ("SELECT left(action, '2') AS a FROM event_user_action", "1:8: `left` does not take (string, string)"),
    (
        "SELECT COALESCE(fare, 'none') AS a FROM event_user_action",
        "1:8: `coalesce` gives one of its arguments",
    ),
    (
        "SELECT GREATEST('10', seats) AS a FROM event_user_action",
        "1:8: `greatest` gives one of its arguments",
    ),
    (
        "SELECT CASE action WHEN 1 THEN 2 END AS a FROM event_user_action",
        "1:8: string and bigint cannot be compared",
    ),
    ("SELECT -action AS a FROM event_user_action", "1:9: unary operator '-' only supports"),
    // Aggregates.
    (
        "SELECT SUM(COUNT(*)) FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:12: COUNT is inside SUM, and aggregates cannot be nested",
    ),
    (
        "SELECT TOP(seats, action) FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: the first argument of TOP is a whole-number constant",
    ),
    (
        "SELECT TOP(5) FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: TOP takes how many",
    ),
    (
        "SELECT SUM(action) FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: SUM takes one column of int, bigint, float, double or decimal, not (string)",
    ),
    (
        "SELECT decayed(2, fare) FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: decayed takes a double constant and a double",
    ),
    (
        "SELECT SUM(*) FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: `*` is for COUNT(*) only",
    ),
    ("SELECT user_id FROM event_user_action WHERE COUNT(*) > 1", "1:45: COUNT cannot be used in WHERE"),
    (
        "SELECT user_id, fare, COUNT(*) FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:17: `fare` is neither in GROUP BY nor inside an aggregate",
    ),
    (
        "SELECT COUNT(*) FILTER (WHERE fare) FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:31: FILTER needs a condition, not a value of type double",
    ),
    (
        "SELECT rowtime, COUNT(*) FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: a window does not have one `event_time`; write TUMBLE_END(..)",
    ),
    ("SELECT version() AS v FROM event_user_action", "1:8: `version` differs from call to call"),
    // Windows of other kinds, and in FROM.
    (
        "SELECT COUNT(*) AS c FROM event_user_action GROUP BY SESSION(rowtime, INTERVAL '0' SECOND)",
        "1:54: SESSION has a length of 0ms",
    ),
    (
        "SELECT COUNT(*) AS c FROM event_user_action GROUP BY SESSION(rowtime, INTERVAL '1' HOUR, INTERVAL '1' HOUR)",
        "1:54: SESSION has 3 arguments; write SESSION(event_time, INTERVAL '30' MINUTE)",
    ),
    (
        "SELECT COUNT(*) AS c FROM event_user_action GROUP BY CUMULATE(rowtime, INTERVAL '1' HOUR)",
        "1:54: CUMULATE has 2 arguments; write CUMULATE(event_time",
    ),
    (
        "SELECT COUNT(*) AS c FROM event_user_action GROUP BY CUMULATE(rowtime, INTERVAL '5' HOUR, INTERVAL '1' DAY)",
        "1:54: the longest window of CUMULATE, 1d, is not a multiple of its step, 5h",
    ),
    (
        "SELECT COUNT(*) AS c FROM event_user_action GROUP BY CUMULATE(rowtime, INTERVAL '1' SECOND, INTERVAL '30' DAY)",
        "1:54: a window of 30d with a step of 1s is made of 2592000 steps",
    ),
    (
        "SELECT COUNT(*) AS c, SESSION_END(rowtime, INTERVAL '2' HOUR) AS e FROM event_user_action GROUP BY SESSION(rowtime, INTERVAL '1' HOUR)",
        "1:23: SESSION_END is of another window (SESSION with a gap of 2h) than GROUP BY (SESSION with a gap of 1h)",
    ),
    (
        "SELECT COUNT(*) AS c FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '2' MONTH)",
        "1:79: `INTERVAL '2' MONTH` is not a window of the calendar, which is one day",
    ),
    (
        "SELECT COUNT(*) AS c FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' MONTH, INTERVAL '1' DAY)",
        "1:99: windows of the calendar have no offset; write a time zone instead of `INTERVAL '1' DAY`",
    ),
    (
        "SELECT COUNT(*) AS c FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR, 'UTC')",
        "1:79: `INTERVAL '1' HOUR` is not a window of the calendar; with a time zone write",
    ),
    (
        "SELECT COUNT(*) AS c FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' DAY, 'Europe/Berln')",
        "1:88: time zone 'Europe/Berln' not found; did you mean 'Europe/Berlin'?",
    ),
    (
        "SELECT COUNT(*) AS c FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' DAY, 'the moon is made of cheese')",
        "1:88: time zone 'the moon is made of cheese' not found; write a name of the time zone database",
    ),
    (
        "SELECT COUNT(*) AS c FROM event_user_action GROUP BY HOP(rowtime, INTERVAL '1' DAY, INTERVAL '1' MONTH)",
        "1:94: months and years have no fixed length; write days",
    ),
    (
        "SELECT user_id, COUNT(*) AS c FROM TABLE(TUMBEL(TABLE event_user_action, DESCRIPTOR(rowtime), INTERVAL '1' HOUR)) GROUP BY user_id, window_end",
        "1:42: table function `TUMBEL` not found; write TUMBLE",
    ),
    (
        "SELECT user_id, COUNT(*) AS c FROM TABLE(TUMBLE(TABLE event_user_action, DESCRIPTOR(rowtime))) GROUP BY user_id, window_end",
        "1:42: TUMBLE has no SIZE; write TABLE(TUMBLE(",
    ),
    (
        "SELECT user_id, COUNT(*) AS c FROM TABLE(TUMBLE(event_user_action, DESCRIPTOR(rowtime), INTERVAL '1' HOUR)) GROUP BY user_id, window_end",
        "1:49: TUMBLE reads a stream; write TABLE(TUMBLE(",
    ),
    (
        "SELECT user_id, COUNT(*) AS c FROM TABLE(TUMBLE(TABLE event_user_action, event_time, INTERVAL '1' HOUR)) GROUP BY user_id, window_end",
        "1:74: TUMBLE takes its time as DESCRIPTOR(rowtime)",
    ),
    (
        "SELECT user_id, COUNT(*) AS c FROM TABLE(TUMBLE(TABLE event_user_action, DESCRIPTOR(fare), INTERVAL '1' HOUR)) GROUP BY user_id, window_end",
        "1:85: TUMBLE must be over the event time `event_time`",
    ),
    (
        "SELECT user_id, COUNT(*) AS c FROM TABLE(TUMBLE(TABLE event_user_action, DESCRIPTOR(rowtme), INTERVAL '1' HOUR)) GROUP BY user_id, window_end",
        "1:85: `event_user_action` has no column `rowtme`; did you mean `rowtime`?",
    ),
    (
        "SELECT user_id, COUNT(*) AS c FROM TABLE(TUMBLE(TABLE event_user_action PARTITION BY user_id, DESCRIPTOR(rowtime), INTERVAL '1' HOUR)) GROUP BY user_id, window_end",
        "1:73: TUMBLE takes no PARTITION BY",
    ),
    (
        "SELECT user_id, COUNT(*) AS c FROM TABLE(TUMBLE(TABLE event_user_action, DESCRIPTOR(rowtime), SIZE => INTERVAL '1' HOUR)) GROUP BY user_id, window_end",
        "1:49: TUMBLE has arguments with names and without",
    ),
    (
        "SELECT user_id, COUNT(*) AS c FROM TABLE(TUMBLE(DATA => TABLE event_user_action, TIMECOL => DESCRIPTOR(rowtime), GAP => INTERVAL '1' HOUR)) GROUP BY user_id, window_end",
        "1:114: TUMBLE takes the arguments DATA, TIMECOL, SIZE, OFFSET",
    ),
    (
        "SELECT user_id, COUNT(*) AS c FROM TABLE(TUMBLE(DATA => TABLE event_user_action, DATA => TABLE event_user_action)) GROUP BY user_id, window_end",
        "1:82: TUMBLE has DATA twice",
    ),
    (
        "SELECT user_id, COUNT(*) AS c FROM TABLE(TUMBLE(TABLE event_user_action, DESCRIPTOR(rowtime), INTERVAL '1' HOUR 5)) GROUP BY user_id, window_end",
        "1:113: `5` does not continue the argument",
    ),
    (
        "SELECT user_id, COUNT(*) AS c FROM TABLE(SESSION(TABLE event_user_action PARTITION BY geohash, DESCRIPTOR(rowtime), INTERVAL '1' HOUR)) GROUP BY user_id, window_end",
        "1:42: the sessions are of PARTITION BY (geohash), GROUP BY is by (user_id)",
    ),
    (
        "SELECT user_id, COUNT(*) AS c FROM TABLE(SESSION(TABLE event_user_action, DESCRIPTOR(rowtime), INTERVAL '1' HOUR)) GROUP BY user_id, window_end",
        "1:42: the sessions are of PARTITION BY (), GROUP BY is by (user_id)",
    ),
    (
        "SELECT COUNT(*) AS c FROM TABLE(TUMBLE(TABLE event_user_action, DESCRIPTOR(rowtime), INTERVAL '1' HOUR))",
        "1:33: TUMBLE in FROM gives windows, and GROUP BY does not tell them apart",
    ),
    (
        "SELECT COUNT(*) AS c FROM TABLE(CUMULATE(TABLE event_user_action, DESCRIPTOR(rowtime), INTERVAL '1' HOUR, INTERVAL '1' DAY)) GROUP BY window_start",
        "1:135: CUMULATE in FROM gives windows, and GROUP BY does not tell them apart",
    ),
    (
        "SELECT COUNT(*) AS c FROM TABLE(TUMBLE(TABLE event_user_action, DESCRIPTOR(rowtime), INTERVAL '1' HOUR)) GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR), window_end",
        "1:115: FROM has a window already",
    ),
    (
        "SELECT SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime) AS c FROM TABLE(TUMBLE(TABLE event_user_action, DESCRIPTOR(rowtime), INTERVAL '1' HOUR))",
        "1:8: TUMBLE in FROM and OVER cannot be in one query",
    ),
    (
        "SELECT COUNT(*) AS c FROM TABLE(TUMBLE(TABLE event_user_action, DESCRIPTOR(rowtime), INTERVAL '1' HOUR)) WHERE window_end > rowtime GROUP BY window_end",
        "1:112: window_end cannot be used in WHERE",
    ),
    (
        "SELECT MAX(window_time) AS c FROM TABLE(TUMBLE(TABLE event_user_action, DESCRIPTOR(rowtime), INTERVAL '1' HOUR)) GROUP BY window_end",
        "1:12: window_time is inside MAX",
    ),
    (
        "SELECT SUM(1) AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: SUM: an aggregate of a constant is a constant; write a column",
    ),
    (
        "SELECT MAX('x') AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: MAX: an aggregate of a constant is a constant",
    ),
    (
        "SELECT MIN(INTERVAL '1' DAY) AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: MIN: an aggregate of a constant is a constant",
    ),
    (
        "SELECT SUM(DISTINCT fare) AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: SUM(DISTINCT ..) is not available; DISTINCT works with COUNT",
    ),
    (
        "SELECT APPROX_PERCENTILE(1.5, fare) AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: APPROX_PERCENTILE: write APPROX_PERCENTILE(0.95, x) with up to 100 parts",
    ),
    (
        "SELECT APPROX_PERCENTILE(fare) AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: APPROX_PERCENTILE: write APPROX_PERCENTILE(0.95, x)",
    ),
    (
        "SELECT LAST_N(seats, action) AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: LAST_N: write LAST_N(n, x [, 'asc' | 'desc']) with a whole number n",
    ),
    (
        "SELECT TOP(5, action, seats) AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: the third argument of TOP is 'asc' or 'desc'",
    ),
    (
        "SELECT TOP(0, action) AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: TOP: the number of values is 0; it must be from 1 to 1000000",
    ),
    (
        "SELECT MAP_AGG_BY(action, 'median', fare) AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: MAP_AGG_BY: 'median' is not one of 'count', 'sum'",
    ),
    (
        "SELECT DECAY_SUM('7 parsecs', fare) AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: DECAY_SUM: ",
    ),
    (
        "SELECT DECAY_SUM(INTERVAL '1' MONTH, fare) AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:27: months and years have no fixed length",
    ),
    (
        "SELECT BOOL_AND(fare) AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: BOOL_AND takes one boolean column, not (double)",
    ),
    (
        "SELECT COLLECT(tags) AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: COLLECT takes one column of numbers, booleans, times, dates, text or bytes, or a row of several, not (array<string>)",
    ),
    (
        "SELECT COLLECT(ROW(fare, fare)) AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:26: ROW has two fields that are called `fare`; leave one out",
    ),
    (
        "SELECT COLLECT(ROW(fare, ROW(seats))) AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:26: ",
    ),
    (
        "SELECT ROW(user_id, 1) AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: ROW stands as an argument of an aggregate",
    ),
    (
        "SELECT ARRAY_AGG(action ORDER BY rowtime) AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: ARRAY_AGG takes rows in order of event time; leave ORDER BY out",
    ),
    (
        "SELECT MODE() WITHIN GROUP (ORDER BY fare) AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: MODE .. WITHIN GROUP is not available",
    ),
    (
        "SELECT LAG(fare) AS a FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)",
        "1:8: LAG has no window; write LAG(x) OVER",
    ),
    // Types.
    (
        "SELECT fare + action AS a FROM event_user_action",
        "1:8: double and string cannot be compared or combined",
    ),
    ("SELECT user_id FROM event_user_action WHERE ride_id = 5", "1:45: string and bigint cannot be compared"),
    (
        "SELECT user_id FROM event_user_action WHERE fare",
        "1:45: WHERE needs a condition, not a value of type double",
    ),
    (
        "SELECT sqrt(tags) AS a FROM event_user_action",
        "1:8: `sqrt` does not take (List(string)); write a CAST",
    ),
    ("SELECT twice(action, 1) AS a FROM event_user_action", "1:8: "),
    ("SELECT INTERVAL '1' DAY AS a FROM event_user_action", "1:17: an interval cannot be a column"),
];

#[test]
fn every_refusal_has_its_place_and_says_what_to_write() {
    check(REFUSED);
}

/// Each of the queries is refused, at its place and with these words, which are weir's own.
#[track_caller]
pub(super) fn check(queries: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (text, expected) in queries {
        let found = refused(text);
        let expected = format!("jobs/job.sql:{expected}");
        if !found.iter().any(|line| line.starts_with(&expected)) {
            wrong.push(format!("{text}\n  expected {expected}\n  found    {}", found.join("\n           ")));
        }
        let is_ours = |line: &String| {
            (!line.ends_with('.') || line.ends_with(".."))
                && !line.contains('\0')
                && !line.contains("DataFusion")
        };
        wrong.extend(found.iter().filter(|line| !is_ours(line)).map(|line| format!("not our words: {line}")));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn all_errors_are_said_at_once() {
    let found = refused("SELECT faer, uper(action) AS a FROM event_user_action WHERE now() > done_at");
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn windows_are_not_cut_short_by_retention() {
    let mut short = job("SELECT user_id, COUNT(*) AS n FROM event_user_action
        GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' DAY)");
    short.retention = Some(weir_event::Span::from_millis(3_600_000));
    let found = plan(&short, &CATALOG).unwrap_err();
    let said = found[0].to_string();
    assert!(
        said.starts_with("jobs/job.yaml:1:1: `retention`: 1h is shorter than the longest window, 1d"),
        "{said}"
    );
}

#[test]
fn text_without_bounds_is_refused_at_once() {
    let deep = 100_000;
    let texts = [
        "x".repeat(1 << 20),
        format!("SELECT {}1{} FROM event_user_action", "(".repeat(20_000), ")".repeat(20_000)),
        format!("SELECT {}1 FROM event_user_action", "(".repeat(20_000)),
        format!("SELECT {}1 FROM event_user_action", "-".repeat(2_000)),
        format!("SELECT {}1 AS x FROM event_user_action", "- ".repeat(20_000)),
        format!("SELECT {}TRUE AS x FROM event_user_action", "NOT ".repeat(10_000)),
        format!("SELECT 1{} AS x FROM event_user_action", "+1".repeat(20_000)),
        format!("SELECT user_id FROM event_user_action WHERE fare > 1{}", " OR fare > 1".repeat(4_000)),
        format!("SELECT {} AS x FROM event_user_action", "CASE WHEN ".repeat(5_000)),
        format!("SELECT {} AS x FROM event_user_action", "CAST(".repeat(5_000)),
        format!("SELECT {} AS x FROM event_user_action", "ARRAY[".repeat(5_000)),
        format!("SELECT CAST(fare AS {}INT) AS x FROM event_user_action", "ARRAY<".repeat(5_000)),
        format!("SELECT user_id FROM {}event_user_action", "(".repeat(5_000)),
        format!("SELECT user_id FROM event_user_action, {}t", "(".repeat(30)),
        format!("SELECT {}", "INTERVAL ".repeat(5_000)),
        "(".repeat(deep / 2),
        "SELECT ".repeat(8_000),
        "'".repeat(65_535),
        "/*".repeat(30_000),
        "\0\u{1F980}\u{FEFF}".repeat(100),
    ];
    for text in texts {
        let found = refused(&text);
        assert!(!found.is_empty() && found.iter().all(|line| line.len() < 2_000), "{found:?}");
    }
}

#[test]
fn what_is_just_within_the_bounds_is_planned() {
    let chain = format!("SELECT user_id FROM event_user_action WHERE fare > 1{}", " OR fare < 5".repeat(90));
    super::planned(&chain);
    let nested = format!("SELECT {}fare{} AS x FROM event_user_action", "ABS(".repeat(45), ")".repeat(45));
    super::planned(&nested);
    let list = format!("SELECT user_id FROM event_user_action WHERE event_id IN (1{})", ", 2".repeat(5_000));
    super::planned(&list);
}
