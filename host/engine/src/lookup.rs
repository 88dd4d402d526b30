//! Lookups of a running job: what an answer needs is copied out under one segment's read lock, and finished outside.

use crate::shard::Shards;
use arrow_array::ArrayRef;
use weir_core::{Answer, AsOf, Entity, LookupError};
use weir_plan::JobPlan;

/// Answers for one entity, whose key columns have one row and the stage's key types.
pub(crate) fn lookup(
    plan: &JobPlan,
    shards: &Shards,
    key: &[ArrayRef],
    as_of: AsOf,
) -> Result<Answer, LookupError> {
    let entity = Entity::of(key)?;
    let copies = shards.of_group(entity.group()).look(plan, &entity, as_of)?;
    copies.finish(plan, &entity)
}
