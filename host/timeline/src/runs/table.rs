//! Which runs every key has: stretches of rows with no pause longer than the gap between one and the next.
//!
//! Structure only: where a row goes, which runs it joins. Knows no aggregate and no result.

use crate::marks::Marks;

/// No run.
const NONE: u32 = u32::MAX;

/// One run of one key.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    pub(super) slot: u32,
    /// Time of its first row.
    pub(super) start: i64,
    /// Time of its last row.
    pub(super) last: i64,
    /// A run without rows is no more.
    pub(super) rows: u64,
    /// Those of its rows that are in the log.
    pub(super) logged: u64,
    pub(super) marks: Marks,
    /// Whether it waits to be dropped, not to be closed.
    pub(super) is_closed: bool,
    /// End of the window that was last returned.
    pub(super) returned: Option<i64>,
    /// When it is to be looked at: the time of its one good entry in a queue.
    pub(super) queued: i64,
}

/// All runs of a segment, by number.
pub(super) struct RunTable {
    pub(super) gap: i64,
    runs: Vec<Run>,
    /// By slot, its runs in order of time.
    by_slot: Vec<Vec<u32>>,
    /// By slot, the last of its runs, so that most rows need no look at the list; `NONE` if there is none.
    newest: Vec<u32>,
    free: Vec<u32>,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) run: u32,
    /// Time of the run's last row before this one; of a new run, this row's.
    pub(super) last: i64,
    pub(super) change: Change,
}

/// What a row did to the key's runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The run is new.
    New,
    /// The run got longer at its end, or no longer.
    Grown,
    /// The run started here before.
    Moved { from: i64 },
    /// The later run of this number is now part of the run; it is to be freed.
    Joined { with: u32 },
}

impl RunTable {
    pub(super) fn new(gap: i64) -> RunTable {
        RunTable { gap, runs: Vec::new(), by_slot: Vec::new(), newest: Vec::new(), free: Vec::new() }
    }

    /// One more than the highest number in use.
    pub(super) fn bound(&self) -> usize {
        self.runs.len()
    }

    /// How many runs there are.
    pub(super) fn count(&self) -> usize {
        self.runs.len() - self.free.len()
    }

    pub(super) fn run(&self, run: u32) -> &Run {
        &self.runs[run as usize]
    }

    pub(super) fn run_mut(&mut self, run: u32) -> &mut Run {
        &mut self.runs[run as usize]
    }

    /// A key's runs in order of time.
    pub(super) fn of_slot(&self, slot: u32) -> &[u32] {
        self.by_slot.get(slot as usize).map_or(&[], Vec::as_slice)
    }

    /// A key's newest run that starts at or before `time`.
    pub(super) fn at(&self, slot: u32, time: i64) -> Option<u32> {
        let runs = self.of_slot(slot);
        let after = runs.partition_point(|run| self.run(*run).start <= time);
        after.checked_sub(1).map(|at| runs[at])
    }

    /// The next run of the same key.
    pub(super) fn follower(&self, run: u32) -> Option<u32> {
        let own = self.of_slot(self.run(run).slot);
        // Mostly it is one of the last.
        let at = own.iter().rposition(|other| *other == run)?;
        own.get(at + 1).copied()
    }

    /// The run of the same key before it.
    pub(super) fn predecessor(&self, run: u32) -> Option<u32> {
        let own = self.of_slot(self.run(run).slot);
        let at = own.iter().rposition(|other| *other == run)?;
        at.checked_sub(1).map(|at| own[at])
    }

