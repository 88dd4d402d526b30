//! Lists as views: where the query passes its lists through as they are, they leave the timelines as offsets and sizes
//! over shared items, and nobody copies an item until a sink or an answer makes text of it.
//!
//! Knows the types of a plan's result columns. Must not know how lists are made or written.

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;
use weir_plan::{JobPlan, KeyedStage};
use weir_timeline::list_view_type;

/// The plan with lists as views, if nothing in it computes with them: expressions are bound to plain lists.
pub fn prefer_views(mut plan: JobPlan) -> JobPlan {
    let only_passes = plan.output.filter.is_none()
        && plan.output.columns.iter().all(|column| column.expression.as_column().is_some());
    if let Some(stage) = plan.stage.as_mut().filter(|_| only_passes) {
        let aggregates = stage.key_types.len()..stage.key_types.len() + stage.spec.aggregates.len();
        let is_aggregate = |column: usize| aggregates.contains(&column);
        let of_column = |index: usize| plan.output.columns[index].expression.as_column();
        plan.output.schema = viewing(&plan.output.schema, |index| of_column(index).is_some_and(is_aggregate));
        stage.results = viewing(&stage.results, is_aggregate);
    }
    plan
}

/// Whether the stage's timelines are to give lists as views.
pub(crate) fn has_views(stage: &KeyedStage) -> bool {
    stage.results.fields().iter().any(|field| matches!(field.data_type(), DataType::ListView(_)))
}

fn viewing(schema: &SchemaRef, is_chosen: impl Fn(usize) -> bool) -> SchemaRef {
    let field = |(index, field): (usize, &Arc<Field>)| {
        if is_chosen(index) {
            Arc::new(field.as_ref().clone().with_data_type(list_view_type(field.data_type())))
        } else {
            field.clone()
        }
    };
    let fields: Vec<Arc<Field>> = schema.fields().iter().enumerate().map(field).collect();
    Arc::new(Schema::new(fields).with_metadata(schema.metadata().clone()))
}
