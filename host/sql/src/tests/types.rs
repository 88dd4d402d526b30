//! Decimals, dates and JSON: what expressions over them are and what they compute.

use super::{CATALOG, job, lines, planned, refused};
use crate::plan;
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type};
use arrow_array::{
    Array, ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray, StringViewArray,
    TimestampMillisecondArray,
};
use arrow_schema::{DataType as ArrowType, Field, Schema};
use proptest::prelude::*;
use std::sync::Arc;
use weir_event::{DataType, Date};
use weir_plan::definition::FeatureDefinition;
use weir_plan::{ExpressionError, JobPlan};

/// A row: the last digits of `price` (two after the point) and `size` (six), and `qty`.
type Row = (Option<i128>, Option<i128>, i64);

fn batch(plan: &JobPlan, rows: &[Row]) -> RecordBatch {
    let input = &plan.inputs[0];
    let columns = input.columns.iter().map(|column| {
        let field = &input.stream.schema.fields[*column];
        let arrow = field.data_type.to_arrow();
        let decimals = |of: fn(&Row) -> Option<i128>| {
            Arc::new(rows.iter().map(of).collect::<Decimal128Array>().with_data_type(arrow.clone()))
        };
        let values: ArrayRef = match field.name.as_str() {
            "price" => decimals(|row| row.0),
            "size" => decimals(|row| row.1),
            "qty" => Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()),
            "day" => Arc::new(Date32Array::from(vec![20_484; rows.len()])),
            "info" => Arc::new(StringArray::from(vec![r#"{"a":1}"#; rows.len()])),
            "account" => Arc::new(StringViewArray::from(vec!["a"; rows.len()])),
            _ => Arc::new(TimestampMillisecondArray::from(vec![1_767_225_600_000; rows.len()])),
        };
        (Field::new(&field.name, arrow, true), values)
    });
    let (fields, values): (Vec<_>, Vec<_>) = columns.unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), values).unwrap()
}

fn evaluate(expression: &str, rows: &[Row]) -> Result<ArrayRef, ExpressionError> {
    let plan = planned(&format!("SELECT {expression} AS x FROM trades")).plan;
    plan.inputs[0].projection.columns[0].evaluate(&batch(&plan, rows))
}

/// The type and the first value of an expression.
fn shown(expression: &str) -> (String, String) {
    let values = evaluate(expression, &[(Some(1250), Some(1_500_000), 3)])
        .unwrap_or_else(|error| panic!("{expression}: {error}"));
    let data_type = DataType::from_arrow(values.data_type()).unwrap().to_string();
    let value = match values.data_type() {
        ArrowType::Decimal128(..) => values.as_primitive::<Decimal128Type>().value_as_string(0),
        ArrowType::Date32 => Date::from_days(values.as_primitive::<Date32Type>().value(0)).to_string(),
        ArrowType::Utf8 => values.as_string::<i32>().value(0).to_owned(),
        ArrowType::Utf8View => values.as_string_view().value(0).to_owned(),
        ArrowType::Boolean => values.as_boolean().value(0).to_string(),
        ArrowType::Float64 => values.as_primitive::<arrow_array::types::Float64Type>().value(0).to_string(),
        ArrowType::Timestamp(..) => {
            let millis = values.as_primitive::<arrow_array::types::TimestampMillisecondType>().value(0);
            weir_event::EventTime::from_millis(millis).to_string()
        }
        other => panic!("{expression} is a {other}"),
    };
    (data_type, value)
}

#[test]
fn decimals_stay_exact() {
    for (expression, data_type, value) in [
        ("price", "decimal(10, 2)", "12.50"),
        ("price + size", "decimal(21, 6)", "14.000000"),
        ("price - 0.1", "decimal(11, 2)", "12.40"),
        ("price * 2", "decimal(12, 2)", "25.00"),
        ("price * 1.1", "decimal(13, 3)", "13.750"),
        ("-price", "decimal(10, 2)", "-12.50"),
        ("price / 3", "decimal(14, 6)", "4.166667"),
        ("price / -3", "decimal(14, 6)", "-4.166667"),
        ("price / size", "decimal(20, 6)", "8.333333"),
        ("price / qty", "decimal(14, 6)", "4.166667"),
        ("ABS(-price)", "decimal(10, 2)", "12.50"),
        ("COALESCE(price, 0.0)", "decimal(10, 2)", "12.50"),
        ("CASE WHEN qty > 5 THEN price ELSE 0.5 END", "decimal(10, 2)", "0.50"),
        ("CAST('0.1' AS DECIMAL(5, 3))", "decimal(5, 3)", "0.100"),
        ("CAST(price AS DECIMAL(10, 1))", "decimal(10, 1)", "12.5"),
        ("CAST(size * 0.7 AS DECIMAL(4, 1))", "decimal(4, 1)", "1.1"),
        ("CAST(qty AS DECIMAL)", "decimal(10, 0)", "3"),
        ("CAST(price AS STRING)", "string", "12.50"),
        ("CAST(price AS DOUBLE)", "double", "12.5"),
        ("price = 12.5", "boolean", "true"),
        ("price IN (0.1, 12.50)", "boolean", "true"),
        ("price BETWEEN 12.49 AND 12.51", "boolean", "true"),
        ("price > size", "boolean", "true"),
    ] {
        assert_eq!(shown(expression), (data_type.to_owned(), value.to_owned()), "{expression}");
    }
}

