//! Queries against a small catalog in memory.

mod aggregates;
mod changes;
mod features;
mod flink_functions;
mod frames;
mod group_windows;
mod habits;
mod hashes;
mod labels;
mod process;
mod queries;
mod refusals;
mod transform;
mod types;
mod values;
mod views;

use crate::{Planned, plan};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{ArrayRef, Float64Array, Int64Array, StringViewArray, StructArray};
use arrow_schema::{DataType as ArrowType, Field as ArrowField};
use std::sync::Arc;
use weir_event::{DataType, Field, Span, StreamSchema};
use weir_plan::definition::{Query, WhenIdle};
use weir_plan::diagnostic::Severity;
use weir_plan::{
    Catalog, Emit, ExpressionError, FunctionCatalog, JobDefinition, JobPlan, Late, LatePolicy, Masks,
    ScalarFunction, StreamDefinition, StreamOrigin, TransformFunction,
};
use weir_timeline::{Aggregate, KeyedLogic, Parameter, builtin};

fn stream(name: &str, columns: &[(&str, &str)], event_time: &str) -> Arc<StreamDefinition> {
    let fields: Vec<_> = columns
        .iter()
        .map(|(name, data_type)| Field::named(name, data_type.parse::<DataType>().unwrap()))
        .collect();
    let event_time = fields.iter().position(|field| field.name == event_time).unwrap();
    Arc::new(StreamDefinition {
        name: name.to_owned(),
        schema: StreamSchema { fields, event_time },
        disorder: Span::from_millis(30_000),
        idle_after: Span::from_millis(60_000),
        when_idle: WhenIdle::Advance,
        max_future: Span::from_millis(3_600_000),
        max_skew: None,
        dedup: None,
        known_time: None,
        format: weir_plan::FormatDefinition::default(),
        origin: Some(StreamOrigin { kind: "file".to_owned(), settings: serde_json::Value::Null }),
        archive: None,
    })
}

/// Streams of the queries in the documentation, plugins with a scalar function, one for lookups, an aggregate and keyed logic.
#[derive(Debug)]
pub(crate) struct Memory {
    plugin_sha: &'static str,
}

/// `twice(bigint)`: fails on odd rows' negative numbers, as a plugin that traps.
#[derive(Debug)]
struct Twice {
    identity: String,
}

impl ScalarFunction for Twice {
    fn name(&self) -> &'static str {
        "twice"
    }
    fn arguments(&self) -> &[ArrowType] {
        &[ArrowType::Int64]
    }
    fn result(&self) -> &ArrowType {
        &ArrowType::Int64
    }
    fn identity(&self) -> &str {
        &self.identity
    }
    fn call(&self, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef, ExpressionError> {
        assert_eq!(arguments[0].len(), rows);
        let values = arguments[0].as_primitive::<Int64Type>();
        if values.iter().flatten().any(|value| value < 0) {
            return Err(ExpressionError::Rows("twice: trapped on a negative number".to_owned()));
        }
        Ok(Arc::new(values.iter().map(|value| value.map(|value| value * 2)).collect::<Int64Array>()))
    }
}

/// `risk(amount double, rides bigint) -> (score double, band string)`: amount over rides, and whether that is high.
#[derive(Debug)]
struct Risk {
    identity: String,
    arguments: [ArrowType; 2],
    result: ArrowType,
}

impl Risk {
    fn of(plugin_sha: &str) -> Risk {
        let field = |name: &str, data_type| ArrowField::new(name, data_type, true);
        let result = ArrowType::Struct(
            [field("score", ArrowType::Float64), field("band", ArrowType::Utf8View)].into_iter().collect(),
        );
        Risk {
            identity: format!("risk@{plugin_sha}"),
            arguments: [ArrowType::Float64, ArrowType::Int64],
            result,
        }
    }
}

impl ScalarFunction for Risk {
    fn name(&self) -> &'static str {
        "risk"
    }
    fn arguments(&self) -> &[ArrowType] {
        &self.arguments
    }
    fn result(&self) -> &ArrowType {
        &self.result
    }
    fn identity(&self) -> &str {
        &self.identity
    }
    fn call(&self, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef, ExpressionError> {
        let (amounts, rides) =
            (arguments[0].as_primitive::<Float64Type>(), arguments[1].as_primitive::<Int64Type>());
        let score = |row| amounts.value(row) / rides.value(row) as f64;
        let scores: Float64Array = (0..rows).map(score).collect::<Vec<_>>().into();
        let bands: Vec<_> =
            scores.values().iter().map(|score| if *score > 1.0 { "high" } else { "low" }).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(scores), Arc::new(StringViewArray::from(bands))];
        let ArrowType::Struct(fields) = &self.result else { unreachable!("it is made so") };
        Ok(Arc::new(StructArray::new(fields.clone(), columns, None)))
    }
}

