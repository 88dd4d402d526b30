//! The inputs of a plan: for each stream that a query reads, which of its columns, and how its rows are filtered and
//! projected.
//!
//! Knows what of each stream is read. Must not know windows, keys or result columns.

use crate::composed::{Both, Composed};
use crate::expressions::{Bound, Functions, Scope};
use crate::relation::{Branch, Relation, stream_scope};
use crate::report::{Refusal, Report, START};
use crate::stage::Rows;
use crate::warnings::warn_of_two_sources;
use arrow_schema::{Field, Schema, SchemaRef};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use weir_plan::{Expression, JobDefinition, Projection, StreamDefinition, StreamInput, Unnest};

/// What a query reads of its table.
pub(crate) struct Reading<'r> {
    pub(crate) job: &'r JobDefinition,
    pub(crate) relation: &'r Relation,
    pub(crate) functions: &'r Functions<'r>,
    /// WHERE, over the table.
    pub(crate) filter: Option<&'r Bound>,
    /// What is computed of each row, over the table.
    pub(crate) rows: &'r Rows<'r>,
}

impl Reading<'_> {
    /// One for each stream, in the order of the query.
    pub(crate) fn inputs(&self, report: &mut Report<'_>) -> Option<Vec<StreamInput>> {
        let branches = &self.relation.branches;
        if let (Some(_), [_, second, ..]) = (&self.job.origin, branches.as_slice()) {
            let message = "`stream` of the job names where its query's only stream is read from, and this query reads \
                           several; leave it out, and give each stream its `source`";
            report.refuse(Refusal::new(second.at, message));
            return None;
        }
        branches.iter().map(|branch| self.input(branch, report)).collect()
    }

    /// A stream, with the columns that the query reads and no other.
    fn input(&self, branch: &Branch, report: &mut Report<'_>) -> Option<StreamInput> {
        let stream = &branch.stream;
        let origin = stream.origin_for(self.job.origin.as_ref());
        let origin = report.take(origin.map_err(|message| Refusal::new(branch.at, message)))?;
        warn_of_two_sources(self.job, stream, report);
        let of_table = self.read_of_table();
        let read: Vec<String> = match &branch.made {
            None => of_table.iter().map(|index| self.relation.schema.fields[*index].name.clone()).collect(),
            Some(made) => {
                let columns = of_table.iter().filter_map(|index| made.columns.get(*index));
                columns.chain(&made.filter).flat_map(Bound::columns).collect()
            }
        };
        let listed = branch.items.iter().flat_map(|items| items.list.columns());
        let read: BTreeSet<String> = listed.chain(read).collect();
        let columns = decoded(stream, &read);
        let projection = self.projection(branch, &columns, &of_table);
        let mut projection = report.take(projection.map_err(|message| Refusal::new(START, message)))?;
        let unnest = self.unnest(branch, &columns, &mut projection);
        let unnest = report.take(unnest.map_err(|message| Refusal::new(branch.at, message)))?;
        let position = |of: usize| columns.iter().position(|column| *column == of);
        Some(StreamInput {
            event_time: position(stream.schema.event_time)?,
            known_time: stream.known_time.and_then(position),
            event_id: stream.dedup.and_then(|dedup| position(dedup.event_id)),
            stream: stream.clone(),
            origin,
            columns,
            unnest,
            projection,
        })
    }

    /// The positions of the table's columns that the query reads.
    fn read_of_table(&self) -> Vec<usize> {
        let read: BTreeSet<String> =
            self.rows.projected.iter().chain(self.filter).flat_map(Bound::columns).collect();
        let fields = self.relation.schema.fields.iter().enumerate();
        fields.filter(|(_, field)| read.contains(&field.name)).map(|(index, _)| index).collect()
    }

    /// How rows are filtered and projected whose columns are these of the stream's, where the query reads `of_table` of
    /// the table's.
    fn projection(
        &self,
        branch: &Branch,
        columns: &[usize],
        of_table: &[usize],
    ) -> Result<Projection, String> {
        let schema = schema(&self.rows.projected);
        let Some(made) = &branch.made else {
            let scope = self.rows.scope.of(&with_items(branch, columns))?;
            let filter = self.filter.map(|filter| scope.compile(filter)).transpose()?;
            return Ok(Projection { filter, columns: compile_all(&scope, &self.rows.projected)?, schema });
        };
        let stream = stream_scope(&branch.stream, branch.items.as_ref(), self.functions)?;
        let stream = stream.of(&with_items(branch, columns))?;
        let mut made_columns = BTreeMap::new();
        for index in of_table {
            made_columns.insert(*index, stream.compile(&made.columns[*index])?);
        }
        let over = |bound: &Bound| self.over(&made_columns, bound);
        let own = made.filter.as_ref().map(|filter| stream.compile(filter)).transpose()?;
        let outer = self.filter.filter(|_| !branch.is_right).map(over).transpose()?;
        let filter = match (own, outer) {
            (Some(first), Some(then)) => Some(Both::of(first, then)),
            (first, then) => first.or(then),
        };
        let columns = self.rows.projected.iter().map(over).collect::<Result<_, _>>()?;
        Ok(Projection { filter, columns, schema })
    }

    /// How events become rows where the rows are items of a list. A condition about items is asked of them.
    fn unnest(
        &self,
        branch: &Branch,
        columns: &[usize],
        projection: &mut Projection,
    ) -> Result<Option<Unnest>, String> {
        let Some(items) = &branch.items else { return Ok(None) };
        let scope = stream_scope(&branch.stream, None, self.functions)?.of(columns)?;
        let is_of_items =
            |filter: &mut Arc<dyn Expression>| filter.reads().iter().any(|at| *at >= columns.len());
        let filter = projection.filter.take_if(is_of_items);
        Ok(Some(Unnest { list: scope.compile(&items.list)?, of_fields: items.of_fields, filter }))
    }

    /// An expression over the table as one over a stream, of which these are the table's columns.
    fn over(
        &self,
        made: &BTreeMap<usize, Arc<dyn Expression>>,
        bound: &Bound,
    ) -> Result<Arc<dyn Expression>, String> {
        let read = bound.columns();
        let is_read = |index: &&usize| read.contains(&self.relation.schema.fields[**index].name);
        let own: Vec<usize> = made.keys().filter(is_read).copied().collect();
        let outer = self.rows.scope.of(&own)?.compile(bound)?;
        let inner: Vec<_> = own.iter().map(|index| made[index].clone()).collect();
        Ok(Composed::of(inner, outer))
    }
}

