//! Annotated functions, called as the host calls them: columns and states in, columns and states out.

use std::collections::BTreeMap;

use weir::aggregate::{AggregateEntry, AggregateFunction};
use weir::scalar::ScalarFunction;
use weir::{Aggregate, Algebra, Column, DataType, Literal, LogicalType, Timestamp, Values};

/// Says hello,
/// politely.
#[weir::scalar]
fn greet(name: &str, times: Option<i64>) -> Option<String> {
    times.map(|times| format!("{name}!").repeat(usize::try_from(times).unwrap_or(0)))
}

#[weir::scalar(name = "ratio", description = "a over b")]
fn divide(a: i64, b: i64) -> Result<i64, String> {
    a.checked_div(b).ok_or_else(|| format!("{a} divided by {b}"))
}

#[weir::scalar]
fn one() -> i64 {
    1
}

#[weir::scalar]
fn first(kept: i64, _ignored: i64) -> i64 {
    kept
}

#[weir::scalar]
fn spans(starts: &[i64], end: Timestamp) -> Vec<Timestamp> {
    starts.iter().map(|&start| Timestamp(end.0 - start)).collect()
}

#[weir::scalar(columnar, arguments(value: f64), returns = f64)]
fn half(arguments: &[Column], _rows: u32) -> Result<Column, String> {
    let [Column { values: Values::Float64s(values), validity, .. }] = arguments else {
        return Err("expected doubles".to_owned());
    };
    let halves = values.iter().map(|value| value / 2.0).collect();
    Ok(Column { values: Values::Float64s(halves), validity: validity.clone(), offsets: vec![] })
}

/// How often each action came, a row per distinct action.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct ActionCounts {
    counts: BTreeMap<String, i64>,
}

/// The count of one action.
#[weir::aggregate(algebra = exact, parameters(action))]
impl Aggregate for ActionCounts {
    type Parameters = String;
    type Input = (String, Option<i64>);
    type Output = Result<Option<i64>, String>;

    fn start(action: &String) -> Self {
        ActionCounts { counts: BTreeMap::from([(action.clone(), 0)]) }
    }
    fn update(&mut self, _time: i64, (action, weight): (String, Option<i64>)) {
        if let Some(count) = self.counts.get_mut(&action) {
            *count += weight.unwrap_or(1);
        }
    }
    fn merge(&mut self, later: &Self) {
        for (action, count) in &later.counts {
            *self.counts.entry(action.clone()).or_default() += count;
        }
    }
    fn finish(&self, as_of: i64) -> Result<Option<i64>, String> {
        if as_of < 0 {
            return Err("before the beginning".to_owned());
        }
        Ok(self.counts.values().next().copied().filter(|count| *count > 0))
    }
}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Trace(Vec<i64>);

#[weir::aggregate(name = "trace", arguments(x))]
impl Aggregate for Trace {
    type Input = i64;
    type Output = Vec<i64>;
    fn update(&mut self, time: i64, x: i64) {
        self.0.push(time * 100 + x);
    }
    fn merge(&mut self, later: &Self) {
        self.0.extend(&later.0);
    }
    fn finish(&self, _as_of: i64) -> Vec<i64> {
        self.0.clone()
    }
}

// On the host this makes no exports, and shows that the names resolve.
weir::export! {
    scalars: [greet, divide, one, first, spans, half],
    aggregates: [ActionCounts, Trace],
}

fn texts(texts: &[&str]) -> Column {
    let values = Values::Texts(texts.iter().map(ToString::to_string).collect());
    Column { values, validity: vec![], offsets: vec![] }
}

fn int64s(values: &[i64], validity: &[u8]) -> Column {
    Column { values: Values::Int64s(values.to_vec()), validity: validity.to_vec(), offsets: vec![] }
}

#[test]
fn a_function_describes_itself() {
    let info = greet::describe();
    assert_eq!((info.name.as_str(), info.description.as_str()), ("greet", "Says hello, politely."));
    let arguments: Vec<_> = info.arguments.iter().map(|a| (a.name.as_str(), a.data_type)).collect();
    let flat = |logical| DataType { logical, list: false };
    assert_eq!(arguments, [("name", flat(LogicalType::Text)), ("times", flat(LogicalType::Bigint))]);
    assert_eq!(info.result, flat(LogicalType::Text));

    let info = spans::describe();
    assert_eq!(info.arguments[0].data_type, DataType { logical: LogicalType::Bigint, list: true });
    assert_eq!(first::describe().arguments[1].name, "ignored");
    assert_eq!(info.result, DataType { logical: LogicalType::Timestamp, list: true });

    let info = divide::describe();
    assert_eq!((info.name.as_str(), info.description.as_str()), ("ratio", "a over b"));
}

#[test]
fn nulls_skip_a_row_unless_the_function_wants_them() {
    let mut names = texts(&["ada", "bob", "cyd"]);
    names.validity = vec![1, 0, 1];
    let column = greet::call(&[names, int64s(&[2, 2, 0], &[1, 1, 0])], 3).unwrap();
    assert_eq!(column.validity, [1, 0, 0]);
    let Values::Texts(greetings) = column.values else { panic!("{column:?}") };
    assert_eq!(greetings[0], "ada!ada!");
}

