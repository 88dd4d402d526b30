//! What expressions compute, and which rows fail.

use super::{planned, refused};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringViewArray, TimestampMillisecondArray,
};
use arrow_schema::{Field, Schema};
use std::sync::Arc;
use weir_plan::{ExpressionError, JobPlan};

/// Three rows with the columns that the plan decodes.
fn batch(plan: &JobPlan) -> RecordBatch {
    let input = &plan.inputs[0];
    let columns: Vec<(Field, ArrayRef)> = input
        .columns
        .iter()
        .map(|column| {
            let field = &input.stream.schema.fields[*column];
            let values: ArrayRef = match field.name.as_str() {
                "event_id" => Arc::new(Int64Array::from(vec![Some(1), None, Some(-3)])),
                "limit" => Arc::new(Int64Array::from(vec![2, 0, i64::MAX])),
                "seats" => Arc::new(Int32Array::from(vec![1, i32::MAX, 3])),
                "fare" => Arc::new(Float64Array::from(vec![Some(1.5), Some(0.0), None])),
                "event_time" => Arc::new(TimestampMillisecondArray::from(vec![0, 86_400_001, -1])),
                _ => Arc::new(StringViewArray::from(vec![Some("ride"), None, Some("Cancel me")])),
            };
            (Field::new(&field.name, field.data_type.to_arrow(), true), values)
        })
        .collect();
    let (fields, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), values).unwrap()
}

pub(super) fn evaluate(expression: &str) -> Result<ArrayRef, ExpressionError> {
    let plan = planned(&format!("SELECT {expression} AS x FROM event_user_action")).plan;
    let batch = batch(&plan);
    let values = plan.inputs[0].projection.columns[0].evaluate(&batch)?;
    assert_eq!(values.data_type(), plan.inputs[0].projection.columns[0].data_type(), "{expression}");
    assert_eq!(values.len(), 3);
    Ok(values)
}

pub(super) fn texts(expression: &str) -> Vec<Option<String>> {
    evaluate(expression).unwrap().as_string_view().iter().map(|value| value.map(str::to_owned)).collect()
}

pub(super) fn bigints(expression: &str) -> Vec<Option<i64>> {
    evaluate(expression).unwrap().as_primitive::<Int64Type>().iter().collect()
}

pub(super) fn doubles(expression: &str) -> Vec<Option<f64>> {
    evaluate(expression).unwrap().as_primitive::<Float64Type>().iter().collect()
}

#[test]
fn the_library_of_functions() {
    assert_eq!(texts("CONCAT_WS('-', action, limit)")[0].as_deref(), Some("ride-2"));
    assert_eq!(texts("COALESCE(UPPER(action), 'none')")[1].as_deref(), Some("none"));
    assert_eq!(texts("SUBSTRING(action FROM 1 FOR 3)")[2].as_deref(), Some("Can"));
    assert_eq!(
        texts("CASE WHEN fare > 1 THEN 'dear' WHEN fare IS NULL THEN 'free' ELSE 'cheap' END")[2].as_deref(),
        Some("free")
    );
    assert_eq!(texts("TRIM(LEADING 'r' FROM action)")[0].as_deref(), Some("ide"));
    assert_eq!(bigints("CHAR_LENGTH(action) + 1"), [Some(5), None, Some(10)]);
    assert_eq!(bigints("CAST(EXTRACT(HOUR FROM event_time) AS BIGINT)"), [Some(0), Some(0), Some(23)]);
    assert_eq!(
        bigints("twice(limit % 5)"),
        [Some(4), Some(0), Some(4)],
        "a plugin's function is called with columns"
    );
    assert_eq!(bigints("limit % 2 * 10"), [Some(0), Some(0), Some(10)]);
    let numbers = evaluate("ROUND(SQRT(fare * 4), 2)").unwrap();
    assert_eq!(numbers.as_primitive::<Float64Type>().value(0), 2.45);
    let whole = evaluate("CAST(fare AS INT)").unwrap();
    assert_eq!(whole.as_primitive::<Int32Type>().value(0), 1);
}

