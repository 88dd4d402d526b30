//! What queries are planned into.

use super::{CATALOG, job, planned};
use crate::{explain, plan, tables};
use arrow_schema::DataType;
use weir_event::Span;
use weir_plan::{ColumnRole, JobPlan, KeyedStage};
use weir_timeline::{Frames, Grid};

const DAY: i64 = 86_400_000;
const HOUR: i64 = 3_600_000;

fn stage(plan: &JobPlan) -> &KeyedStage {
    plan.stage.as_ref().unwrap()
}

fn columns(plan: &JobPlan) -> Vec<(&str, ColumnRole)> {
    plan.output.columns.iter().map(|column| (column.name.as_str(), column.role)).collect()
}

fn decoded(plan: &JobPlan) -> Vec<&str> {
    let input = &plan.inputs[0];
    input.columns.iter().map(|column| input.stream.schema.fields[*column].name.as_str()).collect()
}

fn grid(plan: &JobPlan) -> (i64, i64, i64) {
    match stage(plan).spec.frames {
        Frames::Grid(Grid { size, slide, offset }) => (size.millis(), slide.millis(), offset.millis()),
        _ => panic!("not a grid"),
    }
}

fn frames(plan: &JobPlan) -> Vec<Option<i64>> {
    match &stage(plan).spec.frames {
        Frames::Over(frames) => frames.iter().map(|frame| frame.reach().map(Span::millis)).collect(),
        _ => panic!("not OVER"),
    }
}

fn identities(plan: &JobPlan) -> Vec<&str> {
    stage(plan).spec.aggregates.iter().map(|of| of.function.card().identity.as_str()).collect()
}

fn plan_of(text: &str) -> JobPlan {
    planned(text).plan
}

#[test]
fn last_actions_of_a_user() {
    let planned = planned(
        "SELECT user_id, TOP(2056, action) OVER (PARTITION BY user_id ORDER BY event_time
      RANGE INTERVAL '90' DAYS PRECEDING) AS client_action_sequence FROM event_user_action",
    );
    let plan = &planned.plan;
    assert!(planned.notices.is_empty());
    assert_eq!(decoded(plan), ["user_id", "action", "event_time"]);
    assert_eq!(plan.inputs[0].event_time, 2);
    assert_eq!(stage(plan).key_names, ["user_id"]);
    assert_eq!(frames(plan), [Some(90 * DAY)]);
    assert_eq!(
        columns(plan),
        [("user_id", ColumnRole::Key(0)), ("client_action_sequence", ColumnRole::Feature)]
    );
    assert_eq!(plan.features[0].data_type.to_string(), "array<string>");
    assert!(matches!(stage(plan).results.field(1).data_type(), DataType::List(_)));
    assert_eq!(plan.output.columns[1].expression.as_column(), Some(1));
}

#[test]
fn events_of_a_geohash_grouped_by_the_entity() {
    let planned = planned(
        "SELECT geohash, COUNT(*) AS total_events, TUMBLE_END(rowtime, INTERVAL '1' hour)
      FROM event_user_action GROUP BY TUMBLE(rowtime, INTERVAL '1' hour)          -- geohash is the entity key",
    );
    let plan = &planned.plan;
    assert_eq!(planned.notices.len(), 1);
    let notice = planned.notices[0].to_string();
    assert!(notice.starts_with("jobs/job.sql:1:8: notice: `geohash` is not in GROUP BY"), "{notice}");
    assert_eq!(decoded(plan), ["geohash", "event_time"]);
    assert_eq!(grid(plan), (HOUR, HOUR, 0));
    assert_eq!(
        columns(plan),
        [
            ("geohash", ColumnRole::Key(0)),
            ("total_events", ColumnRole::Feature),
            ("EXPR$2", ColumnRole::WindowBound)
        ]
    );
    let results = &stage(plan).results;
    let names: Vec<_> = results.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["geohash", "aggregate_0", "window_start", "window_end"]);
    assert_eq!(plan.output.columns[2].expression.as_column(), Some(3));
    assert_eq!(plan.inputs[0].projection.columns.len(), 1);
}

#[test]
fn rides_of_a_passenger_in_either_order_of_hop() {
    let planned = planned(
        "SELECT passenger_id, COUNT(ride_id) FROM event_ride_completed
      GROUP BY passenger_id, HOP(rowtime, INTERVAL '30' DAY, INTERVAL '1' HOUR)",
    );
    assert_eq!(grid(&planned.plan), (30 * DAY, HOUR, 0));
    let notices: Vec<String> = planned.notices.iter().map(ToString::to_string).collect();
    let [unnamed, order] = notices.as_slice() else { panic!("{notices:?}") };
    assert!(
        unnamed.starts_with("jobs/job.sql:1:22: notice: this column has no name of its own"),
        "{unnamed}"
    );
    assert!(order.starts_with("jobs/job.sql:2:30: notice: HOP takes the slide first"), "{order}");
    assert_eq!(columns(&planned.plan)[1], ("EXPR$1", ColumnRole::Feature));
    let other = super::planned(
        "SELECT passenger_id, COUNT(ride_id) FROM event_ride_completed
         GROUP BY passenger_id, HOP(done_at, INTERVAL 1 HOURS, INTERVAL '30' DAYS)",
    );
    assert_eq!(other.notices.len(), 1);
    assert_eq!(other.plan.definition, planned.plan.definition);
}

