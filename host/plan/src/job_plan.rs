//! The plan of a job: data that the engine runs and that can be printed and compared.
//!
//! A row's way through a plan: the decoder's columns -> its input's [`Projection`] (WHERE, then the expressions that the
//! stage needs) -> [`KeyedStage`] (timelines) -> [`Output`] (HAVING, then the query's columns). Without a stage the
//! output reads the projection. Rows of several inputs are one stage's from the projection on.

use crate::catalog::PluginVersion;
use crate::definition::{StreamDefinition, StreamOrigin};
use crate::expression::{COMPONENT_MARK, Expression, components_in};
use crate::state_shape::StateShape;
use crate::transform::Transform;
use arrow_schema::{DataType, Schema, SchemaRef};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use weir_connect::RowShape;
use weir_event::{PartitionId, Span};
use weir_timeline::StageSpec;

/// A job, planned.
#[derive(Debug, Clone)]
pub struct JobPlan {
    /// Its name.
    pub name: String,
    /// The version of its definition.
    pub version: u32,
    /// `sha256:` and the hash of its features' hashes.
    pub definition: String,
    /// What stays the same of its definition when another version of a plugin is activated.
    pub definition_without_components: String,
    /// What its state consists of: a plan goes on from the columns that it has in common with the one that left it.
    pub state_shape: StateShape,
    /// Fingerprint of what its state is made of, for state of a weir that stored no shape: a plan with another one cannot
    /// go on from that.
    pub state_fingerprint: String,
    /// What it reads, in the order of the query's tables: [`PartitionId::source`] is the index of the input. All are
    /// projected to columns of the same types.
    pub inputs: Vec<StreamInput>,
    /// The keyed stage; `None` for a job without window or aggregate.
    pub stage: Option<KeyedStage>,
    /// HAVING and the result columns.
    pub output: Output,
    /// The features, in order of the result columns that are features.
    pub features: Vec<Feature>,
    /// What is computed of them when they are asked for.
    pub transform: Transform,
    /// The plugins that decode what it reads, with the sha256 of the component that did when it was planned.
    pub decoders: BTreeMap<String, String>,
    /// The versions of plugins whose functions it calls, also for what it derives.
    pub versions: Vec<UsedVersion>,
    /// Whether it may begin anew what other versions of its plugins have made of its state; else it is kept from that.
    pub leaves_older_states: bool,
    /// What to do with late rows.
    pub late: Late,
    /// When result rows are written.
    pub emit: Emit,
    /// Lookups say `stale` when the source is further behind.
    pub stale_after: Option<Span>,
    /// How it begins with its streams' archives.
    pub bootstrap: Bootstrap,
    /// Where results go.
    pub sinks: Vec<SinkPlan>,
    /// How far its frames look ahead of a moment, for a job that is for training only: what is asked of it is asked so much
    /// later, over frames that end there, when it has happened.
    pub looks_ahead: Option<Span>,
}

/// A version of a plugin as a job uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedVersion {
    /// Which it is.
    pub of: PluginVersion,
    /// Whether aggregates or keyed logic of it make the job's state, which that version alone can read.
    pub makes_state: bool,
    /// Whether the job's definition names it; else it is the active one, or the one that made the state.
    pub is_pinned: bool,
}

/// A stream as a job reads it.
#[derive(Debug, Clone)]
pub struct StreamInput {
    /// The stream, with its source resolved.
    pub stream: Arc<StreamDefinition>,
    /// Where to read it: the stream's own source, or the one that the job names.
    pub origin: StreamOrigin,
    /// Columns that are decoded, as indices into the stream's schema; the event time is among them.
    pub columns: Vec<usize>,
    /// Index of the event time in `columns`.
    pub event_time: usize,
    /// Index in `columns` of the declared known-time column.
    pub known_time: Option<usize>,
    /// Index in `columns` of the event's id, where the stream names one.
    pub event_id: Option<usize>,
    /// Makes a row of each item of a list, where the query asks for it.
    pub unnest: Option<Unnest>,
    /// WHERE and the projected columns, over `columns`; the projected columns also over those that `unnest` adds.
    pub projection: Projection,
}