    /// Numbers of all runs.
    pub(super) fn live(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.runs.len() as u32).filter(|run| self.run(*run).rows > 0)
    }

    /// Where a window ends whose last row is at `last`.
    pub(super) fn end_after(&self, last: i64) -> i64 {
        last.saturating_add(self.gap)
    }

    pub(super) fn end(&self, run: u32) -> i64 {
        self.end_after(self.run(run).last)
    }

    /// Up to where the end of a row that is alone may be for the row to come into a run: a session that ended so long
    /// ago that this is final takes no row any more.
    pub(super) fn touched_until(&self, run: u32) -> i64 {
        self.end_after(self.end(run))
    }

    /// The runs that a row comes into, or would join: the one before it and the one after it, if they are near.
    pub(super) fn touched(&self, slot: u32, time: i64) -> [Option<u32>; 2] {
        let runs = self.of_slot(slot);
        let at = runs.partition_point(|run| self.run(*run).start <= time);
        let before = at.checked_sub(1).map(|at| runs[at]).filter(|run| time <= self.end(*run));
        let after = runs.get(at).copied().filter(|run| self.end_after(time) >= self.run(*run).start);
        [before, after]
    }

    /// Puts a row where it belongs. Whoever calls counts it, and frees a run that was joined.
    pub(super) fn place(&mut self, slot: u32, time: i64) -> Placement {
        self.make_room(slot);
        // Mostly the newest run goes on.
        let newest = self.newest[slot as usize];
        if let Some(run) = self.runs.get_mut(newest as usize)
            && time >= run.start
            && time <= run.last.saturating_add(self.gap)
        {
            let last = run.last;
            run.last = last.max(time);
            return Placement { run: newest, last, change: Change::Grown };
        }
        let placement = self.place_anywhere(slot, time);
        self.note_newest(slot);
        placement
    }

    fn make_room(&mut self, slot: u32) {
        if self.by_slot.len() <= slot as usize {
            self.by_slot.resize_with(slot as usize + 1, Vec::new);
            self.newest.resize(slot as usize + 1, NONE);
        }
    }

    fn note_newest(&mut self, slot: u32) {
        self.newest[slot as usize] = self.by_slot[slot as usize].last().copied().unwrap_or(NONE);
    }

    fn place_anywhere(&mut self, slot: u32, time: i64) -> Placement {
        match self.touched(slot, time).into() {
            (Some(run), Some(with)) => {
                self.by_slot[slot as usize].retain(|other| *other != with);
                let later = self.runs[with as usize].last;
                let last = std::mem::replace(&mut self.runs[run as usize].last, later);
                Placement { run, last, change: Change::Joined { with } }
            }
            (Some(run), None) => {
                let last = self.runs[run as usize].last;
                self.runs[run as usize].last = last.max(time);
                Placement { run, last, change: Change::Grown }
            }
            (None, Some(run)) => {
                let from = std::mem::replace(&mut self.runs[run as usize].start, time);
                Placement { run, last: self.runs[run as usize].last, change: Change::Moved { from } }
            }
            (None, None) => {
                let at = self.of_slot(slot).partition_point(|run| self.run(*run).start <= time);
                let run = self.number(Run { slot, start: time, last: time, ..Run::default() });
                self.by_slot[slot as usize].insert(at, run);
                Placement { run, last: time, change: Change::New }
            }
        }
    }

    fn number(&mut self, run: Run) -> u32 {
        if let Some(number) = self.free.pop() {
            self.runs[number as usize] = run;
            return number;
        }
        self.runs.push(run);
        self.runs.len() as u32 - 1
    }

    /// A stored run, on its way back.
    pub(super) fn restore(&mut self, run: Run) -> u32 {
        let slot = run.slot;
        self.make_room(slot);
        let number = self.number(run);
        self.by_slot[slot as usize].push(number);
        number
    }

    /// Orders what was taken back. Gives the slots whose runs contradict each other.
    pub(super) fn restore_done(&mut self) -> Vec<u32> {
        let (runs, gap) = (&self.runs, self.gap);
        let mut damaged = Vec::new();
        for (slot, own) in self.by_slot.iter_mut().enumerate() {
            own.sort_by_key(|run| runs[*run as usize].start);
            let are_apart = own
                .windows(2)
                .all(|pair| runs[pair[0] as usize].last.saturating_add(gap) < runs[pair[1] as usize].start);
            if !are_apart {
                damaged.push(slot as u32);
            }
        }
        (0..self.by_slot.len() as u32).for_each(|slot| self.note_newest(slot));
        damaged
    }

    /// Takes a run off its key's list.
    pub(super) fn unlist(&mut self, run: u32) {
        let slot = self.runs[run as usize].slot;
        let own = &mut self.by_slot[slot as usize];
        own.retain(|other| *other != run);
        if own.is_empty() {
            *own = Vec::new();
        }
        self.note_newest(slot);
    }

    /// Frees the number of a run that is on no list.
    pub(super) fn free(&mut self, run: u32) {
        self.runs[run as usize] = Run::default();
        self.free.push(run);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let lists: usize = self.by_slot.iter().map(|list| list.capacity() * 4).sum();
        self.runs.capacity() * size_of::<Run>()
            + self.by_slot.capacity() * size_of::<Vec<u32>>()
            + lists
            + (self.free.capacity() + self.newest.capacity()) * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(table: &mut RunTable, time: i64) -> Change {
        let placement = table.place(0, time);
        table.run_mut(placement.run).rows += 1;
        placement.change
    }

    fn spans(table: &RunTable) -> Vec<(i64, i64)> {
        table.of_slot(0).iter().map(|run| (table.run(*run).start, table.run(*run).last)).collect()
    }

    #[test]
    fn rows_a_gap_apart_are_of_one_run() {
        let mut table = RunTable::new(10);
        assert_eq!(place(&mut table, 0), Change::New);
        assert_eq!((place(&mut table, 10), place(&mut table, 21)), (Change::Grown, Change::New));
        assert_eq!(place(&mut table, 43), Change::New);
        assert_eq!(spans(&table), vec![(0, 10), (21, 21), (43, 43)]);
        assert_eq!(place(&mut table, 33), Change::Moved { from: 43 });
        assert_eq!(place(&mut table, -10), Change::Moved { from: 0 });
        assert_eq!(place(&mut table, 30), Change::Joined { with: 2 });
        assert_eq!(place(&mut table, 5), Change::Grown);
        assert_eq!(place(&mut table, 20), Change::Joined { with: 1 });
        assert_eq!(spans(&table), vec![(-10, 43)]);
        assert_eq!((table.at(0, -11), table.at(0, 99)), (None, Some(0)));
    }

    #[test]
    fn without_a_gap_everything_is_one_run() {
        let mut table = RunTable::new(i64::MAX);
        assert_eq!(place(&mut table, 0), Change::New);
        assert_eq!(place(&mut table, 1 << 60), Change::Grown);
        assert_eq!(place(&mut table, -(1 << 60)), Change::Moved { from: 0 });
        assert_eq!(table.end(0), i64::MAX);
    }
}
