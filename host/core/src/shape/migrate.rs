//! State that other versions of plugins have made, on its way to those of a plan of the same definition: everything stays
//! but the states themselves, which the newer versions make of the older ones.

use super::{StoredAggregate, StoredColumn, StoredShape};
use crate::error::CoreError;
use crate::stored::Name;
use arrow_schema::DataType;
use weir_plan::{COMPONENT_MARK, JobPlan, UsedVersion};
use weir_timeline::{AggregateError, Block, Edit, EditError, Kind, Origins, StateMaker};

/// State on its way from one plan to another of the same definition.
#[derive(Debug)]
pub struct Migrated {
    /// What it consists of then.
    pub shape: StoredShape,
    edit: Edit,
}

impl Migrated {
    /// Blocks as the newer plan has them; those of which it has no use are gone.
    ///
    /// # Errors
    /// If the bytes do not read, or a plugin does not take a state over.
    pub fn translate(&self, blocks: &[(Block, &[u8])]) -> Result<Vec<Option<Vec<u8>>>, CoreError> {
        self.edit.migrate(blocks).map_err(|error| match error {
            EditError::Block(error) => CoreError::from(error),
            EditError::Migration(AggregateError::Broken(reason) | AggregateError::Rows(reason)) => {
                CoreError::Broken(reason)
            }
            EditError::Migration(error) => CoreError::from(error),
        })
    }
}

/// The block that something of the state is, if the states of keys are in it.
pub fn block_of(name: Name<'_>) -> Option<Block> {
    match name {
        Name::Block { block: Block { column: Name::WRITTEN, .. }, .. } | Name::Reached(_) => None,
        Name::Block { block, .. } => Some(block),
    }
}

/// Whether a plan makes its state of that of another plan of the same definition, which has older versions of plugins.
pub fn takes_over(newer: &JobPlan, older: &JobPlan) -> bool {
    newer.definition_without_components == older.definition_without_components
        && rows_of_logic(newer) == rows_of_logic(older)
        && makers(newer, older).is_some_and(|makers| {
            let stage = newer.stage.as_ref().map(|stage| &stage.spec);
            let aggregates = stage.iter().flat_map(|spec| &spec.aggregates).map(|it| it.function.migrates());
            let logic = stage.iter().filter_map(|spec| spec.process.as_ref()).map(|it| it.logic.migrates());
            let mut both = makers.iter().zip(aggregates.chain(logic));
            makers.iter().any(Option::is_some) && both.all(|(maker, migrates)| maker.is_none() || migrates)
        })
}

/// Of each aggregate, or of the keyed logic, which other version of it has made the older plan's states; `None` where the two
/// plans have not the same of them.
fn makers(newer: &JobPlan, older: &JobPlan) -> Option<Vec<Option<StateMaker>>> {
    let (now, before) = (identities(newer), identities(older));
    let maker = |(now, before): (&String, &String)| {
        if now == before {
            return Some(None);
        }
        let [now, (function, component)] = [split(now)?, split(before)?];
        let version = |used: &UsedVersion| (used.of.component == component).then_some(used.of.version);
        let version = older.versions.iter().find_map(version)?;
        (now.0 == function).then(|| Some(StateMaker { version, component: component.to_owned() }))
    };
    (now.len() == before.len()).then(|| now.iter().zip(&before).map(maker).collect::<Option<_>>())?
}

/// The columns of the rows that keyed logic makes, which are part of what is remembered.
fn rows_of_logic(plan: &JobPlan) -> Option<&[(String, DataType)]> {
    let process = plan.stage.as_ref()?.spec.process.as_ref()?;
    Some(&process.logic.card().results)
}

/// A function with its constants, and the component that it is of.
fn split(identity: &str) -> Option<(&str, &str)> {
    identity.rsplit_once(COMPONENT_MARK)
}

fn identities(plan: &JobPlan) -> Vec<String> {
    let stage = plan.stage.as_ref().map(|stage| &stage.spec);
    let aggregates = stage.iter().flat_map(|spec| &spec.aggregates);
    let aggregates = aggregates.map(|aggregate| aggregate.function.card().identity.clone());
    let logic = stage.iter().filter_map(|spec| spec.process.as_ref());
    aggregates.chain(logic.map(|process| process.logic.card().identity.clone())).collect()
}

impl StoredShape {
    /// What becomes of state of an older plan's shape for a newer plan that takes it over; `None` if it is not of that shape.
    ///
    /// # Errors
    /// If what is said of the state makes no sense.
    pub fn migrated(&self, older: &JobPlan, newer: &JobPlan) -> Result<Option<Migrated>, CoreError> {
        let is_its_own = self.has_names_of(&StoredShape::of(older));
        let fresh = StoredShape::of(newer);
        let (Some(stage), Some(made_by)) = (newer.stage.as_ref(), makers(newer, older)) else {
            return Ok(None);
        };
        let kinds = |shape: &StoredShape| -> Vec<String> {
            shape.columns.iter().map(|column| column.kind.clone()).collect()
        };
        let is_alike = fresh.aggregates.len() == self.aggregates.len() && kinds(&fresh) == kinds(self);
        if !is_its_own || !is_alike {
            return Ok(None);
        }
        let aggregates = fresh.aggregates.into_iter().zip(&self.aggregates);
        let aggregates = aggregates.map(|(now, before)| StoredAggregate { age: before.age, ..now });
        let columns = fresh.columns.into_iter().zip(&self.columns);
        let columns = columns.map(|(now, before)| StoredColumn { age: before.age, ..now });
        let shape = StoredShape {
            aggregates: aggregates.collect(),
            columns: columns.collect(),
            kept_rows: self.kept_rows,
            ..fresh
        };
        let damaged = || CoreError::Damaged("what its state consists of makes no sense".to_owned());
        let stored_columns: Option<Vec<Kind>> =
            self.columns.iter().map(|column| Kind::of_word(&column.kind)).collect();
        let origins = Origins {
            aggregates: (0..self.aggregates.len()).map(Some).collect(),
            stored_aggregates: self.aggregates.len(),
            columns: (0..self.columns.len()).map(Some).collect(),
            stored_columns: stored_columns.ok_or_else(damaged)?,
            keeps_states: true,
            keeps_rows: true,
            made_by,
        };
        let edit = Edit::new(&stage.spec, origins).ok_or_else(damaged)?;
        Ok(Some(Migrated { shape, edit }))
    }
}