#[test]
fn rows_without_a_window() {
    let plan = plan_of(
        "SELECT CONCAT_WS(' ', feature_name, version, id), feature_data,
      CONCAT_WS(' ', feature_name, version) AS feature_definition, occurred_at FROM features",
    );
    assert!(plan.stage.is_none());
    assert_eq!(
        columns(&plan),
        [
            ("EXPR$0", ColumnRole::Feature),
            ("feature_data", ColumnRole::Plain),
            ("feature_definition", ColumnRole::Feature),
            ("occurred_at", ColumnRole::Plain)
        ]
    );
    assert!(plan.output.columns.iter().all(|column| column.expression.as_column().is_some()));
    assert_eq!(plan.output.schema.field(0).data_type(), &DataType::Utf8View);
}

#[test]
fn windows_with_offsets_bounds_and_having() {
    let plan = plan_of(
        "SELECT TUMBLE_START(event_time, INTERVAL '1' DAY, INTERVAL '-6' HOUR) AS s,
                TUMBLE_ROWTIME(rowtime, INTERVAL '24' HOUR, INTERVAL 18 HOUR) AS r,
                SUM(fare) / COUNT(*) AS mean, SUM(fare) AS total
         FROM event_user_action AS e WHERE e.action = 'ride' AND fare > 1
         GROUP BY TUMBLE(rowtime, INTERVAL '1' DAY, INTERVAL '-6' HOUR), UPPER(user_id)
         HAVING COUNT(*) > 3",
    );
    assert_eq!(grid(&plan), (DAY, DAY, 18 * HOUR));
    assert_eq!(stage(&plan).key_names, ["key_0"]);
    assert_eq!(stage(&plan).spec.aggregates.len(), 2, "the same aggregate is computed once");
    let roles: Vec<_> = columns(&plan).into_iter().map(|(_, role)| role).collect();
    assert_eq!(
        roles,
        [ColumnRole::WindowBound, ColumnRole::WindowBound, ColumnRole::Feature, ColumnRole::Feature]
    );
    assert_eq!(plan.output.schema.field(1).data_type(), plan.output.schema.field(0).data_type());
    assert!(plan.inputs[0].projection.filter.is_some() && plan.output.filter.is_some());
}

#[test]
fn several_frames_and_named_windows_of_one_partition() {
    let plan = plan_of(
        "SELECT event_id, user_id, rowtime, UPPER(action) AS upper_action, fare - AVG(fare) OVER w AS above,
            COUNT(*) FILTER (WHERE action = 'ride') OVER (w RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW),
            COUNT(DISTINCT ride_id) OVER (PARTITION BY user_id ORDER BY rowtime) AS rides,
            LAST_VALUE(action) OVER w AS `last action`
         FROM event_user_action WINDOW w AS (PARTITION BY user_id ORDER BY rowtime RANGE INTERVAL '7' DAY PRECEDING)",
    );
    assert_eq!(frames(&plan), [Some(7 * DAY), Some(HOUR), None]);
    assert_eq!(stage(&plan).spec.aggregates[1].frame, 1);
    assert!(stage(&plan).spec.aggregates[1].filter.is_some());
    assert_eq!(stage(&plan).spec.carried.len(), 4, "event_id, event_time, UPPER(action), fare");
    assert_eq!(
        columns(&plan)[..5],
        [
            ("event_id", ColumnRole::Plain),
            ("user_id", ColumnRole::Key(0)),
            ("rowtime", ColumnRole::Plain),
            ("upper_action", ColumnRole::Feature),
            ("above", ColumnRole::Feature)
        ]
    );
    assert_eq!(columns(&plan)[5].0, "EXPR$5");
    assert_eq!(columns(&plan)[7].0, "last action");
}

#[test]
fn plugins_constants_and_top() {
    let plan = plan_of(
        "SELECT user_id, decayed(0.5, fare) AS d, TOP(5, twice(event_id), 'desc') AS t, COUNT(1) AS n, COUNT(*) AS m,
            SUM(CASE WHEN seats > 1 THEN 1 ELSE 0 END) AS shared
         FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '90' MINUTE)",
    );
    assert_eq!(identities(&plan).len(), 4, "COUNT(1) is COUNT(*)");
    assert!(
        plan.inputs[0].projection.columns.iter().any(|column| column.canonical().contains("twice@sha256:aa"))
    );
}

#[test]
fn a_top_first_in_the_query_and_lower_case_words() {
    let plan = plan_of(
        "select top(3, `action`), user_id from event_user_action /* all */ group by tumble(rowtime, interval '1' day)
         , user_id;",
    );
    assert_eq!(columns(&plan), [("EXPR$0", ColumnRole::Feature), ("user_id", ColumnRole::Key(0))]);
}

#[test]
fn explained_for_people() {
    let text = explain(&plan_of(
        "SELECT user_id, COUNT(ride_id) AS rides FROM event_user_action WHERE fare > 2
         GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
    ));
    for part in [
        "reads event_user_action from file",
        "event_time timestamp  event time",
        "keeps rows where",
        "by key\n  user_id string",
        "in windows of 1h every 1h",
        "0: count(",
        "exact; memory per key bounded; NULLs: ",
        "rides bigint  feature",
        "version 1  sha256:",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn tables_are_named_without_a_catalog() {
    assert_eq!(tables(&job("SELECT a FROM user_activities AS u").query).unwrap(), ["user_activities"]);
    assert!(tables(&job("SELECT a FROM t JOIN s").query).is_err());
}

#[test]
fn places_are_places_in_the_file() {
    let mut definition = job("SELECT user_id,\n  nope FROM event_user_action");
    (definition.query.line, definition.query.indent) = (10, 4);
    let found = plan(&definition, &CATALOG).unwrap_err();
    assert_eq!((found[0].line, found[0].column), (11, 7));
}
