//! Functions of other engines that weir does not have, and what to write instead: the names that people bring from
//! Flink, Postgres, BigQuery, Snowflake, T-SQL, Spark and pandas.
//!
//! Knows names and the arguments that a proposal repeats. Must not know what any function computes.

use crate::syntax::arguments;
use sqlparser::ast::{Expr, Function, UnaryOperator, Value, ValueWithSpan};

/// Names in lower case, in order, and what stands for them.
const ELSEWHERE: &[(&str, &str)] = &[
    ("add_months", "write TIMESTAMPADD(MONTH, 1, t)"),
    ("approx_top_count", "write APPROX_MOST_FREQUENT_N(n, x)"),
    ("approx_top_k", "write APPROX_MOST_FREQUENT_N(n, x)"),
    ("array_size", "write CARDINALITY(a)"),
    ("array_unique_agg", "write COLLECT_DISTINCT(n, x)"),
    ("astype", "write CAST(x AS BIGINT)"),
    ("bitand_agg", "write BIT_AND(x)"),
    ("bitor_agg", "write BIT_OR(x)"),
    ("bitxor_agg", "write BIT_XOR(x)"),
    ("booland_agg", "write BOOL_AND(x)"),
    ("boolor_agg", "write BOOL_OR(x)"),
    ("charindex", "write LOCATE('part', text)"),
    ("clip", "write GREATEST(low, LEAST(high, x))"),
    ("collect_list", "write COLLECT(x)"),
    ("collect_set", "write COLLECT_DISTINCT(n, x)"),
    ("convert", "write CAST(x AS BIGINT)"),
    ("count_if", COUNT_IF),
    ("countif", COUNT_IF),
    ("cume_dist", RANKS),
    ("cummax", "write MAX(x) OVER (PARTITION BY k ORDER BY rowtime)"),
    ("cummin", "write MIN(x) OVER (PARTITION BY k ORDER BY rowtime)"),
    ("cumsum", "write SUM(x) OVER (PARTITION BY k ORDER BY rowtime)"),
    ("cut", "write CASE WHEN x < 10 THEN 'low' ELSE 'high' END"),
    ("date", "write CAST(t AS DATE)"),
    ("date_add", "write TIMESTAMPADD(DAY, 7, t)"),
    ("date_diff", TIME_DIFFERENCE),
    ("date_sub", "write TIMESTAMPADD(DAY, -7, t)"),
    ("dateadd", "write TIMESTAMPADD(DAY, 7, t)"),
    ("datediff", TIME_DIFFERENCE),
    ("datename", "write DATE_FORMAT(t, 'EEEE') for the day, or 'MMMM' for the month"),
    ("datetime", "write TO_TIMESTAMP(text)"),
    ("datetime_diff", TIME_DIFFERENCE),
    ("datetime_trunc", "write date_trunc('hour', t)"),
    ("day", "write DAYOFMONTH(t)"),
    ("day_of_week", "write DAYOFWEEK(t), from 1 for Sunday"),
    ("dayname", "write DATE_FORMAT(t, 'EEEE')"),
    ("dense_rank", RANKS),
    ("diff", "write x - LAG(x) OVER (PARTITION BY k ORDER BY rowtime)"),
    ("div0", "write CASE WHEN b <> 0 THEN a / b ELSE 0 END"),
    ("editdistance", "write LEVENSHTEIN(a, b)"),
    ("endswith", "write ENDS_WITH(text, 'part')"),
    ("ewm", "write DECAY_AVG('7d', x)"),
    ("ewma", "write DECAY_AVG('7d', x)"),
    ("explode", "a row stays one row; aggregate before the list is made"),
    ("farm_fingerprint", "write MD5(text)"),
    ("ffill", "write LAST_VALUE(x) OVER (PARTITION BY k ORDER BY rowtime)"),
    ("fillna", "write COALESCE(x, 0)"),
    ("format", "write CONCAT(a, b), or DATE_FORMAT(t, 'yyyy-MM-dd') for a time"),
    ("format_date", "write DATE_FORMAT(t, 'yyyy-MM-dd')"),
    ("format_timestamp", "write DATE_FORMAT(t, 'yyyy-MM-dd HH:mm:ss')"),
    ("get_json_object", "write JSON_VALUE(j, '$.a.b')"),
    ("getdate", "write CURRENT_TIMESTAMP for the row's event time"),
    ("group_concat", "write LISTAGG(x, ',')"),
    ("grouping", "write a job for each grouping"),
    ("iff", "write IF(condition, a, b)"),
    ("iif", "write IF(condition, a, b)"),
    ("is_null", "write x IS NULL"),
    ("isna", "write x IS NULL"),
    ("isnull", "write x IS NULL"),
    ("json_arrayagg", "write COLLECT(x) for a list"),
    ("json_extract", "write JSON_QUERY(j, '$.a') for a part, or JSON_VALUE(j, '$.a') for a value"),
    ("json_extract_path_text", "write JSON_VALUE(j, '$.a.b')"),
    ("json_extract_scalar", "write JSON_VALUE(j, '$.a.b')"),
    ("json_extract_string", "write JSON_VALUE(j, '$.a.b')"),
    ("json_objectagg", "write MAP_AGG_BY(category, 'sum', x) for a map"),
    ("kurt", "write KURTOSIS(x)"),
    ("last_day", "write TIMESTAMPADD(DAY, -1, CEIL(t TO MONTH))"),
    ("lead", "what follows a row is not known yet; write LAG(x) for the value of the row before"),
    ("len", "write LENGTH(text), or CARDINALITY(a) for a list"),
    ("monthname", "write DATE_FORMAT(t, 'MMMM')"),
    ("months_between", "write TIMESTAMPDIFF(MONTH, a, b)"),
    ("nth_value", "write FIRST_N(n, x) or LAST_N(n, x)"),
    ("ntile", RANKS),
    ("nunique", "write COUNT(DISTINCT x), or APPROX_COUNT_DISTINCT(x)"),
    ("object_agg", "write MAP_AGG_BY(category, 'sum', x) for a map"),
    ("parse_date", "write TO_DATE(text, 'yyyy-MM-dd')"),
    ("parse_json", "declare the column json, or write JSON_VALUE(text, '$.a')"),
    ("parse_timestamp", "write TO_TIMESTAMP(text, 'yyyy-MM-dd HH:mm:ss')"),
    ("patindex", "write regexp_instr(text, pattern)"),
    ("pct_change", "write x / LAG(x) OVER (PARTITION BY k ORDER BY rowtime) - 1"),
    ("percent_rank", RANKS),
    ("prod", "write EXP(SUM(LN(x)))"),
    ("product", "write EXP(SUM(LN(x)))"),
    ("qcut", RANKS),
    ("rank", RANKS),
    ("ratio_to_report", "write a job for the total and divide where the values are used"),
    ("regexp_contains", "write REGEXP(text, pattern)"),
    ("regexp_extract_all", "write REGEXP_EXTRACT(text, pattern) for the first"),
    ("regexp_substr", "write REGEXP_EXTRACT(text, pattern, 0)"),
    ("replicate", "write REPEAT(text, n)"),
    ("resample", "write GROUP BY TUMBLE(rowtime, INTERVAL '1' HOUR)"),
    ("rlike", "write text RLIKE pattern"),
    ("rolling", "write SUM(x) OVER (PARTITION BY k ORDER BY rowtime RANGE INTERVAL '7' DAY PRECEDING)"),
    (
        "row_number",
        "write LAST_N(5, x) for the last five values, MAX_N(5, x) for the five greatest, or COUNT(*) OVER (.. ROWS \
         UNBOUNDED PRECEDING) for the number of the row",
    ),
    ("safe_cast", "write TRY_CAST(x AS BIGINT)"),
    ("safe_divide", "write a / NULLIF(b, 0)"),
    ("sha1", "write SHA256(text) or MD5(text)"),
    ("shift", "write LAG(x) OVER (PARTITION BY k ORDER BY rowtime)"),
    ("size", "write CARDINALITY(a) for a list, or COUNT(*) for rows"),
    ("skew", "write SKEWNESS(x)"),
    ("split", "write string_to_array(text, ','), or SPLIT_INDEX(text, ',', 0) for one part"),
    ("startswith", "write STARTS_WITH(text, 'part')"),
    ("std", "write STDDEV(x)"),
    ("stdev", "write STDDEV(x)"),
    ("stdevp", "write STDDEV_POP(x)"),
    ("str", "write CAST(x AS STRING)"),
    ("str_to_date", "write TO_TIMESTAMP(text, 'yyyy-MM-dd HH:mm:ss')"),
    ("strftime", "write DATE_FORMAT(t, '%Y-%m-%d')"),
    ("string_split", "write string_to_array(text, ',')"),
    ("strptime", "write TO_TIMESTAMP(text, '%Y-%m-%d')"),
    ("sum_if", SUM_IF),
    ("sumif", SUM_IF),
    ("time_bucket", "write GROUP BY TUMBLE(rowtime, INTERVAL '5' MINUTE)"),
    ("time_slice", "write GROUP BY TUMBLE(rowtime, INTERVAL '5' MINUTE)"),
    ("timediff", TIME_DIFFERENCE),
    ("timestamp_add", "write TIMESTAMPADD(DAY, 7, t)"),
    ("timestamp_diff", TIME_DIFFERENCE),
    ("timestamp_millis", "write TO_TIMESTAMP_LTZ(n, 3)"),
    ("timestamp_seconds", "write TO_TIMESTAMP_LTZ(n, 0)"),
    ("timestamp_sub", "write TIMESTAMPADD(DAY, -7, t)"),
    ("timestamp_trunc", "write date_trunc('hour', t)"),
    ("to_boolean", "write CAST(x AS BOOLEAN)"),
    ("to_decimal", "write CAST(x AS DECIMAL(10, 2))"),
    ("to_double", "write CAST(x AS DOUBLE)"),
    ("to_json", "declare the column json"),
    ("to_number", "write CAST(x AS DOUBLE), or CAST(x AS DECIMAL(10, 2))"),
    ("to_numeric", "write CAST(x AS DOUBLE)"),
    ("to_varchar", "write CAST(x AS STRING)"),
    ("try_to_number", "write TRY_CAST(x AS DOUBLE)"),
    ("uniq", "write APPROX_COUNT_DISTINCT(x), or COUNT(DISTINCT x)"),
    ("unique", "write COLLECT_DISTINCT(n, x)"),
    ("unnest", "it stands in FROM; write FROM orders CROSS JOIN UNNEST(items) AS t(item)"),
    ("value_counts", "write HISTOGRAM(x)"),
    ("varp", "write VAR_POP(x)"),
    ("zeroifnull", "write COALESCE(x, 0)"),
];

