//! From a job's definition to its plan: the stages of planning, in order.
//!
//! This file is the table of contents; what each stage knows is in the file that it calls.

use crate::aggregates::Aggregates;
use crate::changes::{Changed, check_changes};
use crate::expressions::{Bound, Functions, Scope, ScopeColumn, type_name};
use crate::features::features;
use crate::grouping::{grouping, project_keys};
use crate::hashes::Common;
use crate::inputs::Reading;
use crate::labels;
use crate::last_join::Join;
use crate::parse::{Item, Parsed, parse};
use crate::process;
use crate::relation::{Making, Relation, all_of};
use crate::report::{Refusal, Report, START};
use crate::resolution::resolve_names;
use crate::results::{is_column, result_expression};
use crate::stage::{Rows, Stage, StageWindows};
use crate::state::{state_fingerprint, state_shape};
use crate::syntax::place;
use crate::transform;
use crate::views::PARTS_LIMIT;
use crate::warnings::{note_unnamed, warn};
use arrow_schema::{DataType, Field, Schema};
use sqlparser::ast::Expr;
use sqlparser::tokenizer::Location;
use std::cell::Cell;
use std::sync::Arc;
use weir_event::Span;
use weir_event::suggestion::nearest;
use weir_plan::{
    Catalog, Column, ColumnRole, Diagnostic, Emit, Expression, JobDefinition, JobPlan, KeyedStage,
    LatePolicy, Output, Transform,
};
use weir_timeline::{Frames, SpecError, StageSpec};

/// A plan, and what its author may want to know of how the query was understood.
#[derive(Debug)]
pub struct Planned {
    /// The plan.
    pub plan: JobPlan,
    /// Notices and warnings, in order of place.
    pub notices: Vec<Diagnostic>,
}

/// A result column on its way into the plan.
#[derive(Debug, Clone)]
pub(crate) struct ResultColumnPlan {
    pub(crate) name: String,
    pub(crate) role: ColumnRole,
    /// Its expression over the results of the stage, or over the projection where there is no stage.
    pub(crate) bound: Bound,
}

/// Plans a job's query. Errors are all that is wrong with it (and with the job's features), each with its place in
/// the file that holds it, in order of place; notices may be among them.
pub fn plan(job: &JobDefinition, catalog: &dyn Catalog) -> Result<Planned, Vec<Diagnostic>> {
    stacker::grow(STACK_BYTES, || {
        let mut report = Report::new(&job.query);
        let mut plan = plan_query(job, catalog, &mut report);
        let written = transform::read(job, &mut report);
        if let Some(plan) = &mut plan {
            plan.transform = transform::derive(written, (job, plan), catalog, &mut report);
        }
        match plan {
            Some(plan) if !report.has_errors() => Ok(Planned { plan, notices: report.into_diagnostics() }),
            _ => Err(report.into_diagnostics()),
        }
    })
}

/// Planning recurses over the query's tree, whose depth is bounded: so much is enough for the deepest even where code
/// is not optimised, and only what is touched is ever taken. The caller's thread, which may be one of another program,
/// goes on there for as long; planning has no thread of its own.
const STACK_BYTES: usize = 32 << 20;

fn plan_query(job: &JobDefinition, catalog: &dyn Catalog, report: &mut Report<'_>) -> Option<JobPlan> {
    let mut parsed = match parse(&job.query.text) {
        Ok(parsed) => parsed,
        Err(refusals) => {
            report.refuse_all(refusals);
            return None;
        }
    };
    let functions = Functions::new(catalog.functions(), &job.name);
    let aggregates = Aggregates { catalog: catalog.functions(), job: &job.name };
    let parts_left = Cell::new(PARTS_LIMIT);
    let unnests = std::mem::take(&mut parsed.unnests);
    let making = Making {
        catalog,
        functions: &functions,
        aggregates: &aggregates,
        parts_left: &parts_left,
        unnests: &unnests,
    };
    let relation = making.relation(&parsed.base, report)?;
    let event_time = relation.schema.fields.get(relation.schema.event_time)?.name.clone();
    if let Some(join) = &relation.join {
        join.rename(&mut parsed, report);
    }
    let named = Named { job, relation, functions: &functions, aggregates: &aggregates, event_time };
    let names = making.names(&named.relation.name, &named.relation.schema);
    if let Some(call) = parsed.process.take() {
        return process::plan(&named, &call, parsed, &names, report);
    }
    let misnamed = resolve_names(&mut parsed, &names, report);
    if !report.has_errors() {
        return named.plan(parsed, report);
    }
    if let Some(misnamed) = misnamed {
        named.say_the_rest(parsed, &misnamed, report);
    }
    None
}

