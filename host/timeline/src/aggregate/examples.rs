//! Calls of every built-in aggregate over every type that it takes, for the tests.

use super::catalog::{builtin, builtin_docs};
use super::{Aggregate, Algebra, Parameter};
use arrow_array::{
    ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int32Array, Int64Array, StringViewArray, TimestampMillisecondArray,
};
use arrow_schema::{DataType, TimeUnit};
use std::sync::Arc;
use weir_event::Rank;

/// Columns of [`Batch`]: bigint, double, text, boolean, int, timestamp, float, bytes, date, decimal.
pub(crate) const TYPES: [DataType; 10] = [
    DataType::Int64,
    DataType::Float64,
    DataType::Utf8View,
    DataType::Boolean,
    DataType::Int32,
    DataType::Timestamp(TimeUnit::Millisecond, None),
    DataType::Float32,
    DataType::BinaryView,
    DataType::Date32,
    DataType::Decimal128(38, 2),
];

/// Wholes times this are decimals of more than 64 bits.
const DECIMAL_UNIT: i128 = 7_000_000_000_000_001;

const ANY: &[&[usize]] = &[&[0], &[1], &[2], &[3], &[4], &[5], &[6], &[7], &[8], &[9]];
const ANY_OR_ROWS: &[&[usize]] =
    &[&[0], &[1], &[2], &[3], &[4], &[5], &[6], &[7], &[8], &[9], &[2, 0], &[1, 7, 3], &[9, 8, 2]];
const NUMBERS: &[&[usize]] = &[&[0], &[1], &[4], &[6], &[9]];
const WHOLES: &[&[usize]] = &[&[0], &[4]];
const PAIRS: &[&[usize]] = &[&[0, 1], &[6, 4], &[1, 1], &[0, 4], &[9, 1]];
const OPTIONAL: &[&[usize]] = &[&[], &[0], &[2], &[9]];

/// A row: time, whole, double, text, flag.
pub(crate) type ExampleRow = (i64, Option<i64>, Option<f64>, Option<String>, Option<bool>);

/// Rows in columns of [`TYPES`], with times and ranks.
pub(crate) struct Batch {
    pub(crate) columns: Vec<ArrayRef>,
    pub(crate) times: Vec<i64>,
    pub(crate) ranks: Vec<Rank>,
}

impl Batch {
    pub(crate) fn new(rows: &[ExampleRow]) -> Batch {
        Batch {
            columns: vec![
                Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
                Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()),
                Arc::new(rows.iter().map(|row| row.3.clone()).collect::<StringViewArray>()),
                Arc::new(rows.iter().map(|row| row.4).collect::<BooleanArray>()),
                Arc::new(rows.iter().map(|row| row.1.map(|it| it as i32)).collect::<Int32Array>()),
                Arc::new(rows.iter().map(|row| row.1).collect::<TimestampMillisecondArray>()),
                Arc::new(rows.iter().map(|row| row.2.map(|it| it as f32)).collect::<Float32Array>()),
                Arc::new(
                    rows.iter().map(|row| row.3.as_deref().map(str::as_bytes)).collect::<BinaryViewArray>(),
                ),
                Arc::new(rows.iter().map(|row| row.1.map(|it| it as i32)).collect::<Date32Array>()),
                Arc::new(
                    rows.iter()
                        .map(|row| row.1.map(|it| i128::from(it) * DECIMAL_UNIT))
                        .collect::<Decimal128Array>()
                        .with_data_type(TYPES[9].clone()),
                ),
            ],
            times: rows.iter().map(|row| row.0).collect(),
            ranks: (0..rows.len() as u64).map(|offset| Rank { offset, ..Rank::default() }).collect(),
        }
    }
}

/// A bound aggregate and the columns of its arguments.
pub(crate) struct Example {
    pub(crate) name: &'static str,
    pub(crate) aggregate: Arc<dyn Aggregate>,
    pub(crate) columns: Vec<usize>,
}