const RANKS: &str = "write MAX_N(n, x) or MIN_N(n, x) for the values themselves";
const COUNT_IF: &str = "write COUNT(*) FILTER (WHERE condition)";
const SUM_IF: &str = "write SUM(x) FILTER (WHERE condition)";
const TIME_DIFFERENCE: &str = "write TIMESTAMPDIFF(DAY, a, b) for the days from a to b";

/// Aggregates that are APPROX_PERCENTILE here.
const PERCENTILES: [&str; 9] = [
    "approx_percentile_cont",
    "approx_quantile",
    "approx_quantiles",
    "median",
    "percentile",
    "percentile_approx",
    "percentile_cont",
    "percentile_disc",
    "quantile",
];

/// What to write instead of a call of another engine's function, by its name in lower case.
pub(crate) fn elsewhere(name: &str, function: &Function) -> Option<String> {
    let given = arguments(function).unwrap_or_default();
    if PERCENTILES.contains(&name) {
        return Some(percentile(name, function, &given));
    }
    if let ("isnull", [value, otherwise]) = (name, given.as_slice()) {
        return Some(format!("write COALESCE({value}, {otherwise})"));
    }
    let at = ELSEWHERE.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    Some(ELSEWHERE[at].1.to_owned())
}

/// The same part of the same values: the constant among the arguments, and what is not one.
fn percentile(name: &str, function: &Function, given: &[&Expr]) -> String {
    let part = match name {
        "median" => 0.5,
        _ => given.iter().find_map(|argument| part(name, number(argument)?)).unwrap_or(0.95),
    };
    let ordered = function.within_group.first().map(|order| order.expr.to_string());
    let of = given.iter().find(|argument| number(argument).is_none()).map(ToString::to_string).or(ordered);
    format!("write APPROX_PERCENTILE({part}, {})", of.as_deref().unwrap_or("x"))
}