/// What a query's names mean.
pub(crate) struct Named<'n> {
    pub(crate) job: &'n JobDefinition,
    pub(crate) relation: Relation,
    pub(crate) functions: &'n Functions<'n>,
    pub(crate) aggregates: &'n Aggregates<'n>,
    pub(crate) event_time: String,
}

impl Named<'_> {
    /// Plans the result columns whose names were found for the sake of what is wrong with them: whoever mends a name
    /// is not to meet the next error only then.
    fn say_the_rest(&self, mut parsed: Parsed, misnamed: &[usize], report: &mut Report<'_>) {
        let starts: Vec<Location> = parsed.items.iter().map(|item| item.at).collect();
        let items = std::mem::take(&mut parsed.items).into_iter().enumerate();
        let (sound, kept): (Vec<usize>, Vec<Item>) =
            items.filter(|(index, _)| !misnamed.contains(index)).unzip();
        if sound.is_empty() {
            return;
        }
        parsed.items = kept;
        // Names in the conditions may be among those that were not found.
        parsed.filter = None;
        parsed.inner_filters.clear();
        let end = parsed.base.at();
        let mut rest = Report::new(&self.job.query);
        self.plan(parsed, &mut rest);
        for index in sound {
            let next = starts.get(index + 1).copied().unwrap_or(end);
            report.add_errors_between(&rest, starts[index], next);
        }
    }

    fn plan(&self, mut parsed: Parsed, report: &mut Report<'_>) -> Option<JobPlan> {
        let (job, functions) = (self.job, self.functions);
        let scope = self.relation.scope(functions).map_err(|message| Refusal::new(START, message));
        let mut rows = Rows { scope: report.take(scope)?, projected: Vec::new() };
        let grouping = match &self.relation.join {
            Some(join) => join.grouping(&parsed, self.aggregates, report),
            None => grouping(&parsed, self.aggregates, &self.event_time, job, report),
        };
        if report.has_errors() {
            return None;
        }
        check_changes(&self.relation, grouping.as_ref().map(|grouping| &grouping.windows), report)?;
        let filter = match condition(&mut parsed) {
            Some(filter) => {
                let at = place(&filter, START);
                Some(report.take(rows.condition(filter, "WHERE", at))?)
            }
            None => None,
        };
        let query = Query { job, relation: &self.relation, functions, filter, parsed };
        let Some(grouping) = grouping else {
            return query.stateless(&mut rows, functions, report);
        };
        warn(job, &grouping.windows, report);
        labels::check(job, &grouping.windows, report);
        let keys = project_keys(grouping.keys, &query.parsed.items, &mut rows, report);
        let stage = Stage {
            rows: &mut rows,
            aggregates: self.aggregates,
            window_clauses: &query.parsed.windows,
            event_time: &self.event_time,
            windows: grouping.windows,
            keys,
            computed: Vec::new(),
            carried: Vec::new(),
            changed: Changed::of(&self.relation),
            join: self.relation.join.as_ref(),
            joined: Vec::new(),
        };
        query.keyed(stage, functions, report)
    }
}

/// The conditions of the queries inside FROM, and then the outer one's.
fn condition(parsed: &mut Parsed) -> Option<Expr> {
    all_of(std::mem::take(&mut parsed.inner_filters).into_iter().chain(parsed.filter.take()))
}

pub(crate) fn unknown_stream(name: &str, catalog: &dyn Catalog) -> String {
    if catalog.has_job(name) {
        return format!(
            "`{name}` is a job, and weir 0.1 does not read another job's results yet; let it write to a Kafka topic that \
             has a stream of its own"
        );
    }
    let names = catalog.stream_names();
    let instead = match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "define it in streams/".to_owned(),
        None => format!("streams are {}", names.join(", ")),
    };
    format!("stream `{name}` not found; {instead}")
}

/// A query that has been read, over a table that is known.
pub(crate) struct Query<'j> {
    pub(crate) job: &'j JobDefinition,
    pub(crate) relation: &'j Relation,
    pub(crate) functions: &'j Functions<'j>,
    pub(crate) filter: Option<Bound>,
    pub(crate) parsed: Parsed,
}

