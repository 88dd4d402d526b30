//! What a job's result rows look like to its sinks, as its plan knows it.

use crate::job_plan::{ColumnRole, JobPlan};
use arrow_schema::{Field, Schema};
use std::sync::Arc;
use weir_connect::{RowIdentity, RowShape};
use weir_timeline::Frames;

/// What the result rows of a job look like.
pub(crate) fn row_shape(plan: &JobPlan) -> RowShape {
    let frames = plan.stage.as_ref().map(|stage| &stage.spec.frames);
    let identity = match frames {
        None | Some(Frames::Over(_) | Frames::Process) => RowIdentity::Event,
        Some(Frames::Lifetime) => RowIdentity::Key,
        Some(Frames::Session(_)) => RowIdentity::WindowStart,
        Some(Frames::Grid(_) | Frames::Cumulate(_) | Frames::Table(_)) => RowIdentity::WindowEnd,
    };
    let stage = plan.stage.iter();
    let keys = stage.clone().flat_map(|stage| stage.key_names.iter().zip(&stage.key_types));
    let keys: Vec<Field> = keys.map(|(name, data_type)| Field::new(name, data_type.clone(), true)).collect();
    let holds =
        |key: usize| plan.output.columns.iter().position(|column| column.role == ColumnRole::Key(key));
    RowShape {
        job: plan.name.as_str().into(),
        columns: plan.output.schema.clone(),
        key_columns: (0..keys.len()).map(holds).collect(),
        keys: Arc::new(Schema::new(keys)),
        identity,
        deletes: takes_back(plan),
    }
}

/// Whether a row that was written can be taken away: sessions join and begin earlier, keyed logic makes other rows of a late
/// event, rows that are gone empty windows, and
/// further rows make HAVING false. Whatever becomes of late rows and whenever results are written: what was open at the end
/// of a run, or when all was idle, is written too, and the rows that come then change it.
fn takes_back(plan: &JobPlan) -> bool {
    plan.stage.as_ref().is_some_and(|stage| {
        let come_otherwise = matches!(stage.spec.frames, Frames::Session(_) | Frames::Process);
        come_otherwise || stage.present.is_some() || plan.output.filter.is_some()
    })
}
