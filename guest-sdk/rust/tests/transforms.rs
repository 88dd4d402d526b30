//! Transforms, called as the host calls them: columns in, a column for each result out.

use weir::transform::{TransformEntry, TransformFunction};
use weir::{Column, DataType, LogicalType, Values};

#[derive(Debug, PartialEq, weir::Row)]
struct Risk {
    score: f64,
    band: Option<String>,
    parts: Vec<i64>,
}

/// How much more
/// a ride is than usual.
#[weir::transform]
fn risk(amount: f64, mean: Option<f64>, parts: &[i64]) -> Risk {
    let band = mean.map(|mean| if amount > mean { "high" } else { "low" }.to_owned());
    Risk { score: amount / 2.0, band, parts: parts.to_vec() }
}

#[weir::transform(name = "checked", description = "for tests")]
fn check(amount: i64) -> Result<Option<Halves>, String> {
    if amount < 0 {
        return Err(format!("an amount of {amount}"));
    }
    Ok((amount > 0)
        .then(|| Halves { half: amount / 2, rest: (amount != 13).then_some(amount % 2).ok_or("unlucky") }))
}

#[derive(weir::Row)]
struct Halves {
    half: i64,
    rest: Result<i64, &'static str>,
}

#[weir::transform]
fn perhaps(amount: i64) -> Option<Halves> {
    (amount > 0).then_some(Halves { half: amount, rest: Ok(0) })
}

#[weir::transform]
fn nothing_taken() -> Halves {
    Halves { half: 1, rest: Ok(2) }
}

#[weir::transform(columnar, arguments(amount: i64), returns = Halves)]
fn at_once(arguments: &[Column], rows: u32) -> Result<Vec<Column>, String> {
    let [Column { values: Values::Int64s(values), validity, .. }] = arguments else {
        return Err(format!("expected {rows} whole numbers"));
    };
    let column = |of: fn(&i64) -> i64| int64s(&values.iter().map(of).collect::<Vec<_>>(), validity);
    Ok(vec![column(|value| value / 2), column(|value| value % 2)])
}

// On the host this makes no exports, and shows that the names resolve.
weir::export! { transforms: [risk, check, perhaps, nothing_taken, at_once] }

fn int64s(values: &[i64], validity: &[u8]) -> Column {
    Column { values: Values::Int64s(values.to_vec()), validity: validity.to_vec(), offsets: vec![] }
}

fn float64s(values: &[f64], validity: &[u8]) -> Column {
    Column { values: Values::Float64s(values.to_vec()), validity: validity.to_vec(), offsets: vec![] }
}

#[test]
fn a_transform_describes_itself() {
    let info = risk::describe();
    assert_eq!(
        (info.name.as_str(), info.description.as_str()),
        ("risk", "How much more a ride is than usual.")
    );
    let named = |fields: &[weir::Field]| {
        fields.iter().map(|field| (field.name.clone(), field.data_type)).collect::<Vec<_>>()
    };
    let of = |name: &str, logical, list| (name.to_owned(), DataType { logical, list });
    let double = |name| of(name, LogicalType::Double, false);
    let parts = of("parts", LogicalType::Bigint, true);
    assert_eq!(named(&info.arguments), [double("amount"), double("mean"), parts.clone()]);
    assert_eq!(named(&info.results), [double("score"), of("band", LogicalType::Text, false), parts]);

    let info = check::describe();
    assert_eq!((info.name.as_str(), info.description.as_str()), ("checked", "for tests"));
    assert_eq!(named(&info.results), named(&at_once::describe().results));
    assert_eq!(named(&at_once::describe().arguments), named(&info.arguments));
    assert!(nothing_taken::describe().arguments.is_empty());
}

#[test]
fn every_result_is_a_column_and_nulls_are_a_row_of_them() {
    let amounts = float64s(&[3.0, 0.0, 5.0, 7.0], &[1, 0, 1, 1]);
    let means = float64s(&[4.0, 4.0, 4.0, 0.0], &[1, 1, 1, 0]);
    let parts = Column { offsets: vec![0, 1, 2, 4, 4], ..int64s(&[1, 2, i64::MAX, 3], &[]) };
    let [score, band, kept] =
        <[Column; 3]>::try_from(risk::call(&[amounts, means, parts], 4).unwrap()).unwrap();
    assert_eq!(score, float64s(&[1.5, 0.0, 2.5, 3.5], &[1, 0, 1, 1]));
    let bands = ["low", "", "high", ""].map(str::to_owned);
    assert_eq!(
        band,
        Column { values: Values::Texts(bands.to_vec()), validity: vec![1, 0, 1, 0], offsets: vec![] }
    );
    let expected = int64s(&[1, i64::MAX, 3], &[1, 0, 1, 1]);
    assert_eq!(kept, Column { offsets: vec![0, 1, 1, 3, 3], ..expected });
}

#[test]
fn none_is_a_row_of_nulls() {
    let validity = [0, 1];
    let expected = [int64s(&[0, 4], &validity), int64s(&[0, 0], &validity)];
    assert_eq!(perhaps::call(&[int64s(&[0, 4], &[])], 2).unwrap(), expected);
    let expected = [int64s(&[0, 2], &validity), int64s(&[0, 1], &validity)];
    assert_eq!(check::call(&[int64s(&[0, 5], &[])], 2).unwrap(), expected);
}

#[test]
fn no_arguments_no_rows_and_whole_columns() {
    assert_eq!(nothing_taken::call(&[], 2).unwrap(), [int64s(&[1, 1], &[]), int64s(&[2, 2], &[])]);
    assert_eq!(nothing_taken::call(&[], 0).unwrap(), [int64s(&[], &[]), int64s(&[], &[])]);
    let halves = at_once::call(&[int64s(&[7, 8], &[1, 0])], 2).unwrap();
    assert_eq!(halves, [int64s(&[3, 4], &[1, 0]), int64s(&[1, 0], &[1, 0])]);
}

#[test]
fn twenty_four_arguments_are_taken() {
    #[rustfmt::skip]
    type Many = (
        i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64,
        i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64,
    );
    let columns: Vec<Column> = (1..=24).map(|value| int64s(&[value], &[])).collect();
    let made = weir::transform::for_each_row::<Many, Halves>(&columns, 1, |given| Halves {
        half: given.0 + given.11,
        rest: Ok(given.12 + given.23),
    });
    assert_eq!(made.unwrap(), [int64s(&[13], &[]), int64s(&[37], &[])]);
}

#[test]
fn an_error_fails_the_call_and_names_the_function() {
    let functions = [TransformEntry::of::<check>(), TransformEntry::of::<risk>()];
    let call = |name: &str, arguments: &[Column]| weir::transform::call(&functions, name, arguments, 2);
    for (outcome, expected) in [
        (call("checked", &[int64s(&[1, -7], &[])]), "checked: an amount of -7"),
        (call("checked", &[int64s(&[1, 13], &[])]), "checked: unlucky"),
        (call("checked", &[]), "checked: expected 1 arguments, got 0"),
        (
            call("checked", &[float64s(&[1.0, 2.0], &[])]),
            "checked: argument 1: expected bigint values, got float64s",
        ),
        (call("check", &[]), "no transform `check` in this component"),
    ] {
        assert_eq!(outcome.unwrap_err(), expected);
    }
}