/// Positions of these columns of a stream, and behind them of all that items of its list add.
fn with_items(branch: &Branch, columns: &[usize]) -> Vec<usize> {
    let first = branch.stream.schema.fields.len();
    let added = branch.items.as_ref().map_or(0, |items| items.columns.len());
    columns.iter().copied().chain(first..first + added).collect()
}

/// The columns of a stream that are decoded where these are read.
fn decoded(stream: &StreamDefinition, read: &BTreeSet<String>) -> Vec<usize> {
    let schema = &stream.schema;
    let is_read = |index: &usize| {
        *index == schema.event_time
            || stream.known_time == Some(*index)
            || stream.dedup.is_some_and(|dedup| dedup.event_id == *index)
            || stream.schema.taken_back() == Some(*index)
            || read.contains(&schema.fields[*index].name)
    };
    (0..schema.fields.len()).filter(is_read).collect()
}

fn compile_all(scope: &Scope<'_>, bound: &[Bound]) -> Result<Vec<Arc<dyn Expression>>, String> {
    bound.iter().map(|bound| scope.compile(bound)).collect()
}

fn schema(projected: &[Bound]) -> SchemaRef {
    let fields = projected.iter().enumerate().map(|(index, bound)| {
        let name = bound.column().map_or_else(|| format!("expression_{index}"), str::to_owned);
        Field::new(name, bound.data_type.clone(), true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