#[test]
fn times_are_milliseconds() {
    let times = |expression: &str| -> Vec<Option<i64>> {
        evaluate(expression).unwrap().as_primitive::<TimestampMillisecondType>().iter().collect()
    };
    assert_eq!(times("CURRENT_TIMESTAMP"), [Some(0), Some(86_400_001), Some(-1)]);
    assert_eq!(times("rowtime - INTERVAL '1' DAYS")[1], Some(1));
    assert_eq!(times("DATE_TRUNC('day', event_time)"), [Some(0), Some(86_400_000), Some(-86_400_000)]);
    assert_eq!(times("TIMESTAMP '2026-01-01 00:00:00'")[0], Some(1_767_225_600_000));
    assert_eq!(times("CAST('1800-01-01' AS TIMESTAMP)")[0], Some(-5_364_662_400_000));
    let after = evaluate("event_time > TIMESTAMP '1970-01-01 12:00:00'").unwrap();
    assert_eq!(after.as_boolean().iter().collect::<Vec<_>>(), [Some(false), Some(true), Some(false)]);
}

#[test]
fn rows_that_cannot_be_computed_fail() {
    for expression in [
        "10 / limit",
        "limit + 1",
        "limit * 2",
        "CASE WHEN limit > 5 THEN limit + 1 ELSE 0 END",
        "seats + CAST(1 AS INT)",
        "CAST(action AS BIGINT)",
        "CAST(limit AS INT)",
        "-limit - 2",
        "twice(event_id)",
    ] {
        match evaluate(expression) {
            Err(ExpressionError::Rows(message)) => assert!(!message.is_empty()),
            other => panic!("{expression}: {other:?}"),
        }
    }
    let bisected = "CASE WHEN limit = 0 THEN 0 ELSE 10 / limit END";
    assert_eq!(bigints(bisected), [Some(5), Some(0), Some(0)]);
}

#[test]
fn constants_are_checked_when_planned() {
    let found = refused("SELECT 9223372036854775807 + 1 AS x FROM event_user_action");
    assert!(found[0].contains("has no value among bigints"), "{found:?}");
    assert_eq!(bigints("2 + 3 * 4"), [Some(14), Some(14), Some(14)]);
    for constant in [
        "1.0 / 0",
        "1 / 0.0",
        "0.0 / 0",
        "5.5 % -0.0",
        "1.0 / CAST(0 AS DOUBLE)",
        "1.0 / (0.5 - 0.5)",
        "CAST(1 AS FLOAT) / CAST(0 AS FLOAT)",
        "fare + SQRT(1.0 / (2 * 0.0))",
        "COALESCE(2.0 / COALESCE(CAST(NULL AS DOUBLE), 0.0), fare)",
    ] {
        for query in
            ["SELECT {} AS x FROM event_user_action", "SELECT fare FROM event_user_action WHERE fare > {}"]
        {
            let found = refused(&query.replace("{}", constant));
            assert!(found[0].contains("a constant of the query has no value: division by zero"), "{found:?}");
        }
    }
    assert_eq!(doubles("fare * (1.0 / COALESCE(CAST(NULL AS DOUBLE), 0.5))"), [Some(3.0), Some(0.0), None]);
    assert_eq!(doubles("fare / CAST(NULL AS DOUBLE)"), [None, None, None]);
}

#[test]
fn zero_is_one_number_wherever_it_is_compared() {
    assert_eq!(doubles("NULLIF(-fare, 0)"), [Some(-1.5), None, None]);
    assert_eq!(doubles("NULLIF(fare, limit * -0.0)"), [Some(1.5), None, None]);
    assert_eq!(doubles("CAST(10 / NULLIF(CAST(-fare AS FLOAT), 0) AS DOUBLE)")[1], None);
    for is_zero in [
        "-fare = 0",
        "-fare IN (0, 7, 8, 9, 10)",
        "fare IN (-0.0, 7.5, 8.5, 9.5, 10.5)",
        "-fare IN (limit, limit / 2, limit / 3, 7)",
        "NOT (-fare NOT IN (0, 7, 8, 9, 10))",
        "fare = -0.0 OR fare = 7.5 OR fare = 8.5 OR fare = 9.5",
        "CASE -fare WHEN 7 THEN FALSE WHEN 0 THEN TRUE WHEN 8 THEN FALSE ELSE FALSE END",
        "CASE fare WHEN -0.0 THEN TRUE ELSE FALSE END",
        "CASE -fare WHEN limit THEN TRUE ELSE FALSE END",
    ] {
        let found = evaluate(is_zero).unwrap();
        let found: Vec<_> = found.as_boolean().iter().take(2).collect();
        assert_eq!(found, [Some(false), Some(true)], "{is_zero}");
    }
}

#[test]
fn columns_of_rows_have_members() {
    let plan = planned("SELECT place.lat AS a, event_user_action.place.lon AS b FROM event_user_action").plan;
    assert_eq!(plan.inputs[0].columns.len(), 2);
    assert_eq!(plan.output.schema.field(0).data_type(), &arrow_schema::DataType::Float64);
}
