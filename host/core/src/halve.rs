//! Rows that fail alone: a batch that fails is halved until they are found, so that a verdict never depends on how
//! rows came together. Knows nothing of what a row is.

use std::ops::Range;

/// What came of a batch, cut where rows failed.
#[derive(Debug)]
pub(crate) struct Halved<P> {
    /// What each part that did not fail gave, in order.
    pub(crate) parts: Vec<(Range<usize>, P)>,
    /// The rows that failed alone, in order, with the reasons.
    pub(crate) failed: Vec<(usize, String)>,
}

/// Tries rows `0..rows` together, and in halves where they fail. `attempt` says why some of its rows fail in the
/// inner error; the outer one ends everything.
pub(crate) fn halve<P, E>(
    rows: usize,
    mut attempt: impl FnMut(Range<usize>) -> Result<Result<P, String>, E>,
) -> Result<Halved<P>, E> {
    let mut halved = Halved { parts: Vec::new(), failed: Vec::new() };
    go_on(0..rows, &mut attempt, &mut halved)?;
    Ok(halved)
}

fn go_on<P, E>(
    rows: Range<usize>,
    attempt: &mut impl FnMut(Range<usize>) -> Result<Result<P, String>, E>,
    halved: &mut Halved<P>,
) -> Result<(), E> {
    match attempt(rows.clone())? {
        Ok(part) => halved.parts.push((rows, part)),
        Err(reason) if rows.len() == 1 => halved.failed.push((rows.start, reason)),
        // What fails without rows says nothing of any.
        Err(_) if rows.is_empty() => {}
        Err(_) => {
            let middle = rows.start + rows.len() / 2;
            go_on(rows.start..middle, attempt, halved)?;
            go_on(middle..rows.end, attempt, halved)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rows: usize, bad: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let halved = halve(rows, |range| {
            let fails = bad.iter().any(|row| range.contains(row));
            Ok::<_, ()>(if fails { Err("bad".to_owned()) } else { Ok(()) })
        });
        let Halved { parts, failed } = halved.unwrap();
        (parts.into_iter().flat_map(|(rows, ())| rows).collect(), failed.into_iter().map(|it| it.0).collect())
    }

    #[test]
    fn exactly_the_rows_that_fail_alone_are_found_and_the_order_is_kept() {
        for bad in [vec![], vec![0], vec![6], vec![2, 3], vec![0, 1, 2, 3, 4, 5, 6]] {
            let good = (0..7).filter(|row| !bad.contains(row)).collect::<Vec<_>>();
            assert_eq!(found(7, &bad), (good, bad));
        }
        assert_eq!(found(0, &[]), (vec![], vec![]));
    }

    #[test]
    fn an_error_that_is_not_of_a_row_ends_everything() {
        let broken = halve(4, |range| {
            if range.len() > 1 { Ok::<Result<(), _>, _>(Err("bad".to_owned())) } else { Err("broken") }
        });
        assert_eq!(broken.err(), Some("broken"));
    }
}
