//! All that a query can call, over values at the edges of their types: no panic, no error that is not a row's, no
//! value without bound, nothing that takes long, and each row the same alone as among others.

use super::{Found, Functions, Scope, ScopeColumn};
use crate::tests::CATALOG;
use arrow_array::builder::{ListBuilder, StringViewBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, DurationMillisecondArray,
    Float64Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, ListArray, RecordBatch, StringViewArray,
    TimestampMillisecondArray, UInt32Array,
};
use arrow_buffer::IntervalMonthDayNano;
use arrow_schema::{DataType, Field, Schema};
use arrow_select::take::take_record_batch;
use datafusion_expr::ScalarUDF;
use datafusion_expr::planner::ContextProvider;
use datafusion_expr::type_coercion::functions::fields_with_udf;
use sqlparser::parser::Parser;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir_plan::{Expression, ExpressionError};

/// Rows of the batch: enough that each edge of a column meets many of another's.
const ROWS: usize = 36;
/// So many calls of a function with one number of arguments are tried, of all that its types allow.
const CALLS: usize = 8;
const LONGEST_TEXT: usize = 40_000;
const PATIENCE: Duration = Duration::from_secs(5);
const LIMIT_BYTES: usize = 1 << 20;

/// The same numbers in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % bound as u64) as usize
    }
}

/// Takes the edges in turn, each column in steps of its own.
fn spread<T: Clone>(edges: &[T], step: usize) -> Vec<T> {
    (0..ROWS).map(|row| edges[(row * step + row / edges.len()) % edges.len()].clone()).collect()
}

fn texts() -> Vec<Option<String>> {
    let long = "ä€x ".repeat(LONGEST_TEXT / 7);
    let short = [
        "",
        "a",
        "héllo wörld",
        "0",
        "-1",
        "1e308",
        "9223372036854775808",
        "true",
        "NaN",
        "2026-02-30",
        "day",
        "9999-12-31T23:59:59Z",
        "-262143-01-01",
        "%Y-%m-%d",
        "(a{1000}){1000}",
        "((((((((((a*)*)*)*)*)*)*)*)*)*",
        "[",
        "\\",
        "$.a.b",
        "{\"a\":{\"b\":[1,2]}}",
        "UTC",
        "hex",
        "sha256",
        "🦀\u{301}\u{0}",
        "%_%",
        "1 month",
    ];
    let short = short.into_iter().map(|text| Some(text.to_owned()));
    short.chain([None, Some(long)]).collect()
}

const WHOLE: [Option<i64>; 14] = [
    None,
    Some(0),
    Some(1),
    Some(-1),
    Some(2),
    Some(63),
    Some(64),
    Some(1_000_000),
    Some(1 << 31),
    Some(i64::MAX),
    Some(i64::MIN),
    Some(i64::MIN + 1),
    Some(i64::MAX - 1),
    Some(-1_000_000_007),
];

const DOUBLES: [Option<f64>; 12] = [
    None,
    Some(0.0),
    Some(-0.0),
    Some(1.5),
    Some(-1.0),
    Some(f64::NAN),
    Some(f64::INFINITY),
    Some(f64::NEG_INFINITY),
    Some(f64::MAX),
    Some(f64::MIN_POSITIVE),
    Some(1e18),
    Some(-1e300),
];

const TIMES: [Option<i64>; 10] = [
    None,
    Some(0),
    Some(1_767_225_600_000),
    Some(-1),
    Some(-62_135_596_800_000),
    Some(253_402_300_799_999),
    Some(i64::MAX),
    Some(i64::MIN),
    Some(9_223_372_036_854),
    Some(8_640_000_000_000_000),
];

/// Intervals at the ends of what each of their parts can hold.
fn intervals() -> [Option<IntervalMonthDayNano>; 11] {
    let spans = |months, days, nanos| Some(IntervalMonthDayNano::new(months, days, nanos));
    [
        None,
        spans(0, 0, 0),
        spans(0, 0, 1),
        spans(1, -31, 0),
        spans(0, 1, 0),
        spans(1, 0, 0),
        spans(-1, 0, 0),
        spans(i32::MAX, 0, 0),
        spans(0, i32::MAX, 0),
        spans(0, 0, i64::MAX),
        spans(i32::MIN, i32::MIN, i64::MIN),
    ]
}

