//! `request` and `transform`: how they are read, and what of them is refused before any query is looked at.

use super::{check_job, context, file, job};
use std::collections::BTreeMap;
use weir_event::DataType;

#[test]
fn fields_and_expressions_are_kept_in_their_order_with_their_places() {
    let job = job(
        "query: SELECT 1\nrequest: {amount: double, tags: \"map<string, int>\"}\ntransform:\n  ratio: amount / mean\n\
                   \x20 near: |\n    a +\n      b\n  'x y': \"c * 2\"\n",
    );
    let fields: Vec<_> =
        job.request.iter().map(|field| (&*field.name, &field.data_type, field.place)).collect();
    let map = "map<string, int>".parse().unwrap();
    assert_eq!(fields, [("amount", &DataType::Double, (2, 11)), ("tags", &map, (2, 27))]);
    let derived: Vec<_> =
        job.transform.iter().map(|it| (&*it.name, &*it.expression.text, it.place)).collect();
    let expected =
        [("ratio", "amount / mean", (4, 3)), ("near", "a +\n  b\n", (5, 3)), ("x y", "c * 2", (8, 3))];
    assert_eq!(derived, expected);
    let places: Vec<_> = job.transform.iter().map(|it| it.expression.place(1, 1)).collect();
    assert_eq!(places[..2], [(4, 10), (6, 5)]);
    assert_eq!(job.transform[1].expression.place(2, 3), (7, 7));
}

#[test]
fn what_cannot_be_meant_is_refused_in_its_place() {
    let text = "query: SELECT 1\nrequest:\n  as_of: timestamp\n  amount: number\n  \"\": int\n  meta: int\n  b: int\n  b: int\n\
                transform:\n  a: 1\n  b: \"\"\n  c: [x]\n  d: x\n  d: y\n";
    let outcome = check_job(&file("jobs/j.yaml", text), "j", &BTreeMap::new(), &context());
    let found: Vec<String> = outcome.diagnostics.iter().map(ToString::to_string).collect();
    let expected = [
        "3:3: `request.as_of`: lookups have a parameter of this name; give the field another one, such as request_as_of",
        "4:11: `request.amount`: `number` is not a type; write string,",
        "5:3: `request`: an entry needs a name",
        "6:3: `request.meta`: lookups have a parameter of this name",
        "8:3: `b`: already given in line 7; keep one",
        "10:6: `transform.a`: expected a text (in quotes), found a number",
        "11:6: `transform.b`: is empty; write an expression, such as a / b",
        "12:6: `transform.c`: expected a text, found a list",
        "14:3: `d`: already given in line 13; keep one",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(&format!("jobs/j.yaml:{expected}")), "{found}\n{expected}");
    }
    let outcome = check_job(
        &file("jobs/j.yaml", "query: SELECT 1\nrequest: amount\ntransform: [a]\n"),
        "j",
        &BTreeMap::new(),
        &context(),
    );
    let found: Vec<String> = outcome.diagnostics.iter().map(ToString::to_string).collect();
    let expected = [
        "jobs/j.yaml:2:10: `request`: expected a mapping such as {amount: double}, found a text",
        "jobs/j.yaml:3:12: `transform`: expected a mapping such as {ratio: amount / mean_fare}, found a list",
    ];
    assert_eq!(found, expected);
}
