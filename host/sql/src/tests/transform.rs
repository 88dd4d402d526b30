//! Derived features: what they are planned to, and what of them is refused, where and with which words.

use super::{CATALOG, Memory, job, lines, planned_job};
use crate::{explain, plan};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, RecordBatchOptions};
use arrow_schema::{Field as ArrowField, Schema};
use std::sync::Arc;
use weir_plan::definition::{DerivedDefinition, FeatureDefinition, Query, RequestField};
use weir_plan::{DerivedInput, JobDefinition, JobPlan, Severity};

const SPEND: &str = "SELECT user_id, AVG(fare) AS mean_fare, COUNT(*) AS rides, LAST_N(3, action) AS actions,
    TUMBLE_END(rowtime, INTERVAL '1' HOUR) AS hour_end FROM event_user_action
    GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)";

/// A job whose `request` stands in line 3 and on of its file, and whose expressions in line 11 and on, from column 9.
fn deriving(query: &str, request: &[(&str, &str)], transform: &[(&str, &str)]) -> JobDefinition {
    let mut job = job(query);
    let field = |(at, (name, data_type)): (usize, &(&str, &str))| RequestField {
        name: (*name).to_owned(),
        data_type: data_type.parse().unwrap(),
        place: (3 + at as u32, 3),
    };
    let derived = |(at, (name, text)): (usize, &(&str, &str))| DerivedDefinition {
        name: (*name).to_owned(),
        expression: Query {
            text: (*text).to_owned(),
            file: job.file.clone(),
            line: 11 + at as u32,
            indent: 8,
        },
        place: (11 + at as u32, 3),
    };
    job.transform = transform.iter().enumerate().map(derived).collect();
    job.request = request.iter().enumerate().map(field).collect();
    job
}

fn spend(transform: &[(&str, &str)]) -> JobDefinition {
    let request = [("amount", "double"), ("now", "timestamp"), ("embedding", "array<double>")];
    deriving(SPEND, &request, transform)
}

#[test]
fn an_expression_is_bound_to_what_it_reads_and_nothing_else() {
    let plan = planned_job(&spend(&[
        ("ratio", "amount / mean_fare"),
        ("label", "CONCAT(user_id, '-', CAST(rides AS VARCHAR))"),
        ("one", "1"),
        ("embedded", "CARDINALITY(embedding) + CARDINALITY(actions)"),
    ]));
    let features = &plan.transform.features;
    let inputs: Vec<&[DerivedInput]> = features.iter().map(|feature| &*feature.inputs).collect();
    use DerivedInput::{Key, Request, Stored};
    assert_eq!(inputs, [&[Stored(0), Request(0)][..], &[Key(0), Stored(1)], &[], &[Stored(2), Request(2)]]);
    let types: Vec<String> = features.iter().map(|feature| feature.data_type.to_string()).collect();
    assert_eq!(types, ["double", "string", "bigint", "bigint"]);
    let column = |value: f64| Arc::new(Float64Array::from(vec![value])) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("mean_fare", column(4.0)), ("amount", column(10.0))]).unwrap();
    let ratio = features[0].expression.evaluate(&batch).unwrap();
    assert_eq!(ratio.as_primitive::<Float64Type>().value(0), 2.5);
    let rows = RecordBatchOptions::new().with_row_count(Some(3));
    let none = Arc::new(Schema::new(Vec::<ArrowField>::new()));
    let three = RecordBatch::try_new_with_options(none, Vec::new(), &rows).unwrap();
    assert_eq!(features[2].expression.evaluate(&three).unwrap().len(), 3);
}

