//! Declared features.

use super::{CATALOG, job, lines, planned_job};
use crate::plan;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMillisecondArray};
use std::sync::Arc;
use weir_plan::definition::FeatureDefinition;
use weir_plan::{ExpressionError, JobDefinition};

fn declared(text: &str, features: &[(&str, Option<&str>)]) -> JobDefinition {
    let mut job = job(text);
    job.features = features
        .iter()
        .map(|(name, data_type)| FeatureDefinition {
            name: (*name).to_owned(),
            data_type: data_type.map(|text| text.parse().unwrap()),
            place: (4, 3),
            ..FeatureDefinition::default()
        })
        .collect();
    job
}

const COUNT: &str = "SELECT geohash, COUNT(*) AS n FROM event_user_action
    GROUP BY geohash, TUMBLE(rowtime, INTERVAL '1' HOUR)";

#[test]
fn a_single_feature_takes_the_single_value_and_narrows_it_with_a_check() {
    let plan = planned_job(&declared(COUNT, &[("user_activity_per_geohash", Some("int"))]));
    assert_eq!(plan.features[0].name, "user_activity_per_geohash");
    assert_eq!(plan.output.columns[1].name, "n", "the sink's column keeps its name");
    let results = plan.stage.unwrap().results;
    let evaluate = |count: i64| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringViewArray::from(vec!["u"])),
            Arc::new(Int64Array::from(vec![count])),
            Arc::new(TimestampMillisecondArray::from(vec![0])),
            Arc::new(TimestampMillisecondArray::from(vec![1])),
        ];
        let batch = RecordBatch::try_new(results.clone(), columns).unwrap();
        plan.output.columns[1].expression.evaluate(&batch)
    };
    assert_eq!(evaluate(7).unwrap().as_primitive::<Int32Type>().value(0), 7);
    assert!(matches!(evaluate(3_000_000_000), Err(ExpressionError::Rows(_))));
}

#[test]
fn what_a_declaration_says_is_kept() {
    let text = "SELECT geohash, COUNT(*) AS n, SUM(fare) AS s FROM event_user_action
        GROUP BY geohash, TUMBLE(rowtime, INTERVAL '1' HOUR)";
    let mut job = declared(text, &[("s", None)]);
    job.version = 3;
    job.features[0].version = Some(2);
    job.features[0].default = Some(serde_json::json!(0));
    let plan = planned_job(&job);
    let served: Vec<_> =
        plan.features.iter().map(|feature| (feature.name.as_str(), feature.version)).collect();
    assert_eq!(served, [("n", 3), ("s", 2)]);
    assert_eq!(plan.features[1].data_type.to_string(), "double");
    assert_ne!(plan.features[0].definition, plan.features[1].definition);
}

#[test]
fn declarations_that_do_not_fit_are_refused() {
    let two = "SELECT geohash, COUNT(*) AS total_events, SUM(fare) AS s FROM event_user_action
        GROUP BY geohash, TUMBLE(rowtime, INTERVAL '1' HOUR)";
    for (text, features, expected) in [
        (
            two,
            vec![("total_event", None)],
            "jobs/job.yaml:4:3: the query has no column `total_event`; did you mean `total_events`?",
        ),
        (two, vec![("geohash", None)], "`geohash` is a column of the entity's key, not a feature"),
        (two, vec![("s", Some("int"))], "`s` is declared int, the query makes a double of it"),
        (COUNT, vec![("n", Some("string"))], "`n` is declared string, the query makes a bigint of it"),
    ] {
        let found = plan(&declared(text, &features), &CATALOG).unwrap_err();
        assert!(lines(&found).contains(expected), "{}", lines(&found));
    }
    let mut job = declared(COUNT, &[("n", None)]);
    job.features[0].default = Some(serde_json::json!("none"));
    let found = plan(&job, &CATALOG).unwrap_err();
    assert!(lines(&found).contains("is not a value of type bigint"), "{}", lines(&found));
}
