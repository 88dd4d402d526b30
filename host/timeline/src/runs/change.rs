//! Runs as they stand, returned as their rows come.

use super::RunStage;
use crate::aggregate::AggregateError;
use crate::answer::Results;
use crate::collect::Collector;
use crate::marks::Marks;

impl RunStage {
    /// What has got rows since the last call, as it stands.
    pub(crate) fn changes(&mut self) -> Result<Results, AggregateError> {
        let mut out = Collector::new(&self.spec);
        out.results().refused = self.fold_settled(self.settled)?;
        self.emit_gone(&mut out)?;
        let mut changed = std::mem::take(&mut self.changed);
        changed.retain(|run| {
            let run_now = self.table.run_mut(*run);
            let is_listed = run_now.rows > 0 && run_now.marks.has(Marks::LISTED);
            run_now.marks.clear(Marks::LISTED);
            is_listed
        });
        if !self.closes {
            // A key has one lifetime value: that of its newest run.
            changed.retain(|run| {
                let slot = self.table.run(*run).slot;
                self.table.of_slot(slot).last() == Some(run)
            });
        }
        self.emit(&changed, &mut out)?;
        out.finish(&self.spec)
    }
}
