//! Runs a batch in calls of the right size, and cuts a call that fails into smaller ones down to single rows.
//! Knows nothing of what a row is; the order of rows is kept.

use crate::failure::{Cause, Failure};
use crate::pace::Pace;

/// Runs `attempt(first, rows)` over all of `rows` rows in order, in calls that each succeed; `attempt` says how much
/// fuel it used. Ends early with the failure of a row that fails alone, or of the host.
pub(crate) fn run(
    rows: usize,
    pace: &Pace,
    mut attempt: impl FnMut(usize, usize) -> Result<u64, Failure>,
) -> Result<(), Failure> {
    let mut first = 0;
    while first < rows {
        let next = pace.rows().min(rows - first);
        range(first, next, pace, &mut attempt)?;
        first += next;
    }
    Ok(())
}

fn range(
    first: usize,
    rows: usize,
    pace: &Pace,
    attempt: &mut impl FnMut(usize, usize) -> Result<u64, Failure>,
) -> Result<(), Failure> {
    let failure = match attempt(first, rows) {
        Ok(fuel) => {
            pace.used(rows, fuel);
            return Ok(());
        }
        Err(failure) => failure,
    };
    if rows == 1 || failure.cause == Cause::Host {
        return Err(failure);
    }
    let (end, mut start) = (first + rows, first);
    if matches!(failure.cause, Cause::Fuel | Cause::Memory | Cause::Output) {
        pace.too_many(rows);
    } else {
        // Where every row fails, the first one shows it at once.
        range(first, 1, pace, attempt)?;
        start += 1;
    }
    let middle = start + (end - start).div_ceil(2);
    range(start, middle - start, pace, attempt)?;
    if middle < end { range(middle, end - middle, pace, attempt) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows that got a result, for a guest that fails with `cause` on calls with a row of `bad` or of more than
    /// `most` rows.
    fn results(rows: usize, bad: &[usize], most: usize, cause: Cause) -> Result<Vec<usize>, String> {
        let mut done = Vec::new();
        run(rows, &Pace::new(1000), |first, rows| {
            match bad.iter().find(|row| (first..first + rows).contains(row)) {
                Some(row) => return Err(Failure::new(cause, format!("row {row} of {rows}"))),
                None if rows > most => return Err(Failure::new(cause, "too many")),
                None => done.extend(first..first + rows),
            }
            Ok(rows as u64)
        })
        .map_err(|failure| failure.reason)?;
        Ok(done)
    }

    #[test]
    fn a_batch_fails_only_if_a_row_fails_alone() {
        for cause in [Cause::Fuel, Cause::Memory, Cause::Output, Cause::Trap, Cause::Refused] {
            for rows in [0, 1, 2, 3, 700] {
                for most in [1, 2, 100, 1000] {
                    assert_eq!(results(rows, &[], most, cause), Ok((0..rows).collect()), "{rows} {most}");
                }
            }
            for bad in [0, 1, 255, 256, 698, 699] {
                assert_eq!(results(700, &[bad], 1000, cause), Err(format!("row {bad} of 1")));
            }
        }
    }
}
