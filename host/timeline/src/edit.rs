//! An edit: blocks that one specification stored, as another one stores them.
//!
//! What a block says of rows and windows stays; of the states and columns in it, those stay that the other specification
//! has too. So the stages read only blocks of their own. Knows which aggregates and columns are the same in both, by their
//! positions, and how blocks are written. Must not know what makes them the same, or where blocks are kept.

use crate::aggregate::value::{Kind, kind_of};
use crate::aggregate::{Aggregate, AggregateError};
use crate::answer::{Block, DecodeError};
use crate::grid::kept;
use crate::migration::{Migrating, StateMaker};
use crate::pane::Pane;
use crate::process;
use crate::process::logic::KeyedLogic;
use crate::row_log::block::RowBlock;
use crate::runs;
use crate::spec::{Frames, StageSpec};
use crate::state_origins::{StateOrigin, StateOrigins};
use arrow_schema::DataType;
use std::sync::Arc;

/// Where the parts of blocks come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    /// Of each aggregate, which of the stored ones it is; `None` for one that begins without rows.
    pub aggregates: Vec<Option<usize>>,
    /// How many aggregates were stored.
    pub stored_aggregates: usize,
    /// Of each column of kept rows, as [`StageSpec::kept_columns`] orders them, which of the stored ones it is; `None`
    /// for one that is null in every row that was kept before.
    pub columns: Vec<Option<usize>>,
    /// How each stored column is written.
    pub stored_columns: Vec<Kind>,
    /// Whether tiles, sessions and kept windows are of the same rows and windows.
    pub keeps_states: bool,
    /// Whether kept rows are of the same rows.
    pub keeps_rows: bool,
    /// Of each aggregate, or of the keyed logic, which other version has made the states that its own are to be made of; none
    /// where they are its own.
    pub made_by: Vec<Option<StateMaker>>,
}

/// What makes states of those that another version has made.
#[derive(Debug, Clone)]
enum Migration {
    Aggregate(Arc<dyn Aggregate>),
    Logic(Arc<dyn KeyedLogic>),
}