#[test]
fn what_is_derived_changes_no_hash_of_what_is_stored() {
    let plan = |transform: &[(&str, &str)]| planned_job(&spend(transform));
    let (without, with) = (plan(&[]), plan(&[("ratio", "amount / mean_fare")]));
    let stored = |plan: &JobPlan| {
        let features: Vec<_> = plan.features.iter().map(|feature| feature.definition.clone()).collect();
        (plan.definition.clone(), plan.state_fingerprint.clone(), features, plan.calls_components())
    };
    assert_eq!(stored(&without), stored(&with));
    assert_eq!(without.transform.definition, "");
    assert!(!with.serves_as(&without) && with.serves_as(&plan(&[("r", "amount/mean_fare")])));
    assert!(!with.serves_as(&plan(&[("ratio", "mean_fare / amount")])));
}

#[test]
fn a_plugin_in_an_expression_is_part_of_its_hash() {
    let hash = |plugin_sha| {
        let job = spend(&[("double_rides", "twice(rides)")]);
        crate::plan(&job, &Memory { plugin_sha }).unwrap().plan
    };
    let (one, other) = (hash("sha256:aa"), hash("sha256:bb"));
    assert_eq!(one.definition, other.definition);
    assert!(!one.serves_as(&other));
    assert!(one.transform.calls_components() && !one.calls_components());
    assert_eq!(one.components().into_iter().collect::<Vec<_>>(), ["aa"]);
}

#[test]
fn what_is_a_part_of_a_call_shares_it() {
    let job = spend(&[
        ("score", "risk(amount, rides).score"),
        ("band", "RISK(*)['band']"),
        ("whole", "CAST(risk(amount, rides).score AS BIGINT)"),
        ("other", "risk(mean_fare, rides).score"),
        ("some", "CASE WHEN rides > 0 THEN risk(amount, rides).score END"),
        ("row", "risk(amount, rides)"),
    ]);
    let plan = planned_job(&job);
    let features = &plan.transform.features;
    let calls: Vec<Option<usize>> = features.iter().map(|feature| feature.call).collect();
    assert_eq!(calls, [Some(0), Some(0), Some(0), Some(1), None, Some(0)]);
    let types: Vec<String> = features.iter().map(|feature| feature.data_type.to_string()).collect();
    assert_eq!(types, ["double", "string", "bigint", "double", "double", "row<score double, band string>"]);
    use DerivedInput::{Request, Stored};
    let of = [Stored(1), Request(0)];
    assert!(features.iter().take(3).all(|feature| feature.inputs == of), "{features:?}");
    assert_eq!(plan.transform.calls.len(), 2);
    let given: [(&str, ArrayRef); 2] = [
        ("rides", Arc::new(Int64Array::from(vec![4]))),
        ("amount", Arc::new(Float64Array::from(vec![10.0]))),
    ];
    let called = plan.transform.calls[0].evaluate(&RecordBatch::try_from_iter(given).unwrap()).unwrap();
    let called = RecordBatch::try_from_iter([("called", called)]).unwrap();
    let value = |at: usize| features[at].expression.evaluate(&called).unwrap();
    assert_eq!(value(0).as_primitive::<Float64Type>().value(0), 2.5);
    assert_eq!(value(1).as_string_view().value(0), "high");
    assert_eq!(value(2).as_primitive::<Int64Type>().value(0), 2);
    assert_eq!(plan.components().into_iter().collect::<Vec<_>>(), ["aa"]);
    assert_eq!(explain(&plan).matches("\n    calls risk@sha256:aa\n").count(), 6);
    // It is written otherwise and means the same.
    assert_eq!(
        features[0].definition,
        planned_job(&spend(&[("s", "risk(*).score")])).transform.features[0].definition
    );
}

#[test]
fn what_is_for_lookups_is_not_for_queries() {
    let text = "SELECT user_id, SUM(risk(fare, 1).score) AS n FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, \
                INTERVAL '1' DAY)";
    let found = lines(&plan(&job(text), &CATALOG).unwrap_err());
    assert!(found.contains("function `risk` not found"), "{found}");
}

