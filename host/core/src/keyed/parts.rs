//! Results on their way out of the segments, part by part, so that however many there are a few are in memory.
//!
//! Results of several segments travel together while they are small. What deletes goes before what writes.

use crate::error::CoreError;
use crate::keyed::deletes::{Judged, fates, judge, of_timelines, part};
use crate::keyed::effects::Effects;
use crate::keyed::emit::{Emitted, StageRows, emit, join};
use crate::keyed::failures::failed_results;
use crate::keyed::segment::{Ask, SLOTS_AT_ONCE};
use crate::keyed::{Keyed, Segments};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use weir_connect::Op;

/// Results of several segments travel together up to this many values, so that no more is copied to join them.
const JOINED_VALUES: usize = 4096;

/// The effects of one thing that was done, part by part: it is done when there are no more.
#[must_use = "results come only as they are taken"]
#[derive(Debug)]
pub struct Parts<'a, S> {
    keyed: &'a mut Keyed<S>,
    /// `None` when everything was asked.
    ask: Option<Ask>,
    segment: usize,
    waiting: Waiting,
    effects: Effects,
}

/// What is waiting to be emitted together: what deletes, and what writes.
#[derive(Debug, Default)]
struct Waiting {
    deletes: Vec<StageRows>,
    upserts: Vec<StageRows>,
    values: usize,
}

impl<'a, S: Segments> Parts<'a, S> {
    /// What already follows, then what the segments say to `ask`.
    pub(super) fn new(keyed: &'a mut Keyed<S>, effects: Effects, ask: Option<Ask>) -> Self {
        Parts { keyed, ask, segment: 0, waiting: Waiting::default(), effects }
    }

    /// Goes on until something follows or everything was asked.
    fn go_on(&mut self) -> Result<(), CoreError> {
        while let Some(ask) = self.ask.filter(|_| self.effects.is_empty()) {
            if self.segment < self.keyed.segments.count() {
                self.ask_segment(ask)?;
            } else {
                self.emit_waiting()?;
                self.keyed.asked(ask);
                self.ask = None;
            }
        }
        Ok(())
    }

    fn ask_segment(&mut self, ask: Ask) -> Result<(), CoreError> {
        let Keyed { plan, stage, segments, takes_back, .. } = &mut *self.keyed;
        let at = self.segment;
        let found = segments.write(at, |segment| segment.ask(ask))?;
        self.segment += usize::from(!found.has_more);
        if let Ask::Current(from) = ask {
            self.ask = Some(Ask::Current(if found.has_more { from + SLOTS_AT_ONCE } else { 0 }));
        }
        let Some((rows, keys)) = found.rows(plan, stage, &mut self.effects)? else { return Ok(()) };
        self.waiting.values += rows.batch.columns().iter().map(values_in).max().unwrap_or(0);
        let fates = if *takes_back {
            let Judged { verdicts, failed } = judge(stage, &plan.output, &rows)?;
            self.effects.fail(&plan.name, failed_results(&plan.output, &rows, &stage.key_names, failed));
            segments.write(at, |segment| fates(&mut segment.written, stage, (&rows, &keys), &verdicts))
        } else {
            of_timelines(&rows)
        };
        for (op, rows) in part(stage, rows, &fates)? {
            match op {
                Op::Delete => self.waiting.deletes.push(rows),
                Op::Upsert => self.waiting.upserts.push(rows),
            }
        }
        if self.waiting.values >= JOINED_VALUES { self.emit_waiting() } else { Ok(()) }
    }

    fn emit_waiting(&mut self) -> Result<(), CoreError> {
        let Keyed { plan, stage, with_identity, revision, takes_back, .. } = &mut *self.keyed;
        let waiting = std::mem::take(&mut self.waiting);
        for (op, parts) in [(Op::Delete, waiting.deletes), (Op::Upsert, waiting.upserts)] {
            let Some(joined) = join(stage, parts)? else { continue };
            *revision += 1;
            // Of what goes HAVING says nothing, and of what can go it was asked before.
            let having = plan.output.filter.as_ref().filter(|_| op == Op::Upsert && !*takes_back);
            let (output, what) = ((&plan.output, having), (op, *revision));
            let Emitted { rows, failed } = emit(output, joined, &stage.key_names, *with_identity, what)?;
            // Of what deletes only the key and the window mean anything.
            if op == Op::Upsert {
                self.effects.fail(&plan.name, failed);
            }
            if rows.columns.num_rows() > 0 {
                self.effects.results.push(rows);
            }
        }
        Ok(())
    }
}

impl<S: Segments> Iterator for Parts<'_, S> {
    type Item = Result<Effects, CoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.go_on() {
            self.ask = None;
            return Some(Err(error));
        }
        let effects = std::mem::take(&mut self.effects);
        self.keyed.counts.add(effects.counts);
        Some(effects).filter(|effects| !effects.is_empty()).map(Ok)
    }
}

/// How many values a column has: of lists their items, which are far more than the rows.
fn values_in(column: &ArrayRef) -> usize {
    match column.data_type() {
        DataType::ListView(_) => column.as_list_view::<i32>().values().len(),
        DataType::List(_) => column.as_list::<i32>().values().len(),
        _ => column.len(),
    }
}