/// A list of each event, of which every item is a row.
#[derive(Debug, Clone)]
pub struct Unnest {
    /// The list, over the input's columns.
    pub list: Arc<dyn Expression>,
    /// Whether an item is a record whose fields are the columns that are added; else it is one column itself.
    pub of_fields: bool,
    /// WHERE, as far as it is about the items: over the input's columns and those that are added.
    pub filter: Option<Arc<dyn Expression>>,
}

impl JobPlan {
    /// The input that a partition's rows come from; `None` for a partition of another plan.
    pub fn input_of(&self, partition: PartitionId) -> Option<&StreamInput> {
        self.inputs.get(partition.input())
    }

    /// Whether it begins with the past of a stream.
    pub fn has_archives(&self) -> bool {
        self.inputs.iter().any(|input| input.stream.archive.is_some())
    }

    /// Whether its results call functions of plugins, each of which may go on for as long as its fuel lasts.
    pub fn calls_components(&self) -> bool {
        self.texts().any(|text| text.contains(COMPONENT_MARK))
    }

    /// The hashes of the components that it calls functions of, also for what it derives.
    pub fn function_components(&self) -> BTreeSet<String> {
        let of_results = self.texts().flat_map(|text| components_in(&text));
        of_results.chain(self.transform.components()).collect()
    }

    /// The same, and of those that decode what it reads.
    pub fn components(&self) -> BTreeSet<String> {
        self.function_components().into_iter().chain(self.decoders.values().cloned()).collect()
    }

    /// The hashes of the components that make its state.
    pub fn state_components(&self) -> BTreeSet<String> {
        self.state_texts().flat_map(|text| components_in(&text)).collect()
    }

    /// By plugin, the hash of the component that makes its state.
    pub fn state_made_by(&self) -> BTreeMap<String, String> {
        let making = self.versions.iter().filter(|used| used.makes_state);
        making.map(|used| (used.of.plugin.clone(), used.of.component.clone())).collect()
    }

    /// Whether another plan under its name makes the same values of the same definitions.
    pub fn serves_as(&self, other: &JobPlan) -> bool {
        self.definition == other.definition && self.transform.definition == other.transform.definition
    }

    /// What each expression, aggregate and logic that makes its results is called.
    fn texts(&self) -> impl Iterator<Item = String> {
        let of_items = self.inputs.iter().filter_map(|input| input.unnest.as_ref());
        let of_items = of_items.flat_map(|it| [&it.list].into_iter().chain(&it.filter));
        let projections = self.inputs.iter().map(|input| &input.projection);
        let of_rows = projections.flat_map(|it| it.columns.iter().chain(&it.filter)).chain(of_items);
        let of_results =
            self.output.columns.iter().map(|column| &column.expression).chain(&self.output.filter);
        let scalars = of_rows.chain(of_results).map(|expression| expression.canonical().to_owned());
        scalars.chain(self.state_texts())
    }

    /// What each aggregate and logic is called whose state it keeps.
    fn state_texts(&self) -> impl Iterator<Item = String> {
        let aggregates = self.stage.iter().flat_map(|stage| &stage.spec.aggregates);
        let logic = self.stage.iter().filter_map(|stage| stage.spec.process.as_ref());
        let logic = logic.map(|process| process.logic.card().identity.clone());
        aggregates.map(|aggregate| aggregate.function.card().identity.clone()).chain(logic)
    }

    /// What its result rows look like to its sinks.
    pub fn row_shape(&self) -> RowShape {
        crate::row_shape::row_shape(self)
    }

    /// Names and types of the projected columns, which are of the same types for every input.
    pub fn projected(&self) -> SchemaRef {
        self.inputs.first().map_or_else(|| Arc::new(Schema::empty()), |input| input.projection.schema.clone())
    }
}

/// Rows kept and columns computed before anything is keyed.
#[derive(Debug, Clone)]
pub struct Projection {
    /// WHERE: rows for which it is not true are left out.
    pub filter: Option<Arc<dyn Expression>>,
    /// The projected columns.
    pub columns: Vec<Arc<dyn Expression>>,
    /// Their names and types.
    pub schema: SchemaRef,
}