#[test]
fn what_features_say_of_a_derived_one_is_its_own() {
    let mut job = spend(&[("ratio", "amount / rides"), ("other", "rides")]);
    job.features = vec![FeatureDefinition {
        name: "ratio".to_owned(),
        data_type: None,
        version: Some(4),
        owner: Some("fraud".to_owned()),
        default: Some(serde_json::json!(1.5)),
        ..FeatureDefinition::default()
    }];
    let derived = planned_job(&job).transform.features;
    assert_eq!((derived[0].version, derived[1].version), (4, 1));
    assert_eq!(derived[0].owner.as_deref(), Some("fraud"));
    assert_eq!(derived[0].default, Some(serde_json::json!(1.5)));
    // The query's only feature keeps its own name.
    let count = "SELECT user_id, COUNT(*) AS n FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' DAY)";
    let mut job = deriving(count, &[], &[("half", "n / 2.0")]);
    job.features = vec![FeatureDefinition { name: "half".to_owned(), ..FeatureDefinition::default() }];
    assert_eq!(planned_job(&job).features[0].name, "n");
    for (data_type, default, said) in [
        (
            Some("string"),
            None,
            "jobs/job.yaml:5:3: `half` is declared string, the expression makes a double of it",
        ),
        (None, Some("x"), "jobs/job.yaml:5:3: the default \"x\" of `half` is not a value of type double"),
    ] {
        job.features[0].data_type = data_type.map(|text| text.parse().unwrap());
        job.features[0].default = default.map(serde_json::Value::from);
        job.features[0].place = (5, 3);
        let found = lines(&plan(&job, &CATALOG).unwrap_err());
        assert!(found.contains(said), "{found}");
    }
}

#[test]
fn a_plan_shows_what_is_derived() {
    let text = explain(&planned_job(&spend(&[("ratio", "amount\n / mean_fare"), ("one", "1")])));
    assert!(text.contains("takes of a request\n  amount double\n  now timestamp\n"), "{text}");
    let shown = text.split("derives when asked  sha256:").nth(1).unwrap();
    assert!(shown.contains("\n  ratio double version 1  sha256:"), "{text}");
    assert!(shown.contains("\n    amount / mean_fare of mean_fare, amount\n"), "{text}");
    assert!(shown.ends_with("\n    1\n"), "{text}");
}

/// (expression, `line:column: message`, as it stands in the file of the job).
const REFUSED: &[(&str, &str)] = &[
    ("amount / mean_fair", "11:18: `mean_fair` is not known; did you mean `mean_fare`?"),
    ("Amount", "11:9: `Amount` is not known; names are case-sensitive: write `amount`"),
    (
        "price * 2",
        "11:9: `price` is neither a feature nor a key of the job, nor a field of its `request`; there is user_id, mean_fare, \
         rides, actions, amount, now, embedding",
    ),
    ("amount / (rides", "11:9: the expression cannot be read: expected ), but found its end"),
    ("amount rides", "11:16: `rides` does not continue the expression; is an operator missing before it?"),
    ("", "11:9: the expression cannot be read: expected an expression, but found its end"),
    (
        "AVG(amount)",
        "11:9: AVG is computed over rows, which a request has none of; write it in the query, and the name of its column \
         here",
    ),
    ("sum_of(amount)", "11:9: function `sum_of` not found; a plugin can bring one"),
    ("twise(rides)", "11:9: function `twise` not found; did you mean `twice`?"),
    ("RAND() * amount", "11:9: `rand` differs from call to call"),
    (
        "rowtime",
        "11:9: a request has no row, and so neither rowtime nor CURRENT_TIMESTAMP; let it bring the time, as in `request: \
         {now: timestamp}`",
    ),
    ("CURRENT_TIMESTAMP", "11:9: a request has no row, and so neither rowtime nor CURRENT_TIMESTAMP"),
    (
        "now - hour_end",
        "11:15: `hour_end` is a bound of the window, which is not served by this name; there is user_id, mean_fare,",
    ),
    ("user_id + 1", "11:9: "),
    ("twice(mean_fare, 1)", "11:9: "),
    ("1 / 0", "11:9: the constant 1 / 0 has no value among bigints"),
    ("risk(*).scor", "11:9: the row has no member `scor`; its members are score, band"),
    ("risk(amount).score", "11:9: "),
    ("twice(*)", "11:9: "),
    ("(SELECT 1)", "11:10: a subquery cannot be used in an expression"),
    ("*", "11:9: "),
];