fn columns() -> Vec<(&'static str, ArrayRef)> {
    let texts = spread(&texts(), 1);
    let decimals = [None, Some(0), Some(1), Some(-150), Some(10_i128.pow(20) - 1), Some(1 - 10_i128.pow(20))];
    let days = [None, Some(0), Some(20_000), Some(-1), Some(i32::MAX), Some(i32::MIN), Some(2_932_896)];
    let lists: Vec<Option<Vec<Option<i64>>>> = vec![
        None,
        Some(vec![]),
        Some(vec![None]),
        Some(vec![Some(1), Some(2), None, Some(2)]),
        Some(vec![Some(i64::MAX), Some(i64::MIN)]),
        Some((0..300).map(Some).collect()),
    ];
    let mut words = ListBuilder::new(StringViewBuilder::new());
    for row in 0..ROWS {
        for word in &texts[..row % 5] {
            words.values().append_option(word.as_deref().map(|word| &word[..word.floor_char_boundary(40)]));
        }
        words.append(row % 7 != 0);
    }
    vec![
        ("s", Arc::new(StringViewArray::from_iter(texts.iter()))),
        ("s2", Arc::new(StringViewArray::from_iter(spread(&self::texts(), 5)))),
        ("i", Arc::new(Int64Array::from(spread(&WHOLE, 3)))),
        ("i2", Arc::new(Int64Array::from(spread(&WHOLE, 5)))),
        (
            "n",
            Arc::new(Int32Array::from(spread(
                &[None, Some(0), Some(-1), Some(3), Some(i32::MAX), Some(i32::MIN)],
                1,
            ))),
        ),
        ("d", Arc::new(Float64Array::from(spread(&DOUBLES, 5)))),
        ("b", Arc::new(BooleanArray::from(spread(&[None, Some(true), Some(false)], 1)))),
        ("ts", Arc::new(TimestampMillisecondArray::from(spread(&TIMES, 3)))),
        ("ts2", Arc::new(TimestampMillisecondArray::from(spread(&TIMES, 7)))),
        ("da", Arc::new(Date32Array::from(spread(&days, 1)))),
        ("du", Arc::new(DurationMillisecondArray::from(spread(&WHOLE, 9)))),
        ("iv", Arc::new(IntervalMonthDayNanoArray::from(spread(&intervals(), 3)))),
        (
            "de",
            Arc::new(Decimal128Array::from(spread(&decimals, 1)).with_precision_and_scale(20, 2).unwrap()),
        ),
        (
            "y",
            Arc::new(BinaryViewArray::from_iter(
                texts.iter().map(|text| text.as_ref().map(String::as_bytes)),
            )),
        ),
        ("li", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(spread(&lists, 1)))),
        ("lt", Arc::new(words.finish())),
    ]
}

/// Constants, which some functions insist on.
const CONSTANTS: [(&str, DataType); 12] = [
    ("'day'", DataType::Utf8),
    ("'second'", DataType::Utf8),
    ("'%Y'", DataType::Utf8),
    ("'hex'", DataType::Utf8),
    ("'sha256'", DataType::Utf8),
    ("'UTC'", DataType::Utf8),
    ("'(\\w+)(\\d*)'", DataType::Utf8),
    ("''", DataType::Utf8),
    ("2", DataType::Int64),
    ("-1", DataType::Int64),
    ("3000000000", DataType::Int64),
    ("'Int64'", DataType::Utf8),
];

/// Nothing but a measurement depends on it.
#[allow(clippy::disallowed_methods, reason = "what is measured is how long an expression takes here and now")]
fn now() -> Instant {
    Instant::now()
}

struct Trial {
    batch: RecordBatch,
    evaluated: usize,
    failed_rows: usize,
    slowest: (Duration, String),
    wrong: Vec<String>,
}

impl Trial {
    fn new(batch: RecordBatch) -> Self {
        let slowest = (Duration::ZERO, String::new());
        Trial { batch, evaluated: 0, failed_rows: 0, slowest, wrong: Vec::new() }
    }

    /// Evaluates over all rows and over each alone.
    fn expression(&mut self, scope: &Scope<'_>, text: &str) {
        let dialect = crate::dialect::Flink;
        let Ok(parsed) = Parser::new(&dialect).try_with_sql(text).and_then(|mut parser| parser.parse_expr())
        else {
            panic!("{text} does not parse");
        };
        let began = now();
        let Ok(bound) = scope.bind(parsed) else { return };
        let Ok(compiled) = scope.compile(&bound) else { return };
        self.took(began, text);
        let alone: Vec<_> =
            (0..ROWS).map(|row| self.evaluate(&*compiled, &self.batch.slice(row, 1), text)).collect();
        self.failed_rows += alone.iter().filter(|row| row.is_err()).count();
        // Rows that do not fail alone may fail together, and are halved; what they give together is what each gives.
        let good: Vec<u32> = (0..ROWS as u32).filter(|row| alone[*row as usize].is_ok()).collect();
        let batch = take_record_batch(&self.batch, &UInt32Array::from(good.clone())).unwrap();
        if let Ok(together) = self.evaluate(&*compiled, &batch, text) {
            let differs = |at: usize, row: u32| {
                let alone = alone[row as usize].as_ref().ok();
                alone.is_some_and(|alone| format!("{:?}", together.slice(at, 1)) != format!("{alone:?}"))
            };
            if let Some((at, row)) = good.iter().enumerate().find(|(at, row)| differs(*at, **row)) {
                let (among, alone) = (together.slice(at, 1), &alone[*row as usize]);
                self.wrong.push(format!("{text}: row {row} is {alone:?} alone and {among:?} among others"));
            }
        }
        let all = self.batch.clone();
        if self.evaluate(&*compiled, &all, text).is_ok() && good.len() < ROWS {
            self.wrong.push(format!("{text}: rows that fail alone do not fail together"));
        }
    }

