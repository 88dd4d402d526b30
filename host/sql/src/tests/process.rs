//! Queries over the rows of keyed logic: what they plan to, what they keep of a state, and what is refused.

use super::{CATALOG, job, lines, planned, planned_job, refused};
use crate::{explain, plan};
use arrow_schema::DataType as ArrowType;
use std::sync::Arc;
use weir_event::Span;
use weir_plan::{ColumnRole, Emit, JobPlan};
use weir_timeline::{AggregateError, Events, Frames, KeyedLogic, LogicCard, Parameter, Progress, Turn};

/// `visits(minutes bigint, action text, fare double) -> (rides bigint, actions list of text)`.
#[derive(Debug)]
struct Visits {
    card: LogicCard,
}

impl KeyedLogic for Visits {
    fn card(&self) -> &LogicCard {
        &self.card
    }
    fn on_events(&self, _: Turn<'_>, _: Events<'_>) -> Result<Progress, AggregateError> {
        Err(AggregateError::Broken("is planned only".to_owned()))
    }
    fn on_timers(&self, _: Turn<'_>) -> Result<Progress, AggregateError> {
        Err(AggregateError::Broken("is planned only".to_owned()))
    }
}

/// The columns that it reads.
pub(super) fn arguments(name: &str) -> Option<Vec<String>> {
    (name == "visits").then(|| vec!["action".to_owned(), "fare".to_owned()])
}

pub(super) fn logic(
    component: &str,
    types: &[ArrowType],
    parameters: &[Parameter],
) -> Result<Arc<dyn KeyedLogic>, String> {
    let (&[ArrowType::Utf8View, ArrowType::Float64], &[Parameter::Int(minutes)]) = (&types, &parameters)
    else {
        return Err(format!("visits takes a text and a double, and one whole constant, not {types:?}"));
    };
    let list = ArrowType::List(Arc::new(arrow_schema::Field::new("item", ArrowType::Utf8View, true)));
    let results = vec![("rides".to_owned(), ArrowType::Int64), ("actions".to_owned(), list)];
    let identity = format!("visits(Int({minutes}),text,double)@sha256:{}", component.repeat(32));
    Ok(Arc::new(Visits { card: LogicCard { results, identity } }))
}

const QUERY: &str = "SELECT user_id AS who, rides, CARDINALITY(actions) AS kinds, rowtime AS ended \
                     FROM TABLE(visits(TABLE event_user_action PARTITION BY user_id, 30)) AS v WHERE v.rides > 1";

fn over(from: &str) -> JobPlan {
    planned(&format!("SELECT rides FROM {from}")).plan
}

#[test]
fn what_the_logic_makes_is_what_a_query_reads() {
    let plan = planned(QUERY).plan;
    let stage = plan.stage.as_ref().unwrap();
    assert_eq!((&stage.spec.frames, &stage.key_names), (&Frames::Process, &vec!["user_id".to_owned()]));
    let names: Vec<&str> = stage.results.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["user_id", "rides", "actions", "rowtime"]);
    let roles: Vec<ColumnRole> = plan.output.columns.iter().map(|column| column.role).collect();
    assert_eq!(roles, [ColumnRole::Key(0), ColumnRole::Feature, ColumnRole::Feature, ColumnRole::Plain]);
    assert!(
        plan.output.filter.is_some() && plan.inputs[0].projection.filter.is_none(),
        "WHERE is of its rows"
    );
    let read: Vec<usize> = plan.inputs[0].columns.clone();
    let fields = &plan.inputs[0].stream.schema.fields;
    let read: Vec<&str> = read.iter().map(|column| fields[*column].name.as_str()).collect();
    assert_eq!(read, ["user_id", "action", "fare", "event_time"], "and nothing else is decoded");
    let explained = explain(&plan);
    for part in [
        "through keyed logic",
        "visits(Int(30),text,double)@sha256:aa",
        "-> (rides bigint, actions array<string>)",
    ] {
        assert!(explained.contains(part), "{explained}");
    }
    assert!(plan.calls_components() && plan.components().len() == 1, "{:?}", plan.components());
}

#[test]
fn a_query_inside_from_says_which_events_it_sees() {
    let query = "WITH paid AS (SELECT user_id AS who, UPPER(action) AS action, fare, rowtime FROM event_user_action WHERE fare > 0) \
                 SELECT who, rides FROM TABLE(visits(TABLE paid PARTITION BY (who), 30))";
    let plan = planned(query).plan;
    assert_eq!(plan.stage.as_ref().unwrap().key_names, ["who"]);
    assert!(plan.inputs[0].projection.filter.is_some() && plan.output.filter.is_none());
    let union = "SELECT rides FROM TABLE(visits(TABLE both_of PARTITION BY user_id, 30))";
    let both = "WITH both_of AS (SELECT user_id, action, fare, rowtime FROM event_user_action UNION ALL \
                SELECT feature_name, feature_data, 1.0, rowtime FROM features) ";
    assert_eq!(planned(&format!("{both}{union}")).plan.inputs.len(), 2);
}