/// A keyed stage over the projected columns.
#[derive(Debug, Clone)]
pub struct KeyedStage {
    /// Projected columns that make the key, in the order of GROUP BY or PARTITION BY; none: one group for all.
    pub keys: Vec<usize>,
    /// Their names as the entity's.
    pub key_names: Vec<String>,
    /// Their types.
    pub key_types: Vec<DataType>,
    /// Windows and aggregates; its inputs are all projected columns.
    pub spec: Arc<StageSpec>,
    /// Where rows take others back: the aggregate, by index, that counts those that are left. Without any there is no
    /// result.
    pub present: Option<usize>,
    /// Columns of the stage's results, what [`Output`] is bound to: the keys, the aggregates in order, then
    /// for a grid `window_start`, `window_end` (timestamps), for `OVER` the carried columns in order. Of keyed logic: the keys,
    /// the columns of its rows, and their time.
    pub results: SchemaRef,
}

/// The result columns of the query.
#[derive(Debug, Clone)]
pub struct Output {
    /// HAVING, over the stage's results.
    pub filter: Option<Arc<dyn Expression>>,
    /// The columns, in query order.
    pub columns: Vec<Column>,
    /// Their names and types.
    pub schema: SchemaRef,
}

/// One result column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name; `EXPR$i` where the query gives none.
    pub name: String,
    /// What it is for a lookup.
    pub role: ColumnRole,
    /// Its value, over the stage's results (or over the projection where there is no stage).
    pub expression: Arc<dyn Expression>,
}

impl AsRef<dyn Expression> for Column {
    fn as_ref(&self) -> &(dyn Expression + 'static) {
        &*self.expression
    }
}

/// What a result column is for a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnRole {
    /// A column of the entity key (index among the keys).
    Key(usize),
    /// A bound of the window.
    WindowBound,
    /// A plain column of the row.
    Plain,
    /// A feature.
    Feature,
}

/// One served feature.
#[derive(Debug, Clone)]
pub struct Feature {
    /// Its name in lookups.
    pub name: String,
    /// Index of its result column.
    pub column: usize,
    /// Its declared or inferred type.
    pub data_type: weir_event::DataType,
    /// Its version.
    pub version: u32,
    /// `sha256:` and the hash of what makes its value.
    pub definition: String,
    /// What it means.
    pub description: Option<String>,
    /// Who owns it.
    pub owner: Option<String>,
    /// Given when no row is in the window.
    pub default: Option<serde_json::Value>,
}

/// When result rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Emit {
    /// When they are final but for late rows.
    #[default]
    Close,
    /// Also on arrival of rows that change them.
    Change,
    /// As on arrival, at most so often per key, wall time.
    Every(Span),
}

/// How a job begins with the archives of its streams.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bootstrap {
    /// Over how many threads its keys are spread until then; as over later if `None`.
    pub shards: Option<u16>,
    /// What becomes of results until then.
    pub writes: PastWrites,
}

/// What becomes of results that are made of the past.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PastWrites {
    /// They are not written; when the past is read, the current value of each key is.
    #[default]
    Skip,
    /// These sinks get them, and nothing later; the others are treated as with [`PastWrites::Skip`].
    Separate(Vec<String>),
    /// Every sink gets them as well, at this pace, whenever nothing later waits for it. What waits of them is not bounded.
    Smooth(PastPace),
}

/// How fast a sink is given results that are made of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastPace {
    /// The most rows a second; at least 1.
    pub rate: u64,
}

/// What happens to late rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Late {
    /// The policy.
    pub policy: LatePolicy,
    /// How far back results are corrected, behind the partition's watermark.
    pub allow: Span,
}

/// What happens to a row that belongs to a result which is already final for its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LatePolicy {
    /// It counts, and results are written again.
    Correct,
    /// Results already written stay; it counts in windows that are still open.
    Drop,
    /// As drop, and what is dropped goes to the dead letters.
    Divert,
}

/// A sink of a job; its settings are parsed by the connector.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkPlan {
    /// Kind, such as `file`.
    pub kind: String,
    /// Its settings as they stand in the definition.
    pub settings: serde_json::Value,
    /// Name for status and metrics: the kind, with a number where a job has several of a kind.
    pub name: String,
    /// What happens when it is so far behind that its outbox is full.
    pub on_full: OnFull,
    /// Line and column of its kind in the definition, from 1.
    pub stands_at: (u32, u32),
}

/// What happens when a sink that is behind cannot be kept more rows for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFull {
    /// The job waits for it.
    #[default]
    Pause,
    /// It gets no more rows until it is resumed, and the job goes on.
    Suspend,
}