impl Catalog for Memory {
    fn stream(&self, name: &str) -> Option<Arc<StreamDefinition>> {
        match name {
            "event_user_action" => Some(stream(
                name,
                &[
                    ("event_id", "bigint"),
                    ("user_id", "string"),
                    ("action", "string"),
                    ("geohash", "string"),
                    ("ride_id", "string"),
                    ("fare", "double"),
                    ("seats", "int"),
                    ("tags", "array<string>"),
                    ("place", "row<lat double, lon double>"),
                    ("event_time", "timestamp"),
                    ("limit", "bigint"),
                ],
                "event_time",
            )),
            "event_ride_completed" => Some(stream(
                name,
                &[("passenger_id", "bigint"), ("ride_id", "string"), ("done_at", "timestamp")],
                "done_at",
            )),
            "trades" => Some(stream(
                name,
                &[
                    ("account", "string"),
                    ("price", "decimal(10, 2)"),
                    ("size", "decimal(20, 6)"),
                    ("qty", "bigint"),
                    ("day", "date"),
                    ("info", "json"),
                    ("infos", "array<json>"),
                    ("at", "timestamp"),
                ],
                "at",
            )),
            "orders" => {
                let columns = [
                    ("id", "bigint"),
                    ("city", "string"),
                    ("fare", "double"),
                    ("seats", "int"),
                    ("tags", "array<string>"),
                    ("at", "timestamp"),
                ];
                let rows = Arc::unwrap_or_clone(stream(name, &columns, "at"));
                Some(Arc::new(StreamDefinition { schema: rows.schema.clone().with_taken_back(), ..rows }))
            }
            "features" => Some(stream(
                name,
                &[
                    ("feature_name", "string"),
                    ("version", "int"),
                    ("id", "bigint"),
                    ("feature_data", "string"),
                    ("occurred_at", "timestamp"),
                ],
                "occurred_at",
            )),
            _ => None,
        }
    }

    fn stream_names(&self) -> Vec<String> {
        ["event_user_action", "event_ride_completed", "features", "trades"].map(str::to_owned).to_vec()
    }

    fn functions(&self) -> &dyn FunctionCatalog {
        self
    }
}

impl FunctionCatalog for Memory {
    fn scalar(&self, _job: &str, name: &str) -> Option<Arc<dyn ScalarFunction>> {
        let identity = format!("twice@{}", self.plugin_sha);
        (name == "twice").then(|| Arc::new(Twice { identity }) as Arc<dyn ScalarFunction>)
    }

    fn scalar_names(&self) -> Vec<String> {
        vec!["twice".to_owned()]
    }

    fn transform(&self, _job: &str, name: &str) -> Option<TransformFunction> {
        let arguments = vec!["amount".to_owned(), "rides".to_owned()];
        let function = Arc::new(Risk::of(self.plugin_sha));
        (name == "risk").then_some(TransformFunction { arguments, function })
    }

    fn transform_names(&self) -> Vec<String> {
        vec!["risk".to_owned()]
    }

    fn has_aggregate(&self, name: &str) -> bool {
        name == "decayed"
    }

    fn aggregate(
        &self,
        _job: &str,
        _name: &str,
        arguments: &[ArrowType],
        parameters: &[Parameter],
    ) -> Result<Arc<dyn Aggregate>, String> {
        match (arguments, parameters) {
            ([ArrowType::Float64], [Parameter::Double(_)]) => {
                builtin("SUM", false, arguments, &[]).map_err(|error| error.to_string())
            }
            _ => Err("decayed takes a double constant and a double".to_owned()),
        }
    }

    fn aggregate_names(&self) -> Vec<String> {
        vec!["decayed".to_owned()]
    }

    fn logic_arguments(&self, name: &str) -> Option<Vec<String>> {
        process::arguments(name)
    }

    fn logic(
        &self,
        _job: &str,
        _name: &str,
        arguments: &[ArrowType],
        parameters: &[Parameter],
    ) -> Result<Arc<dyn KeyedLogic>, String> {
        process::logic(&self.plugin_sha[7..], arguments, parameters)
    }

    fn logic_names(&self) -> Vec<String> {
        vec!["visits".to_owned()]
    }
}

pub(crate) const CATALOG: Memory = Memory { plugin_sha: "sha256:aa" };

fn job(text: &str) -> JobDefinition {
    let late = Late { policy: LatePolicy::Correct, allow: Span::from_millis(3_600_000) };
    JobDefinition {
        name: "job".to_owned(),
        version: 1,
        file: "jobs/job.yaml".to_owned(),
        query: Query { text: text.to_owned(), file: "jobs/job.sql".to_owned(), line: 1, indent: 0 },
        features: Vec::new(),
        request: Vec::new(),
        transform: Vec::new(),
        late,
        emit: Emit::Close,
        history: Span::from_millis(3_600_000),
        retention: None,
        tail: None,
        stale_after: None,
        bootstrap: weir_plan::Bootstrap::default(),
        sinks: Vec::new(),
        origin: None,
        pins: std::collections::BTreeMap::new(),
        state_made_by: std::collections::BTreeMap::new(),
        masks: Masks::default(),
    }
}

fn planned(text: &str) -> Planned {
    plan(&job(text), &CATALOG).unwrap_or_else(|found| panic!("{text}\n{}", lines(&found)))
}

fn planned_job(job: &JobDefinition) -> JobPlan {
    plan(job, &CATALOG).unwrap_or_else(|found| panic!("{}", lines(&found))).plan
}

fn lines(found: &[weir_plan::Diagnostic]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The errors of a query, as text.
fn refused(text: &str) -> Vec<String> {
    match plan(&job(text), &CATALOG) {
        Ok(_) => panic!("planned: {text}"),
        Err(found) => {
            found.iter().filter(|found| found.severity == Severity::Error).map(ToString::to_string).collect()
        }
    }
}