#[test]
fn what_cannot_be_derived_is_refused_in_its_place() {
    for (text, said) in REFUSED {
        let found = plan(&spend(&[("derived", text)]), &CATALOG).map(|_| ()).unwrap_err();
        let found = lines(&found);
        assert!(found.starts_with(&format!("jobs/job.yaml:{said}")), "{text}\n{found}");
        assert_eq!(found.lines().count(), 1, "{text}\n{found}");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let wrong = spend(&[("a", "amout"), ("b", "("), ("c", "a"), ("d", "nope(d)")]);
    let found = lines(&plan(&wrong, &CATALOG).unwrap_err());
    let places: Vec<&str> = found.lines().map(|line| &line["jobs/job.yaml:".len()..][..5]).collect();
    assert_eq!(places, ["11:9:", "12:9:", "13:9:", "14:9:", "14:14"], "{found}");
    assert!(found.contains("13:9: `a` is a derived feature itself; write its expression here"), "{found}");
    // What cannot be read is told beside what is wrong with the query.
    let found = lines(
        &plan(&deriving("SELECT nope FROM event_user_action", &[], &[("b", "(")]), &CATALOG).unwrap_err(),
    );
    assert_eq!(found.lines().count(), 2, "{found}");
}

#[test]
fn a_name_means_one_thing() {
    let request =
        [("user_id", "string"), ("rides", "bigint"), ("hour_end", "timestamp"), ("twice", "bigint")];
    let transform = [("mean_fare", "1"), ("user_id", "2"), ("twice", "3"), ("fine", "twice")];
    let found = lines(&plan(&deriving(SPEND, &request, &transform), &CATALOG).unwrap_err());
    let expected = [
        "3:3: `request.user_id`: `user_id` is a column of the entity's key; give the field another name",
        "4:3: `request.rides`: `rides` is a result column of the query; give the field another name",
        "5:3: `request.hour_end`: `hour_end` is a result column of the query; give the field another name",
        "11:3: `transform.mean_fare`: `mean_fare` is a result column of the query; give the derived feature another name",
        "12:3: `transform.user_id`: `user_id` is a column of the entity's key; give the derived feature another name",
        "13:3: `transform.twice`: `twice` is a field of the request; give the derived feature another name",
    ];
    assert_eq!(found, expected.map(|line| format!("jobs/job.yaml:{line}")).join("\n"));
}

#[test]
fn a_job_that_has_no_entity_derives_nothing() {
    let text = "SELECT user_id, fare * 2 AS twice FROM event_user_action";
    let found = lines(&plan(&deriving(text, &[], &[("a", "1")]), &CATALOG).unwrap_err());
    assert!(
        found.starts_with("jobs/job.yaml:11:3: `transform`: the job has neither window nor aggregate"),
        "{found}"
    );
}

#[test]
fn a_field_that_nothing_reads_is_warned_of() {
    let notices = plan(&spend(&[("ratio", "amount / mean_fare")]), &CATALOG).unwrap().notices;
    let warnings: Vec<_> =
        notices.iter().filter(|found| found.severity == Severity::Warning).cloned().collect();
    assert_eq!(
        lines(&warnings).replace("jobs/job.yaml:", ""),
        "4:3: warning: `request.now`: nothing in `transform` reads it; leave it out\n\
         5:3: warning: `request.embedding`: nothing in `transform` reads it; leave it out"
    );
}