#[test]
fn an_error_fails_the_call_and_names_the_function() {
    assert_eq!(divide::call(&[int64s(&[7], &[]), int64s(&[2], &[])], 1).unwrap(), int64s(&[3], &[]));
    let functions = [weir::scalar::ScalarEntry::of::<divide>()];
    let call = |name: &str, arguments: &[Column]| weir::scalar::call(&functions, name, arguments, 1);
    let cases = [
        (call("ratio", &[int64s(&[7], &[]), int64s(&[0], &[])]), "ratio: 7 divided by 0"),
        (call("ratio", &[int64s(&[7], &[])]), "ratio: expected 2 arguments, got 1"),
        (
            call("ratio", &[int64s(&[7], &[]), texts(&["2"])]),
            "ratio: argument 2: expected bigint values, got texts",
        ),
        (call("divide", &[]), "no scalar function `divide` in this component"),
    ];
    for (outcome, expected) in cases {
        assert_eq!(outcome.unwrap_err(), expected);
    }
}

#[test]
fn no_arguments_lists_and_whole_columns() {
    assert_eq!(one::call(&[], 3).unwrap(), int64s(&[1, 1, 1], &[]));
    assert_eq!(one::call(&[], 0).unwrap(), int64s(&[], &[]));

    let starts = Column { offsets: vec![0, 2, 2], ..int64s(&[1, 2], &[]) };
    let column = spans::call(&[starts, int64s(&[10, 20], &[])], 2).unwrap();
    assert_eq!(column, Column { offsets: vec![0, 2, 2], ..int64s(&[9, 8], &[]) });

    let values = Column { values: Values::Float64s(vec![3.0]), validity: vec![], offsets: vec![] };
    assert_eq!(half::call(&[values], 1).unwrap().values, Values::Float64s(vec![1.5]));
}

fn like() -> Vec<Literal> {
    vec![Literal::Text("like".to_owned())]
}

#[test]
fn an_aggregate_describes_itself() {
    let info = ActionCounts::describe();
    assert_eq!(info.name, "action_counts");
    assert_eq!(info.parameters[0].name, "action");
    let names: Vec<_> = info.arguments.iter().map(|argument| argument.name.as_str()).collect();
    assert_eq!(names, ["action", "weight"]);
    assert_eq!(info.algebra, Algebra::Exact);
    assert_eq!(info.description, "The count of one action.");
    let info = Trace::describe();
    assert_eq!(info.algebra, Algebra::Ordered);
    assert!(info.parameters.is_empty() && info.result.list);
}

#[test]
fn states_are_updated_merged_and_finished() {
    let entry = AggregateEntry::of::<ActionCounts>();
    let actions = texts(&["like", "skip", "like", "like"]);
    let weights = int64s(&[0, 0, 5, 0], &[0, 0, 1, 0]);
    let states =
        (entry.update)(&like(), vec![vec![]; 3], &[0, 2, 0, 1], &[1, 2, 3, 4], &[actions, weights]).unwrap();
    assert!(states[2].is_empty(), "a state that equals the start is no bytes");

    let merged = (entry.merge)(&like(), &states, &[1, 1, 0], 3).unwrap();
    let finished = (entry.finish)(&like(), &merged, &[0, 0, 0]).unwrap();
    assert_eq!(finished, int64s(&[0, 7, 0], &[0, 1, 0]));
    assert!((entry.finish)(&like(), &merged, &[0, -1, 0]).unwrap_err().contains("before the beginning"));
}

#[test]
fn rows_reach_their_state_in_order() {
    let entry = AggregateEntry::of::<Trace>();
    let values = int64s(&[1, 2, 3, 4], &[1, 1, 0, 1]);
    let states = (entry.update)(&[], vec![vec![]; 2], &[1, 0, 1, 1], &[5, 6, 7, 8], &[values]).unwrap();
    let again = (entry.update)(&[], states, &[1], &[9], &[int64s(&[5], &[])]).unwrap();
    let merged = (entry.merge)(&[], &again, &[0, 0], 1).unwrap();
    let finished = (entry.finish)(&[], &merged, &[10]).unwrap();
    assert_eq!(finished, Column { offsets: vec![0, 4], ..int64s(&[602, 501, 804, 905], &[]) });
}

#[test]
fn bad_calls_of_aggregates_are_errors() {
    let entry = AggregateEntry::of::<Trace>();
    let row = || int64s(&[1], &[]);
    let cases = [
        ((entry.update)(&[], vec![vec![]], &[1], &[5], &[row()]), "group 1 of 1"),
        ((entry.update)(&[], vec![vec![]], &[0], &[5, 6], &[row()]), "differ in length"),
        ((entry.update)(&[], vec![vec![9, 9]], &[0], &[5], &[row()]), "a state cannot be read"),
        ((entry.update)(&like(), vec![vec![]], &[0], &[5], &[row()]), "expected 0 parameters"),
        ((entry.merge)(&[], &[vec![1, 2]], &[4], 2), "group 4 of 2"),
    ];
    for (outcome, expected) in cases {
        let message = outcome.unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
    let wrong = (AggregateEntry::of::<ActionCounts>().finish)(&[Literal::Int64(3)], &[], &[]);
    assert_eq!(wrong.unwrap_err(), "parameter 1: expected text, got int64");
    let missing = weir::aggregate::call(&[entry], "sum", |_| Ok(()));
    assert_eq!(missing.unwrap_err(), "no aggregate function `sum` in this component");
}
