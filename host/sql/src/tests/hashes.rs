//! What changes a hash or the name of a state's column, and what does not.

use super::{Memory, job, planned};
use crate::plan;
use weir_event::Span;

const BASE: &str = "SELECT user_id, SUM(fare) AS total FROM event_user_action WHERE seats > 1 AND fare < 9
    GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)";

#[test]
fn spelling_does_not_change_a_hash() {
    let base = planned(BASE).plan;
    for text in [
        "select e.user_id, sum(`fare`) as other_name -- comment
         from event_user_action e where (seats > 1) and fare < 9
         group by user_id, tumble(event_time, interval '60' minutes)",
        "SELECT SUM(fare) AS total, user_id AS u FROM event_user_action WHERE seats > 1 AND fare < 9
         GROUP BY user_id, TUMBLE(rowtime, INTERVAL '3600' SECOND)",
    ] {
        let plan = planned(text).plan;
        assert_eq!(plan.definition, base.definition, "{text}");
        assert_eq!(plan.state_fingerprint, base.state_fingerprint, "{text}");
    }
    let mut renamed = job(BASE);
    renamed.name = "another".to_owned();
    renamed.version = 2;
    assert_eq!(super::planned_job(&renamed).definition, base.definition);
}

#[test]
fn meaning_changes_a_hash() {
    let base = planned(BASE).plan;
    for text in [
        BASE.replace("seats > 1", "seats > 2"),
        BASE.replace("SUM(fare)", "SUM(fare + 1)"),
        BASE.replace("SUM(fare)", "MAX(fare)"),
        BASE.replace("'1' HOUR", "'2' HOUR"),
        BASE.replace("SUM(fare)", "SUM(fare) FILTER (WHERE action = 'x')"),
        BASE.replace("user_id", "geohash"),
    ] {
        let plan = planned(&text).plan;
        assert_ne!(plan.definition, base.definition, "{text}");
        assert_ne!(plan.state_fingerprint, base.state_fingerprint, "{text}");
    }
    let doubled = planned(&BASE.replace("SUM(fare) AS", "2 * SUM(fare) AS")).plan;
    assert_ne!(doubled.definition, base.definition);
    assert_eq!(doubled.state_fingerprint, base.state_fingerprint, "the state is the same");
    let mut late = job(BASE);
    late.late.allow = Span::from_millis(5);
    assert_ne!(super::planned_job(&late).definition, base.definition);
}

#[test]
fn a_plugin_changes_a_hash_by_its_component() {
    let text = "SELECT twice(event_id) AS t FROM event_user_action";
    let hash = |plugin_sha| plan(&job(text), &Memory { plugin_sha }).unwrap().plan.definition;
    assert_eq!(hash("sha256:aa"), hash("sha256:aa"));
    assert_ne!(hash("sha256:aa"), hash("sha256:bb"));
}

#[test]
fn a_feature_does_not_depend_on_its_neighbours() {
    let over = |more: &str| {
        let text = format!(
            "SELECT {more} COUNT(*) OVER (PARTITION BY user_id ORDER BY rowtime RANGE INTERVAL '1' DAY PRECEDING) AS n
             FROM event_user_action"
        );
        planned(&text).plan
    };
    let alone = over("");
    let beside =
        over("SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime RANGE INTERVAL '2' DAY PRECEDING) AS s,");
    assert_eq!(alone.features[0].definition, beside.features[1].definition);
    assert_ne!(alone.definition, beside.definition);
    assert_ne!(alone.state_fingerprint, beside.state_fingerprint);
}

/// A query's state: what names its rows, and the names of its aggregates' states.
fn shape(text: &str) -> (String, Vec<String>) {
    let shape = planned(text).plan.state_shape;
    (shape.rows, shape.aggregates.into_iter().map(|aggregate| aggregate.name).collect())
}