#[test]
fn a_state_is_of_its_logic_columns_and_key() {
    let base = over("TABLE(visits(TABLE event_user_action PARTITION BY user_id, 30))");
    let shape = |plan: &JobPlan| (plan.state_shape.rows.clone(), plan.state_shape.ground.clone());
    let renamed = planned("SELECT user_id AS u, rides + 1 AS more FROM TABLE(visits(TABLE event_user_action PARTITION BY user_id, 30)) WHERE rides > 3").plan;
    assert_eq!(shape(&base), shape(&renamed), "what is made of its rows is not part of its state");
    assert_ne!(base.features[0].definition, renamed.features[0].definition);
    for other in [
        "TABLE(visits(TABLE event_user_action PARTITION BY user_id, 31))",
        "TABLE(visits(TABLE event_user_action PARTITION BY geohash, 30))",
    ] {
        assert_ne!(shape(&base), shape(&over(other)), "{other}");
    }
    let kept = Some(Span::from_millis(86_400_000));
    let retained = planned_job(&weir_plan::JobDefinition { retention: kept, ..job(QUERY) });
    assert_ne!(retained.state_shape.rows, planned(QUERY).plan.state_shape.rows);
}

#[test]
fn what_does_not_go_with_it_is_refused_with_what_does() {
    let of = |from: &str| format!("SELECT rides FROM {from}");
    let cases = [
        (of("TABLE(visits(TABLE event_user_action, 30))"), "and PARTITION BY says of which"),
        (of("TABLE(visits(TABLE event_user_action PARTITION BY user_id))"), "one whole constant"),
        (of("TABLE(visits(TABLE event_user_action PARTITION BY user_id, fare))"), "is a constant, such as 30"),
        (of("TABLE(visits(TABLE event_user_action PARTITION BY tags, 30))"), "cannot be a key"),
        (of("TABLE(visits(TABLE event_user_action PARTITION BY UPPER(action), 30))"), "PARTITION BY takes columns here"),
        (of("TABLE(visits(TABLE event_user_action PARTITION BY nobody, 30))"), "has no column `nobody`"),
        (of("TABLE(visits(TABLE features PARTITION BY id, 30))"), "visits reads the column `action`, which `features` does not have"),
        (of("TABLE(visits(TABLE nowhere PARTITION BY id, 30))"), "stream `nowhere` not found"),
        (of("TABLE(visit(TABLE event_user_action PARTITION BY user_id, 30))"), "table function `visit` not found; did you mean `visits`?"),
        (of("TABLE(tumbel(TABLE event_user_action PARTITION BY user_id, 30))"), "did you mean `tumble`?"),
        (of("TABLE(visits(input => TABLE event_user_action PARTITION BY user_id, 30))"), "named arguments are not available"),
        (of("TABLE(visits(TABLE event_user_action PARTITION BY user_id, 30)"), "the brackets of visits do not close"),
        (of("TABLE(visits(TABLE orders PARTITION BY city, 30))"), "does not read changes of a table"),
        ("SELECT fare FROM TABLE(visits(TABLE event_user_action PARTITION BY user_id, 30))".to_owned(), "`visits` has no column `fare`"),
        ("SELECT COUNT(*) AS n FROM TABLE(visits(TABLE event_user_action PARTITION BY user_id, 30))".to_owned(), "COUNT does not go over the rows of visits"),
        ("SELECT rides FROM TABLE(visits(TABLE event_user_action PARTITION BY user_id, 30)) GROUP BY rides".to_owned(), "GROUP BY, HAVING and WINDOW do not go over the rows of visits"),
        ("SELECT rides FROM TABLE(visits(TABLE event_user_action PARTITION BY user_id, 30)) WHERE rides".to_owned(), "WHERE needs a condition"),
        ("SELECT x FROM (SELECT rides AS x FROM TABLE(visits(TABLE event_user_action PARTITION BY user_id, 30)))".to_owned(), "visits is in an inner query"),
        ("WITH t AS (SELECT *, action AS rides FROM event_user_action) SELECT rides FROM TABLE(visits(TABLE t PARTITION BY rides, 30))".to_owned(), "two columns that are called `rides`"),
        ("WITH t AS (SELECT user_id, tags AS action, fare, rowtime FROM event_user_action) SELECT rides FROM TABLE(visits(TABLE t PARTITION BY user_id, 30))".to_owned(), "`action` is of type array<string>, and events cannot be kept with it"),
    ];
    for (query, wanted) in cases {
        let found = refused(&query);
        assert!(found.iter().any(|found| found.contains(wanted)), "{query}\n{found:#?}");
    }
    let changing = weir_plan::JobDefinition { emit: Emit::Change, ..job(QUERY) };
    let found = plan(&changing, &CATALOG).unwrap_err();
    assert!(lines(&found).contains("are written when they are final"), "{}", lines(&found));
}