    fn evaluate(
        &mut self,
        compiled: &dyn Expression,
        batch: &RecordBatch,
        text: &str,
    ) -> Result<ArrayRef, String> {
        let began = now();
        let evaluated = compiled.evaluate(batch);
        self.evaluated += 1;
        self.took(began, text);
        match evaluated {
            Ok(values) => {
                if values.len() != batch.num_rows() || values.data_type() != compiled.data_type() {
                    self.wrong.push(format!("{text}: {} values of {}", values.len(), values.data_type()));
                } else if largest(&values) > LIMIT_BYTES {
                    self.wrong.push(format!("{text}: a value of {} bytes", largest(&values)));
                }
                Ok(values)
            }
            Err(ExpressionError::Rows(reason)) => Err(reason),
            Err(ExpressionError::Broken(reason)) => {
                self.wrong.push(format!("{text}: broken: {reason}"));
                Err(reason)
            }
        }
    }

    fn took(&mut self, began: Instant, text: &str) {
        let took = began.elapsed();
        if took > self.slowest.0 {
            self.slowest = (took, text.to_owned());
        }
    }

    #[track_caller]
    fn is_clean(&self) {
        let shown: Vec<_> = self.wrong.iter().take(60).map(String::as_str).collect();
        assert!(shown.is_empty(), "{} wrong:\n{}", self.wrong.len(), shown.join("\n"));
        assert!(self.slowest.0 < PATIENCE, "{:?}", self.slowest);
        assert!(self.evaluated > 1000 && self.failed_rows > 100, "{} {}", self.evaluated, self.failed_rows);
    }
}

fn largest(values: &ArrayRef) -> usize {
    let of_row = |row: usize| match values.data_type() {
        DataType::Utf8 => values.as_string::<i32>().value(row).len(),
        DataType::Utf8View => values.as_string_view().value(row).len(),
        DataType::LargeUtf8 => values.as_string::<i64>().value(row).len(),
        DataType::BinaryView => values.as_binary_view().value(row).len(),
        DataType::Binary => values.as_binary::<i32>().value(row).len(),
        DataType::List(_) => values.as_list::<i32>().value_length(row) as usize * 8,
        _ => 0,
    };
    (0..values.len()).filter(|row| values.is_valid(*row)).map(of_row).max().unwrap_or(0)
}