#[test]
fn an_aggregate_keeps_its_name_beside_others_and_under_any_alias() {
    let base = BASE.replace("SUM(fare) AS total", "SUM(fare) AS total, COUNT(*) AS n");
    let (rows, names) = shape(&base);
    for (text, order) in [
        (BASE.to_owned(), &[0][..]),
        (BASE.replace("SUM(fare) AS total", "COUNT(*) AS rides, SUM(fare) AS s"), &[1, 0]),
        (BASE.replace("SUM(fare) AS total", "2 * SUM(fare) / COUNT(*) AS mean"), &[0, 1]),
    ] {
        let expected: Vec<String> = order.iter().map(|at| names[*at].clone()).collect();
        assert_eq!(shape(&text), (rows.clone(), expected), "{text}");
    }
    let (filtered_rows, filtered) =
        shape(&base.replace("SUM(fare)", "SUM(fare) FILTER (WHERE action = 'x')"));
    assert_eq!((&filtered_rows, &filtered[1]), (&rows, &names[1]));
    assert_ne!(filtered[0], names[0]);
    for text in [
        base.replace("seats > 1", "seats > 2"),
        base.replace("'1' HOUR", "'2' HOUR"),
        base.replace("TUMBLE(rowtime,", "HOP(rowtime, INTERVAL '1' MINUTE,"),
    ] {
        let (other_rows, others) = shape(&text);
        assert_ne!(other_rows, rows, "{text}");
        assert!(others.iter().all(|other| !names.contains(other)), "{text}");
    }
}

#[test]
fn frames_of_over_share_what_is_kept_of_rows() {
    let over = |what: &str, frame: &str| {
        let text = format!(
            "SELECT user_id, {what} OVER (PARTITION BY user_id ORDER BY rowtime {frame}) AS x FROM event_user_action"
        );
        planned(&text).plan
    };
    let day = over("SUM(fare)", "RANGE INTERVAL '1' DAY PRECEDING");
    for other in
        [over("SUM(fare)", "RANGE INTERVAL '2' DAY PRECEDING"), over("SUM(fare)", "ROWS 3 PRECEDING")]
    {
        assert_eq!(other.state_shape.inputs, day.state_shape.inputs);
        assert_eq!(other.state_shape.rows, day.state_shape.rows);
        assert_eq!(other.state_shape.aggregates[0].name, day.state_shape.aggregates[0].name);
        assert_ne!(other.state_shape.aggregates[0].frame, day.state_shape.aggregates[0].frame);
    }
    let other = over("SUM(fare + 1)", "RANGE INTERVAL '1' DAY PRECEDING");
    assert_ne!(other.state_shape.inputs, day.state_shape.inputs);
}

#[test]
fn what_a_state_stands_on_is_told_in_words() {
    let plan = planned(BASE).plan;
    let words = |what: &str| plan.state_shape.ground[what].words.clone();
    assert_eq!(
        [words("key"), words("stream"), words("event time")],
        ["user_id string", "`event_user_action`", "`event_time`"]
    );
    let joined = "SELECT a.user_id, b.action FROM event_user_action AS a LAST JOIN event_user_action AS b ON a.user_id = b.user_id";
    assert_eq!(
        planned(joined).plan.state_shape.ground["stream"].words,
        "`event_user_action` and, by LAST JOIN, `event_user_action`"
    );
    let renamed = planned(&BASE.replace("SELECT user_id,", "SELECT user_id AS u,")).plan;
    let identity = |plan: &weir_plan::JobPlan| plan.state_shape.ground["key"].identity.clone();
    assert_eq!(identity(&renamed), identity(&plan));
    assert_ne!(identity(&planned(&BASE.replace("user_id", "geohash")).plan), identity(&plan));
}

#[test]
fn a_plan_knows_of_calls_of_components_wherever_they_stand() {
    let calls = |select: &str, from: &str| {
        let text = format!(
            "SELECT user_id, {select} AS x FROM event_user_action {from} GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)"
        );
        planned(&text).plan.calls_components()
    };
    let unnest = "CROSS JOIN UNNEST(array_append(tags, CAST(twice(event_id) AS VARCHAR))) AS t(tag)";
    for (select, from) in [
        ("SUM(twice(event_id))", ""),
        ("COUNT(*) FILTER (WHERE twice(event_id) > 2)", ""),
        ("twice(COUNT(*))", ""),
        ("COUNT(*)", "WHERE twice(event_id) > 2"),
        ("COUNT(tag)", unnest),
        ("COUNT(*)", unnest),
    ] {
        assert!(calls(select, from), "{select} {from}");
    }
    assert!(!calls("COUNT(tag)", "CROSS JOIN UNNEST(tags) AS t(tag)"));
}