/// Why blocks have not become those of another specification.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// Their bytes do not read.
    #[error(transparent)]
    Block(#[from] DecodeError),
    /// States of another version were not taken over.
    #[error(transparent)]
    Migration(#[from] AggregateError),
}

/// Makes stored blocks those of another specification.
#[derive(Debug)]
pub struct Edit {
    origins: Origins,
    states: StateOrigins,
    types: Vec<(DataType, Kind)>,
    /// By number of the aggregate; of keyed logic the first.
    migrations: Vec<Option<(Migration, StateMaker)>>,
    /// Types of the rows of keyed logic.
    results: Vec<DataType>,
}

impl Edit {
    /// Of blocks that are to be read by `spec`; `None` if the origins are not those of its aggregates and columns.
    pub fn new(spec: &StageSpec, origins: Origins) -> Option<Edit> {
        let kept = spec.kept_columns();
        let types: Option<Vec<(DataType, Kind)>> = kept
            .iter()
            .map(|input| spec.inputs.get(*input).and_then(|it| Some((it.clone(), kind_of(it)?))))
            .collect();
        let types = types?;
        let are_there = |all: &[Option<usize>], stored: usize| all.iter().flatten().all(|at| *at < stored);
        let of_type = |(from, (_, kind)): (&Option<usize>, &(DataType, Kind))| {
            from.is_none_or(|from| origins.stored_columns.get(from) == Some(kind))
        };
        let fits = origins.aggregates.len() == spec.aggregates.len()
            && are_there(&origins.aggregates, origins.stored_aggregates)
            && origins.columns.len() == types.len()
            && origins.columns.iter().zip(&types).all(of_type);
        let maker = |number: usize| origins.made_by.get(number).cloned().flatten();
        let of =
            origins.aggregates.iter().zip(&spec.aggregates).enumerate().map(|(number, (from, aggregate))| {
                match from {
                    Some(from) if maker(number).is_some() => StateOrigin::Migrated(*from),
                    Some(from) => StateOrigin::Stored(*from),
                    None => {
                        let (mut states, mut empty) = (aggregate.function.states(), Vec::new());
                        states.resize(1);
                        states.encode(0, &mut empty);
                        StateOrigin::New(empty)
                    }
                }
            });
        let states = StateOrigins::new(origins.stored_aggregates, of.collect());
        let of_aggregates = spec.aggregates.iter().map(|it| Migration::Aggregate(it.function.clone()));
        let of_logic = spec.process.iter().map(|it| Migration::Logic(it.logic.clone()));
        let migrations = of_aggregates.chain(of_logic).enumerate();
        let migrations = migrations.map(|(number, of)| Some((of, maker(number)?))).collect();
        let results = spec.process.iter().flat_map(|it| it.logic.card().results.clone());
        let results = results.map(|(_, data_type)| data_type).collect();
        let has_states = !matches!(spec.frames, Frames::Over(_)) || spec.tail.is_some();
        let origins = Origins {
            keeps_states: origins.keeps_states && has_states,
            keeps_rows: origins.keeps_rows && spec.keeps_rows(),
            ..origins
        };
        fits.then_some(Edit { origins, states, types, migrations, results })
    }

    /// A stored block as the other specification has it; `None` if it has no use for it.
    ///
    /// # Errors
    /// If the bytes do not read.
    pub fn translate(&self, block: Block, stored: &[u8]) -> Result<Option<Vec<u8>>, DecodeError> {
        self.translated(block, stored, &mut Migrating::None)
    }

    /// The same of several blocks, whose states of other versions become those of the specification's.
    ///
    /// # Errors
    /// If bytes do not read, or states are not taken over.
    pub fn migrate(&self, blocks: &[(Block, &[u8])]) -> Result<Vec<Option<Vec<u8>>>, EditError> {
        let mut migrating = Migrating::gather(self.migrations.len());
        for (block, stored) in blocks {
            self.translated(*block, stored, &mut migrating)?;
        }
        if let Migrating::Gathered(states) = migrating {
            let migrated = self.migrations.iter().zip(states).map(|(migration, states)| {
                let states: Vec<&[u8]> = states.iter().map(Vec::as_slice).collect();
                let made = match migration {
                    Some((Migration::Aggregate(function), maker)) => function.migrate(maker, &states)?,
                    Some((Migration::Logic(logic), maker)) => logic.migrate(maker, &states)?,
                    None => Vec::new(),
                };
                Ok::<_, AggregateError>(made.into_iter())
            });
            migrating = Migrating::Migrated(migrated.collect::<Result<_, _>>()?);
        }
        let translated = blocks.iter().map(|(block, stored)| self.translated(*block, stored, &mut migrating));
        Ok(translated.collect::<Result<_, _>>()?)
    }

    fn translated(
        &self,
        block: Block,
        stored: &[u8],
        migrating: &mut Migrating,
    ) -> Result<Option<Vec<u8>>, DecodeError> {
        let Origins { keeps_states, keeps_rows, .. } = self.origins;
        let is_kept = if block.column == Block::ROWS { keeps_rows } else { keeps_states };
        if !is_kept {
            return Ok(None);
        }
        let translated = match block.column {
            Block::TILES => Pane::restated(stored, &self.states, migrating),
            Block::KEPT => kept::restated(stored, &self.states, migrating),
            Block::RUNS => runs::restated(stored, &self.states, migrating),
            Block::ROWS => self.rows(stored),
            // There is one logic.
            Block::MEMORIES if self.migrations.iter().any(Option::is_some) => {
                process::restated(stored, &self.results, migrating)
            }
            // The one says nothing of aggregates, and the logic of the other is the same.
            Block::EMITTED | Block::MEMORIES => Some(stored.to_vec()),
            _ => return Err(DecodeError::no_column(block)),
        };
        translated.map(Some).ok_or_else(|| DecodeError::new(block, "its bytes do not read"))
    }

    fn rows(&self, stored: &[u8]) -> Option<Vec<u8>> {
        let Origins { columns, stored_columns, .. } = &self.origins;
        // Text that goes need not be read as text.
        let mut types: Vec<(DataType, Kind)> =
            stored_columns.iter().map(|kind| (DataType::BinaryView, *kind)).collect();
        for (from, of_type) in columns.iter().zip(&self.types) {
            if let Some(from) = from {
                types[*from] = of_type.clone();
            }
        }
        let block = RowBlock::decode(stored, 0, &types)?;
        let mut out = Vec::with_capacity(stored.len());
        block.with_columns(columns, &self.types).encode(&mut out);
        Some(out)
    }
}