impl Query<'_> {
    /// A query that computes each row alone.
    fn stateless(
        &self,
        rows: &mut Rows<'_>,
        functions: &Functions<'_>,
        report: &mut Report<'_>,
    ) -> Option<JobPlan> {
        let mut positions = Vec::new();
        for item in &self.parsed.items {
            positions.push(report.take(rows.project(item.expression.clone(), item.at)));
        }
        let columns = rows.projected.iter().enumerate().map(|(index, bound)| ScopeColumn {
            name: format!("\0projected{index}"),
            data_type: bound.data_type.clone(),
            canonical: bound.canonical.clone(),
        });
        let scope = self.checked(Scope::new(functions, columns.collect()), START, report)?;
        let positions = positions.into_iter().collect::<Option<Vec<_>>>()?;
        let columns = self.parsed.items.iter().zip(positions).map(|(item, position)| ResultColumnPlan {
            name: item.name.clone(),
            role: if is_column(&item.expression) { ColumnRole::Plain } else { ColumnRole::Feature },
            bound: scope.column(position),
        });
        let columns = columns.collect();
        self.finish(rows, None, &scope, columns, None, report)
    }

    /// A query over windows.
    fn keyed(
        &self,
        mut stage: Stage<'_, '_>,
        functions: &Functions<'_>,
        report: &mut Report<'_>,
    ) -> Option<JobPlan> {
        let joined = stage.join_rows(&self.parsed.items);
        report.take(joined)?;
        let mut expressions = Vec::new();
        for item in &self.parsed.items {
            match result_expression(&mut stage, item.expression.clone(), item.at) {
                Ok(result) => expressions.push((item, result)),
                Err(refusals) => report.refuse_all(refusals),
            }
        }
        let having = self.parsed.having.as_ref().map(|having| {
            let at = place(having, START);
            (result_expression(&mut stage, having.clone(), at), at)
        });
        let present = report.take(stage.present())?;
        let (columns, results) = stage.result_columns();
        let scope = self.checked(Scope::new(functions, columns), START, report)?;
        let mut bound = Vec::new();
        for (item, result) in expressions {
            if let Some(value) = self.bind(&scope, result.expression, item.at, report) {
                bound.push(ResultColumnPlan { name: item.name.clone(), role: result.role, bound: value });
            }
        }
        let having = match having {
            Some((Ok(having), at)) => {
                Some(self.condition(&scope, (having.expression, "HAVING"), at, report)?)
            }
            Some((Err(refusals), _)) => {
                report.refuse_all(refusals);
                return None;
            }
            None => None,
        };
        if report.has_errors() {
            return None;
        }
        let spec = self.spec(&stage, report)?;
        let keyed = KeyedStage {
            keys: stage.keys.iter().map(|key| key.column).collect(),
            key_names: stage.keys.iter().map(|key| key.name.clone()).collect(),
            key_types: stage
                .keys
                .iter()
                .map(|key| stage.rows.projected[key.column].data_type.clone())
                .collect(),
            spec: Arc::new(spec),
            present,
            results,
        };
        self.finish_keyed(&stage, keyed, &scope, bound, having, report)
    }

    pub(crate) fn bind(
        &self,
        scope: &Scope<'_>,
        expression: Expr,
        at: Location,
        report: &mut Report<'_>,
    ) -> Option<Bound> {
        let bound = scope.bind(expression).and_then(Bound::normalised);
        self.checked(bound, at, report)
    }

    /// A condition over results; `clause` is what it stands behind.
    pub(crate) fn condition(
        &self,
        scope: &Scope<'_>,
        (expression, clause): (Expr, &str),
        at: Location,
        report: &mut Report<'_>,
    ) -> Option<Bound> {
        let bound = self.checked(scope.bind(expression), at, report)?;
        if bound.data_type != DataType::Boolean {
            let message =
                format!("{clause} needs a condition, not a value of type {}", type_name(&bound.data_type));
            report.refuse(Refusal::new(at, message));
            return None;
        }
        Some(bound)
    }

    pub(crate) fn checked<T>(
        &self,
        result: Result<T, String>,
        at: Location,
        report: &mut Report<'_>,
    ) -> Option<T> {
        report.take(result.map_err(|message| Refusal::new(at, message)))
    }

    pub(crate) fn spec(&self, stage: &Stage<'_, '_>, report: &mut Report<'_>) -> Option<StageSpec> {
        let frames = match &stage.windows {
            StageWindows::Group(window) => self.checked(window.frames(), START, report)?,
            StageWindows::Lifetime => Frames::Lifetime,
            StageWindows::Process(_) => Frames::Process,
            StageWindows::Over { frames, .. } => Frames::Over(frames.clone()),
        };
        if let Some(refused) = frames.longest().and_then(|longest| self.job.check_retention(longest)) {
            report.add(refused);
            return None;
        }
        let spec = StageSpec {
            frames,
            aggregates: stage.computed.iter().map(|computed| computed.spec.clone()).collect(),
            inputs: stage.rows.projected.iter().map(|column| column.data_type.clone()).collect(),
            carried: stage.carried.clone(),
            history: self.job.late.allow.max(self.job.history).max(Span::ZERO),
            corrects: (self.job.late.policy == LatePolicy::Correct)
                .then_some(self.job.late.allow.max(Span::ZERO)),
            retention: self.job.retention,
            tail: self.job.tail.or_else(|| self.relation.join.as_ref().and_then(Join::tail)),
            emit_changes: self.job.emit != Emit::Close,
            results_below: self.relation.join.as_ref().map(|join| join.left_inputs),
            process: stage.windows.process(),
        };
        match spec.check() {
            Ok(()) => Some(spec),
            Err(error @ (SpecError::NoTail | SpecError::TooManySteps { .. })) => {
                let message = format!("`tail`: {error}");
                report.add(Diagnostic::error(&*self.job.file, 1, 1, message));
                None
            }
            Err(error) => self.checked(Err(error.to_string()), START, report),
        }
    }

    pub(crate) fn finish_keyed(
        &self,
        stage: &Stage<'_, '_>,
        keyed: KeyedStage,
        scope: &Scope<'_>,
        columns: Vec<ResultColumnPlan>,
        having: Option<Bound>,
        report: &mut Report<'_>,
    ) -> Option<JobPlan> {
        let plan = self.finish(stage.rows, Some(stage), scope, columns, having, report)?;
        Some(JobPlan { stage: Some(keyed), ..plan })
    }

    /// Features, hashes, and everything compiled.
    fn finish(
        &self,
        rows: &Rows<'_>,
        stage: Option<&Stage<'_, '_>>,
        scope: &Scope<'_>,
        mut columns: Vec<ResultColumnPlan>,
        having: Option<Bound>,
        report: &mut Report<'_>,
    ) -> Option<JobPlan> {
        let (job, filter) = (self.job, self.filter.as_ref());
        let mut features = features(job, &mut columns, report);
        note_unnamed(&features, &self.parsed.items, report);
        let common = Common::new(job, self.relation, filter, having.as_ref(), stage);
        for feature in &mut features {
            feature.definition = common.column(&columns[feature.column]);
        }
        let definitions: Vec<_> = features.iter().map(|feature| feature.definition.clone()).collect();
        let reading = Reading { job, relation: self.relation, functions: self.functions, filter, rows };
        let inputs = reading.inputs(report)?;
        let mut output = Vec::new();
        for column in &columns {
            let expression = self.checked(scope.compile(&column.bound), START, report)?;
            output.push(Column { name: column.name.clone(), role: column.role, expression });
        }
        let fields =
            output.iter().map(|column| Field::new(&column.name, column.expression.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Some(JobPlan {
            name: job.name.clone(),
            version: job.version,
            definition: common.job(&columns, &definitions),
            definition_without_components: common.job_without_components(&columns),
            state_shape: state_shape(job, self.relation, filter, stage),
            state_fingerprint: state_fingerprint(job, self.relation, filter, stage),
            inputs,
            stage: None,
            output: Output { filter: self.compile(scope, having.as_ref(), report)?, columns: output, schema },
            features,
            transform: Transform::default(),
            decoders: std::collections::BTreeMap::new(),
            versions: Vec::new(),
            leaves_older_states: false,
            late: job.late,
            emit: job.emit,
            stale_after: job.stale_after,
            bootstrap: job.bootstrap.clone(),
            sinks: job.sinks.clone(),
            looks_ahead: stage.and_then(|stage| stage.windows.ahead()),
        })
    }

    #[allow(clippy::option_option, reason = "an absent filter is not a filter that does not compile")]
    fn compile(
        &self,
        scope: &Scope<'_>,
        bound: Option<&Bound>,
        report: &mut Report<'_>,
    ) -> Option<Option<Arc<dyn Expression>>> {
        match bound {
            Some(bound) => self.checked(scope.compile(bound), START, report).map(Some),
            None => Some(None),
        }
    }
}