/// A name, DISTINCT or not, parameters, and the columns that are its arguments, each once.
type Calls = Vec<(&'static str, bool, Vec<Parameter>, &'static [&'static [usize]])>;

fn calls() -> Calls {
    let text = |text: &str| Parameter::Text(text.to_owned());
    let int = Parameter::Int;
    let two_desc = || vec![int(2), text("desc")];
    vec![
        ("COUNT", false, vec![], &[&[], &[0], &[1], &[2], &[3], &[4], &[5], &[6], &[7], &[8], &[9]]),
        ("COUNT", true, vec![], ANY_OR_ROWS),
        ("APPROX_COUNT_DISTINCT", false, vec![], ANY),
        ("SUM", false, vec![], NUMBERS),
        ("AVG", false, vec![], NUMBERS),
        ("VAR_POP", false, vec![], NUMBERS),
        ("VAR_SAMP", false, vec![], NUMBERS),
        ("STDDEV_POP", false, vec![], NUMBERS),
        ("STDDEV_SAMP", false, vec![], NUMBERS),
        ("SKEWNESS", false, vec![], NUMBERS),
        ("KURTOSIS", false, vec![], NUMBERS),
        ("COVAR_POP", false, vec![], PAIRS),
        ("COVAR_SAMP", false, vec![], PAIRS),
        ("CORR", false, vec![], PAIRS),
        ("MIN", false, vec![], ANY),
        ("MAX", false, vec![], ANY),
        ("APPROX_PERCENTILE", false, vec![Parameter::Double(0.5)], NUMBERS),
        ("APPROX_PERCENTILE", false, vec![int(0), Parameter::Double(0.9), int(1)], NUMBERS),
        ("FIRST_VALUE", false, vec![], ANY_OR_ROWS),
        ("LAST_VALUE", false, vec![], ANY_OR_ROWS),
        ("TOP", false, vec![int(3)], ANY_OR_ROWS),
        ("TOP", false, two_desc(), ANY_OR_ROWS),
        ("LAST_N", false, vec![int(3)], ANY_OR_ROWS),
        ("FIRST_N", false, vec![int(3)], ANY_OR_ROWS),
        ("FIRST_N", false, two_desc(), ANY_OR_ROWS),
        ("COLLECT", false, vec![], ANY_OR_ROWS),
        ("LAST_DISTINCT_N", false, vec![int(3)], ANY_OR_ROWS),
        ("LAST_DISTINCT_N", false, two_desc(), ANY_OR_ROWS),
        ("MAX_N", false, vec![int(3)], ANY_OR_ROWS),
        ("MIN_N", false, vec![int(3)], ANY_OR_ROWS),
        ("COLLECT_DISTINCT", false, vec![int(3)], ANY_OR_ROWS),
        ("ARG_MIN", false, vec![], &[&[0, 1], &[2, 0], &[3, 2], &[1, 3], &[2, 3, 0], &[9, 8], &[8, 9]]),
        ("ARG_MAX", false, vec![], &[&[0, 1], &[2, 0], &[3, 2], &[1, 3], &[2, 3, 0], &[9, 8], &[8, 9]]),
        ("MODE", false, vec![], ANY),
        ("MOST_FREQUENT_N", false, vec![int(2)], ANY_OR_ROWS),
        ("HISTOGRAM", false, vec![], ANY),
        ("ENTROPY", false, vec![], ANY),
        ("APPROX_MOST_FREQUENT_N", false, vec![int(2)], ANY_OR_ROWS),
        ("MAP_AGG_BY", false, vec![text("count")], &[&[2], &[1, 0], &[9]]),
        ("MAP_AGG_BY", false, vec![text("sum")], &[&[2, 1], &[3, 0], &[8, 9]]),
        ("MAP_AGG_BY", false, vec![text("avg")], &[&[2, 1], &[0, 4], &[2, 9]]),
        ("MAP_AGG_BY", false, vec![text("min")], &[&[2, 1], &[0, 2]]),
        ("MAP_AGG_BY", false, vec![text("max")], &[&[2, 3], &[7, 5], &[9, 8]]),
        ("BOOL_AND", false, vec![], &[&[3]]),
        ("BOOL_OR", false, vec![], &[&[3]]),
        ("BIT_AND", false, vec![], WHOLES),
        ("BIT_OR", false, vec![], WHOLES),
        ("BIT_XOR", false, vec![], WHOLES),
        ("DECAY_SUM", false, vec![text("3ms")], NUMBERS),
        ("DECAY_COUNT", false, vec![int(7)], OPTIONAL),
        ("DECAY_AVG", false, vec![int(1)], NUMBERS),
        ("TIME_SINCE_FIRST", false, vec![], OPTIONAL),
        ("TIME_SINCE_LAST", false, vec![], OPTIONAL),
        ("GAP_AVG", false, vec![], OPTIONAL),
        ("GAP_MIN", false, vec![], OPTIONAL),
        ("GAP_MAX", false, vec![], OPTIONAL),
        ("GAP_STDDEV", false, vec![], OPTIONAL),
        ("STREAK", false, vec![], ANY),
        ("LONGEST_STREAK", false, vec![], ANY),
    ]
}

/// All examples.
pub(crate) fn examples() -> Vec<Example> {
    let mut examples = Vec::new();
    for (name, distinct, parameters, columns) in calls() {
        for columns in columns {
            let types: Vec<DataType> = columns.iter().map(|at| TYPES[*at].clone()).collect();
            let aggregate = builtin(name, distinct, &types, &parameters).unwrap();
            examples.push(Example { name, aggregate, columns: columns.to_vec() });
        }
    }
    examples
}

#[test]
fn every_built_in_aggregate_has_an_example_and_is_documented_as_its_card_says() {
    let examples = examples();
    for doc in builtin_docs() {
        let fits = |example: &&Example| {
            let card = example.aggregate.card();
            example.name == doc.name
                && (card.algebra, card.inverse, card.bounded) == (doc.algebra, doc.inverse, doc.bounded)
                && card.nulls == doc.nulls
        };
        assert!(examples.iter().any(|example| fits(&example)), "no example is as documented: {doc:?}");
        assert_eq!(
            doc.algebra == Algebra::Ordered,
            doc.name.starts_with("GAP_") && doc.name != "GAP_AVG" || doc.name.contains("STREAK")
        );
        for alias in doc.aliases {
            let example = examples.iter().find(fits).unwrap();
            let types: Vec<DataType> = example.columns.iter().map(|at| TYPES[*at].clone()).collect();
            let same = builtin(alias, false, &types, &[])
                .or_else(|_| builtin(alias, false, &types, &[Parameter::Int(3)]));
            let name = doc.name.to_ascii_lowercase();
            assert!(same.unwrap().card().identity.starts_with(&format!("{name}(")), "{alias}");
        }
    }
    for example in &examples {
        let card = example.aggregate.card();
        let is_documented = builtin_docs().iter().any(|doc| {
            (doc.name, doc.algebra, doc.inverse, doc.bounded, doc.nulls)
                == (example.name, card.algebra, card.inverse, card.bounded, card.nulls)
        });
        assert!(is_documented, "{}", card.identity);
    }
}