#[test]
fn a_double_beside_a_double_stays_one() {
    for expression in ["qty * 0.5", "CAST(price AS DOUBLE) + 0.1", "SQRT(price)"] {
        assert_eq!(shown(expression).0, "double", "{expression}");
    }
}

#[test]
fn decimals_that_do_not_fit_fail_their_row() {
    let widest = 10_i128.pow(10) - 1;
    for expression in [
        "CAST(price AS DECIMAL(4, 2))",
        "price / (size - size)",
        "price * CAST('1000000000000000000000000000000' AS DECIMAL(38, 0))",
        "CAST(price * 10 AS DECIMAL(38, 28)) + CAST('9999999999' AS DECIMAL(38, 28))",
        "CAST(account AS DECIMAL(4, 2))",
    ] {
        match evaluate(expression, &[(Some(widest), Some(1), 1)]) {
            Err(ExpressionError::Rows(message)) => assert!(!message.is_empty()),
            other => panic!("{expression}: {other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn decimal_arithmetic_is_that_of_whole_numbers(
        price in -9_999_999_999_i128..=9_999_999_999, size in -10_i128.pow(20) + 1..10_i128.pow(20), qty: i64
    ) {
        let row = [(Some(price), Some(size), qty)];
        let value = |expression: &str| {
            evaluate(expression, &row).unwrap().as_primitive::<Decimal128Type>().value(0)
        };
        prop_assert_eq!(value("price + size"), price * 10_000 + size);
        prop_assert_eq!(value("size - price"), size - price * 10_000);
        prop_assert_eq!(value("price * size"), price * size);
        prop_assert_eq!(value("price * qty"), price * i128::from(qty));
        prop_assert_eq!(value("price * 0.01"), price);
        if size != 0 {
            // Six digits after the point: the dividend has two, the divisor six.
            let (exact, divisor) = (price * 10_i128.pow(10), size);
            let (whole, rest) = (exact / divisor, exact % divisor);
            let away = i128::from(2 * rest.abs() >= divisor.abs()) * exact.signum() * divisor.signum();
            prop_assert_eq!(value("price / size"), whole + away);
        }
        let is_more = evaluate("price > size", &row).unwrap();
        prop_assert_eq!(is_more.as_boolean().value(0), price * 10_000 > size);
    }
}

#[test]
fn dates_are_dates_and_times_are_times() {
    for (expression, data_type, value) in [
        ("day", "date", "2026-01-31"),
        ("CAST(at AS DATE)", "date", "2026-01-01"),
        ("CAST('2024-02-29' AS DATE)", "date", "2024-02-29"),
        ("day + INTERVAL '1' DAY", "date", "2026-02-01"),
        ("CAST(day AS TIMESTAMP)", "timestamp", "2026-01-31T00:00:00.000Z"),
        ("DATE_TRUNC('day', at)", "timestamp", "2026-01-01T00:00:00.000Z"),
        ("CAST(day AS STRING)", "string", "2026-01-31"),
        ("day > DATE '2026-01-30'", "boolean", "true"),
        ("GREATEST(day, DATE '2027-01-01')", "date", "2027-01-01"),
    ] {
        assert_eq!(shown(expression), (data_type.to_owned(), value.to_owned()), "{expression}");
    }
}

#[test]
fn spans_and_times_of_day_are_refused_with_what_to_write() {
    for (expression, message) in [
        (
            "at - CAST(day AS TIMESTAMP)",
            "a difference of times cannot be a column; write EXTRACT(EPOCH FROM a - b)",
        ),
        ("CAST(at AS TIME)", "a time of day cannot be a column; write CAST(.. AS STRING)"),
        ("CAST(price AS DECIMAL(50, 2))", "a decimal(50, 2) cannot be a column; write a CAST to DECIMAL(38"),
    ] {
        let found = refused(&format!("SELECT {expression} AS x FROM trades"));
        assert!(found.len() == 1 && found[0].contains(message), "{expression}: {found:?}");
    }
}

#[test]
fn a_plugin_that_takes_no_decimal_is_given_none() {
    let found = refused("SELECT twice(price) AS x FROM trades");
    assert!(
        found.len() == 1 && found[0].contains("`twice`") && found[0].contains("decimal(10, 2)"),
        "{found:?}"
    );
    let found = refused("SELECT twice(day) AS x FROM trades");
    assert!(found.len() == 1 && found[0].contains("`twice`") && found[0].contains("date"), "{found:?}");
}

#[test]
fn json_is_handed_on_and_else_becomes_text() {
    for (expression, data_type) in [
        ("info", "json"),
        ("COALESCE(info, '{}')", "json"),
        ("CASE WHEN qty > 5 THEN info END", "json"),
        ("CASE WHEN qty > 5 THEN info ELSE NULL END", "json"),
        ("info -> 'a'", "json"),
        ("JSON_QUERY(account, '$.a')", "json"),
        ("info ->> 'a'", "string"),
        ("NULLIF(info, '{\"a\":1}')", "json"),
        ("infos", "array<json>"),
        ("infos[1]", "json"),
        ("UPPER(info)", "string"),
        ("CAST(info AS STRING)", "string"),
        ("COALESCE(info, account)", "string"),
        ("CASE WHEN qty > 5 THEN 'many' ELSE 'few' END", "string"),
        ("CONCAT(info, '')", "string"),
        ("string_to_array(info, ',')", "array<string>"),
        ("string_to_array(account, ',')", "array<string>"),
    ] {
        let plan = planned(&format!("SELECT {expression} AS x FROM trades")).plan;
        let found = DataType::from_arrow(plan.output.schema.field(0).data_type()).unwrap();
        assert_eq!(found.to_string(), data_type, "{expression}");
    }
}

#[test]
fn aggregates_keep_the_type_of_what_they_choose() {
    for (aggregate, data_type) in [
        ("SUM(price)", "decimal(38, 2)"),
        ("SUM(price * 2)", "decimal(38, 2)"),
        ("AVG(price)", "double"),
        ("STDDEV_POP(price)", "double"),
        ("MIN(price)", "decimal(10, 2)"),
        ("MODE(price)", "decimal(10, 2)"),
        ("TOP(2, price)", "array<decimal(10, 2)>"),
        ("HISTOGRAM(price)", "map<decimal(10, 2), bigint>"),
        ("MAP_AGG_BY(account, 'sum', price)", "map<string, decimal(38, 2)>"),
        ("COUNT(DISTINCT price)", "bigint"),
        ("SUM(price) / COUNT(*)", "decimal(38, 6)"),
        ("MAX(day)", "date"),
        ("COLLECT(day)", "array<date>"),
        ("ARG_MAX(day, price)", "date"),
        ("LAST_VALUE(info)", "json"),
        ("LAST_N(2, info)", "array<json>"),
        ("LAST_N(2, ROW(price, day, info))", "array<row<price decimal(10, 2), day date, info json>>"),
    ] {
        let text = format!(
            "SELECT account, {aggregate} AS x FROM trades GROUP BY account, TUMBLE(at, INTERVAL '1' HOUR)"
        );
        let feature = &planned(&text).plan.features[0];
        assert_eq!(feature.data_type.to_string(), data_type, "{aggregate}");
    }
}

#[test]
fn a_declared_decimal_narrows_digits_before_the_point_only() {
    let declared = |data_type: &str| {
        let mut job = job(
            "SELECT account, SUM(price) AS x FROM trades GROUP BY account, TUMBLE(at, INTERVAL '1' HOUR)",
        );
        job.features = vec![FeatureDefinition {
            name: "x".to_owned(),
            data_type: Some(data_type.parse().unwrap()),
            default: Some("0.00".into()),
            ..FeatureDefinition::default()
        }];
        plan(&job, &CATALOG).map(|planned| planned.plan).map_err(|found| lines(&found))
    };
    for data_type in ["decimal(12, 2)", "decimal(38, 4)", "decimal(38, 2)"] {
        let plan = declared(data_type).unwrap();
        assert_eq!(plan.features[0].data_type.to_string(), data_type);
        assert_eq!(plan.output.schema.field(1).data_type(), &plan.features[0].data_type.to_arrow());
    }
    let message = declared("decimal(38, 1)").unwrap_err();
    assert!(
        message.contains("declare 2 digits after the point, or write ROUND(.., 1) or a CAST"),
        "{message}"
    );
    assert!(declared("date").unwrap_err().contains("the query makes a decimal(38, 2) of it"));
}