/// The part from 0 to 1 that a constant means, if it means one: percentiles are also told as percent.
fn part(name: &str, constant: f64) -> Option<f64> {
    match constant {
        0.0..=1.0 => Some(constant),
        // Digits beyond those that anyone writes come of the division.
        1.0..=100.0 if name.contains("percentile") => Some((constant * 1e7).round() / 1e9),
        _ => None,
    }
}

/// The number that an expression is.
fn number(expression: &Expr) -> Option<f64> {
    match expression {
        Expr::Nested(inner) => number(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } => number(inner).map(|number| -number),
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => digits.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expressions::Functions;
    use crate::tests::CATALOG;

    #[test]
    fn names_are_in_order_and_none_is_a_function_of_weir() {
        assert!(ELSEWHERE.is_sorted_by(|(one, _), (next, _)| one < next));
        let functions = Functions::new(&CATALOG, "job");
        let own = functions.names();
        let is_ours = |name: &&str| {
            own.iter().any(|known| known == name)
                || weir_timeline::builtin_names().iter().any(|known| known.eq_ignore_ascii_case(name))
        };
        let names = ELSEWHERE.iter().map(|(name, _)| *name).chain(PERCENTILES);
        assert_eq!(names.filter(is_ours).collect::<Vec<_>>(), Vec::<&str>::new());
    }
}
