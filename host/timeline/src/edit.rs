//! An edit: blocks that one specification stored, as another one stores them.
//!
//! What a block says of rows and windows stays; of the states and columns in it, those stay that the other specification
//! has too. So the stages read only blocks of their own. Knows which aggregates and columns are the same in both, by their
//! positions, and how blocks are written. Must not know what makes them the same, or where blocks are kept.

use crate::aggregate::value::{Kind, kind_of};
use crate::answer::{Block, DecodeError};
use crate::grid::kept;
use crate::pane::Pane;
use crate::row_log::block::RowBlock;
use crate::runs;
use crate::spec::{Frames, StageSpec};
use crate::state_origins::StateOrigins;
use arrow_schema::DataType;

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
}

/// Makes stored blocks those of another specification.
#[derive(Debug)]
pub struct Edit {
    origins: Origins,
    states: StateOrigins,
    types: Vec<(DataType, Kind)>,
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
        let of = origins.aggregates.iter().zip(&spec.aggregates).map(|(from, aggregate)| {
            from.ok_or_else(|| {
                let (mut states, mut empty) = (aggregate.function.states(), Vec::new());
                states.resize(1);
                states.encode(0, &mut empty);
                empty
            })
        });
        let states = StateOrigins::new(origins.stored_aggregates, of.collect());
        let has_states = !matches!(spec.frames, Frames::Over(_)) || spec.tail.is_some();
        let origins = Origins {
            keeps_states: origins.keeps_states && has_states,
            keeps_rows: origins.keeps_rows && spec.keeps_rows(),
            ..origins
        };
        fits.then_some(Edit { origins, states, types })
    }

    /// A stored block as the other specification has it; `None` if it has no use for it.
    ///
    /// # Errors
    /// If the bytes do not read.
    pub fn translate(&self, block: Block, stored: &[u8]) -> Result<Option<Vec<u8>>, DecodeError> {
        let Origins { keeps_states, keeps_rows, .. } = self.origins;
        let is_kept = if block.column == Block::ROWS { keeps_rows } else { keeps_states };
        if !is_kept {
            return Ok(None);
        }
        let translated = match block.column {
            Block::TILES => Pane::restated(stored, &self.states),
            Block::KEPT => kept::restated(stored, &self.states),
            Block::RUNS => runs::restated(stored, &self.states),
            Block::ROWS => self.rows(stored),
            // The one says nothing of aggregates, and of the other there is one logic, which is the same.
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