fn batch() -> RecordBatch {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns()
        .into_iter()
        .map(|(name, values)| (Field::new(name, values.data_type().clone(), true), values))
        .unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn scope<'a>(functions: &'a Functions<'a>, batch: &RecordBatch) -> Scope<'a> {
    let schema = batch.schema();
    let column = |field: &Arc<Field>| ScopeColumn {
        name: field.name().clone(),
        data_type: field.data_type().clone(),
        canonical: field.name().clone(),
    };
    Scope::new(functions, schema.fields().iter().map(column).collect()).unwrap()
}

/// Each function of the library once, by its first name.
fn library(functions: &Functions<'_>) -> BTreeMap<String, Arc<ScalarUDF>> {
    let names: BTreeSet<String> = functions.names().into_iter().collect();
    let callable = names.into_iter().filter(|name| functions.find(name) == Found::Library);
    let found = callable.filter_map(|name| functions.get_function_meta(&name));
    found.map(|function| (function.name().to_owned(), function)).collect()
}

/// Argument lists of a length that a function's types allow.
fn argument_lists(
    function: &ScalarUDF,
    batch: &RecordBatch,
    length: usize,
    dice: &mut Dice,
) -> Vec<Vec<String>> {
    let schema = batch.schema();
    let columns = schema.fields().iter().map(|field| (field.name().as_str(), field.data_type().clone()));
    let pool: Vec<(&str, DataType)> = columns.chain(CONSTANTS).collect();
    let tries = [1, pool.len(), 700, 1200, 600][length];
    let mut lists = Vec::new();
    for attempt in 0..tries {
        let choices: Vec<usize> =
            (0..length).map(|_| if length == 1 { attempt } else { dice.below(pool.len()) }).collect();
        let fields: Vec<_> =
            choices.iter().map(|at| Arc::new(Field::new("a", pool[*at].1.clone(), true))).collect();
        if (length == 0 || fields_with_udf(&fields, function).is_ok())
            && lists.len() < CALLS.max(length * CALLS)
        {
            lists.push(choices.iter().map(|at| pool[*at].0.to_owned()).collect());
        }
    }
    lists
}

#[test]
fn functions_at_the_edges() {
    let functions = Functions::new(&CATALOG, "job");
    let batch = batch();
    let scope = scope(&functions, &batch);
    let (mut trial, mut dice) = (Trial::new(batch.clone()), Dice(1));
    let library = library(&functions);
    assert!(library.len() > 150, "{}", library.len());
    for (name, function) in &library {
        for length in 0..=4 {
            for arguments in argument_lists(function, &batch, length, &mut dice) {
                trial.expression(&scope, &format!("\"{name}\"({})", arguments.join(", ")));
            }
        }
    }
    trial.is_clean();
}

#[test]
fn operators_at_the_edges() {
    let functions = Functions::new(&CATALOG, "job");
    let batch = batch();
    let scope = scope(&functions, &batch);
    let mut trial = Trial::new(batch.clone());
    let schema = batch.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let types = [
        "BIGINT",
        "INT",
        "DOUBLE",
        "FLOAT",
        "BOOLEAN",
        "VARCHAR",
        "TIMESTAMP",
        "DATE",
        "BYTEA",
        "DECIMAL(10, 2)",
    ];
    for a in &names {
        for data_type in types {
            trial.expression(&scope, &format!("CAST({a} AS {data_type})"));
            trial.expression(&scope, &format!("TRY_CAST({a} AS {data_type})"));
        }
        for part in
            ["YEAR", "MONTH", "WEEK", "DAY", "HOUR", "SECOND", "MILLISECOND", "MICROSECOND", "EPOCH", "DOW"]
        {
            trial.expression(&scope, &format!("EXTRACT({part} FROM {a})"));
        }
        for text in ["-{}", "{} IS NULL", "{}[2]", "CEIL({})", "{} || 'x' || {}", "CASE WHEN b THEN {} END"] {
            trial.expression(&scope, &text.replace("{}", a));
        }
        for b in &names {
            for operator in ["+", "-", "*", "/", "%", "||", "=", "<", "IS DISTINCT FROM", "LIKE", "~"] {
                trial.expression(&scope, &format!("{a} {operator} {b}"));
            }
            trial.expression(&scope, &format!("{a} IN ({b}, {b})"));
            trial.expression(&scope, &format!("COALESCE({a}, {b})"));
        }
    }
    trial.is_clean();
}

#[test]
fn what_would_be_too_much_is_refused_before_it_is_made() {
    let functions = Functions::new(&CATALOG, "job");
    let batch = batch();
    let scope = scope(&functions, &batch);
    for text in [
        "repeat('ab', 600000)",
        "repeat(s, 9223372036854775807)",
        "lpad('a', 2000000000)",
        "rpad('a', 2000000000, 'ä')",
        "replace(repeat('a', 100000), '', repeat('b', 100000))",
        "replace(repeat('a', 100000), 'a', repeat('b', 100000))",
        "regexp_replace(repeat('a', 100000), '.', repeat('b', 100000), 'g')",
        "array_repeat(1, 1000000000)",
        "array_repeat(array_repeat(1, 100000), 100000)",
        "range(0, 9223372036854775807)",
        "generate_series(0, 1000000)",
        "generate_series(ts2, TIMESTAMP '2200-01-01 00:00:00', INTERVAL '1' SECOND)",
        "array_resize(make_array(1), 1000000000, 2)",
        "array_to_string(array_repeat('a', 100000), repeat('b', 100000))",
        "levenshtein(repeat('a', 1000000), repeat('b', 1000000))",
        "repeat('a', 1000000) || repeat('b', 1000000)",
        "concat(repeat('a', 1000000), repeat('b', 1000000))",
        "regexp_like('a', concat('(a{', CAST(i AS VARCHAR), '}){1000}'))",
    ] {
        let parsed = Parser::new(&crate::dialect::Flink).try_with_sql(text).unwrap().parse_expr().unwrap();
        let compiled = scope.bind(parsed).and_then(|bound| scope.compile(&bound));
        let of_row = |compiled: &dyn Expression, row| compiled.evaluate(&batch.slice(row, 1)).err();
        let reasons: Vec<String> = match compiled {
            Err(refused) => vec![refused],
            Ok(compiled) => {
                let failed = (0..ROWS).filter_map(|row| of_row(&*compiled, row));
                failed.map(|error| error.to_string()).collect()
            }
        };
        let told = reasons.iter().any(|reason| reason.contains("limit") || reason.contains("more than"));
        assert!(told, "{text}: {reasons:?}");
    }
}
