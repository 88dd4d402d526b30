//! The smallest history on which a law is still broken: fewer rows, then plainer values. Greedy, with a bound on the
//! trials, as in "Simplifying and Isolating Failure-Inducing Input" (Zeller and Hildebrandt, 2002).

use super::laws::{Broken, History};

/// Trials of one search; each may be some twenty calls of a guest.
const MAX_TRIALS: usize = 400;

/// Makes a broken history smaller; gives it with what is broken then.
pub(crate) fn shrink(
    history: History,
    broken: Broken,
    try_on: impl Fn(&History) -> Result<(), Broken>,
) -> (History, Broken) {
    let mut search = Search { smallest: history, broken, trials: 0, try_on };
    loop {
        let before = search.smallest.clone();
        search.fewer_rows();
        search.plainer_values();
        let same = before.rows == search.smallest.rows;
        if same || search.trials >= MAX_TRIALS {
            return (search.smallest, search.broken);
        }
    }
}

struct Search<F> {
    smallest: History,
    broken: Broken,
    trials: usize,
    try_on: F,
}

impl<F: Fn(&History) -> Result<(), Broken>> Search<F> {
    /// Keeps a history if the law is broken on it too. Where rows are cut may have to change with their number.
    fn keep(&mut self, mut history: History) -> bool {
        const SEEDS: u64 = 4;
        let first = history.seed;
        for seed in (0..SEEDS).map(|step| first.wrapping_add(step)) {
            if self.trials >= MAX_TRIALS {
                return false;
            }
            self.trials += 1;
            history.seed = seed;
            if let Err(broken) = (self.try_on)(&history) {
                (self.smallest, self.broken) = (history, broken);
                return true;
            }
        }
        false
    }

    fn fewer_rows(&mut self) {
        let mut size = self.smallest.rows.len();
        while size > 0 {
            let mut at = 0;
            while at < self.smallest.rows.len() {
                let mut smaller = self.smallest.clone();
                smaller.rows.drain(at..(at + size).min(smaller.rows.len()));
                if !self.keep(smaller) {
                    at += size;
                }
            }
            size /= 2;
        }
    }

    fn plainer_values(&mut self) {
        for row in 0..self.smallest.rows.len() {
            for argument in 0..self.smallest.rows[row].values.len() {
                for plainer in self.smallest.rows[row].values[argument].plainer() {
                    let mut smaller = self.smallest.clone();
                    smaller.rows[row].values[argument] = plainer;
                    if self.keep(smaller) {
                        break;
                    }
                }
            }
        }
    }
}
