//! The aggregates beyond the basic ones: each call beside the obvious computation of its value from a frame's rows.

use super::model::Row;
use super::oracle::Cell;
use crate::aggregate::exact::ExactSum;
use crate::{Aggregate, Parameter, builtin};
use arrow_schema::DataType;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A frame's rows in total order, and the time that is asked for.
pub(super) struct Frame<'a> {
    pub(super) rows: Vec<&'a Row>,
    pub(super) as_of: i64,
}

/// An aggregate under test. Columns are 0 whole, 1 double, 2 text, 3 flag.
struct Figure {
    name: &'static str,
    columns: &'static [usize],
    parameters: Vec<Parameter>,
    /// Whether only rows with a flag that is true count.
    filtered: bool,
    /// `None` where there is no simple way to the same bits.
    value: fn(&Frame<'_>) -> Option<Cell>,
}

/// Functions, columns of their arguments, whether they have a filter.
pub(super) fn calls(types: &[DataType]) -> Vec<(Arc<dyn Aggregate>, Vec<usize>, bool)> {
    let call = |figure: Figure| {
        let arguments: Vec<DataType> = figure.columns.iter().map(|at| types[*at].clone()).collect();
        let function = builtin(figure.name, false, &arguments, &figure.parameters).unwrap();
        (function, figure.columns.to_vec(), figure.filtered)
    };
    figures().into_iter().map(call).collect()
}

/// The values of [`calls`].
pub(super) fn values(rows: &[&Row], as_of: i64) -> Vec<Option<Cell>> {
    let value = |figure: Figure| {
        let counts = |row: &&&Row| !figure.filtered || row.flag == Some(true);
        let rows: Vec<&Row> = rows.iter().filter(counts).copied().collect();
        (figure.value)(&Frame { rows, as_of })
    };
    figures().into_iter().map(value).collect()
}

fn figures() -> Vec<Figure> {
    let plain = |name, columns, value| Figure { name, columns, parameters: vec![], filtered: false, value };
    let with =
        |name, parameters, columns, value| Figure { name, columns, parameters, filtered: false, value };
    let filtered = |figure: Figure| Figure { filtered: true, ..figure };
    let int = |value| vec![Parameter::Int(value)];
    let text = |value: &str| vec![Parameter::Text(value.to_owned())];
    vec![
        plain("VAR_POP", &[0], |it| double(it.variance(&it.wholes(), 0))),
        plain("VAR_SAMP", &[1], |it| double(it.variance(&it.doubles(), 1))),
        plain("STDDEV_POP", &[1], |it| double(it.variance(&it.doubles(), 0).map(f64::sqrt))),
        filtered(plain("STDDEV_SAMP", &[0], |it| double(it.variance(&it.wholes(), 1).map(f64::sqrt)))),
        plain("SKEWNESS", &[0], |it| double(skewness(&it.wholes()))),
        plain("KURTOSIS", &[0], |it| double(kurtosis(&it.wholes()))),
        plain("COVAR_SAMP", &[0, 1], |it| double(it.covariance())),
        plain("CORR", &[1, 0], |it| double(it.correlation())),
        with("FIRST_N", int(2), &[2], |it| list(first(2, it.texts()))),
        with("LAST_N", int(2), &[2, 0], |it| list(it.last_rows(2))),
        plain("COLLECT", &[0], |it| list(it.whole_cells())),
        with("LAST_DISTINCT_N", int(3), &[0], |it| list(it.last_distinct(3))),
        with("MAX_N", int(3), &[0], |it| list(first(3, reversed(sorted(it.whole_cells()))))),
        filtered(with("MIN_N", int(2), &[2], |it| list(first(2, sorted(it.texts()))))),
        with("COLLECT_DISTINCT", int(3), &[0], |it| list(first(3, distinct(it.whole_cells())))),
        plain("ARG_MIN", &[2, 0], |it| it.text_where(|best, whole| whole < best)),
        plain("ARG_MAX", &[2, 0], |it| it.text_where(|best, whole| whole > best)),
        plain("MODE", &[0], |it| Some(first(1, frequent(it.whole_cells())).pop().unwrap_or(Cell::Null))),
        with("MOST_FREQUENT_N", int(2), &[2], |it| list(first(2, frequent(it.texts())))),
        with("APPROX_MOST_FREQUENT_N", int(2), &[0], |it| list(first(2, frequent(it.whole_cells())))),
        plain("HISTOGRAM", &[2], |it| list(histogram(it.texts()))),
        plain("ENTROPY", &[2], |it| double(entropy(it.texts()))),
        plain("APPROX_COUNT_DISTINCT", &[2], |it| whole(distinct(it.texts()).len() as i64)),
        with("APPROX_PERCENTILE", vec![Parameter::Double(0.6)], &[0], |it| double(percentile(it, 0.6))),
        with("MAP_AGG_BY", text("sum"), &[2, 0], |it| list(it.sums_by_text())),
        with("MAP_AGG_BY", text("max"), &[2, 0], |it| list(it.greatest_by_text())),
        plain("BOOL_AND", &[3], |it| boolean(it.flags().iter().min())),
        plain("BOOL_OR", &[3], |it| boolean(it.flags().iter().max())),
        plain("BIT_AND", &[0], |it| whole_or_null(it.bits().reduce(|a, b| a & b))),
        plain("BIT_OR", &[0], |it| whole_or_null(it.bits().reduce(|a, b| a | b))),
        plain("BIT_XOR", &[0], |it| whole_or_null(it.bits().reduce(|a, b| a ^ b))),
        with("DECAY_SUM", int(7), &[1], |_| None),
        with("DECAY_COUNT", text("5ms"), &[], |_| None),
        filtered(with("DECAY_AVG", int(3), &[0], |_| None)),
        plain("TIME_SINCE_FIRST", &[], |it| whole_or_null(it.times().first().map(|time| it.as_of - time))),
        filtered(plain("TIME_SINCE_LAST", &[], |it| {
            whole_or_null(it.times().last().map(|time| it.as_of - time))
        })),
        plain("GAP_AVG", &[], |it| double(mean(&it.gaps()))),
        plain("GAP_MIN", &[], |it| whole_or_null(it.gaps().into_iter().min())),
        filtered(plain("GAP_MAX", &[], |it| whole_or_null(it.gaps().into_iter().max()))),
        plain("GAP_STDDEV", &[], |it| {
            let gaps: Vec<f64> = it.gaps().iter().map(|gap| *gap as f64).collect();
            double(it.variance(&gaps, 1).map(f64::sqrt))
        }),
        plain("STREAK", &[3], |it| whole(runs(&it.flags()).last().copied().unwrap_or(0))),
        plain("LONGEST_STREAK", &[0], |it| whole(runs(&it.whole_cells()).into_iter().max().unwrap_or(0))),
    ]
}

fn whole(value: i64) -> Option<Cell> {
    Some(Cell::Whole(value))
}

fn whole_or_null(value: Option<i64>) -> Option<Cell> {
    Some(value.map_or(Cell::Null, Cell::Whole))
}

/// Zero has no sign here: what sums of nothing and products with zero give is not that of any formula.
fn double(value: Option<f64>) -> Option<Cell> {
    Some(value.map_or(Cell::Null, |value| Cell::double(value + 0.0)))
}

fn boolean(value: Option<&bool>) -> Option<Cell> {
    Some(value.map_or(Cell::Null, |value| Cell::Boolean(*value)))
}

fn list(cells: Vec<Cell>) -> Option<Cell> {
    Some(Cell::List(cells))
}

fn first(count: usize, mut cells: Vec<Cell>) -> Vec<Cell> {
    cells.truncate(count);
    cells
}

fn sorted(mut cells: Vec<Cell>) -> Vec<Cell> {
    cells.sort();
    cells
}

fn reversed(mut cells: Vec<Cell>) -> Vec<Cell> {
    cells.reverse();
    cells
}

fn distinct(cells: Vec<Cell>) -> Vec<Cell> {
    cells.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

fn counts(cells: Vec<Cell>) -> BTreeMap<Cell, i64> {
    let mut counts = BTreeMap::new();
    cells.into_iter().for_each(|cell| *counts.entry(cell).or_default() += 1);
    counts
}

/// The most frequent first, ties rising.
fn frequent(cells: Vec<Cell>) -> Vec<Cell> {
    let mut counted: Vec<(Cell, i64)> = counts(cells).into_iter().collect();
    counted.sort_by_key(|(_, count)| -count);
    counted.into_iter().map(|(cell, _)| cell).collect()
}

fn histogram(cells: Vec<Cell>) -> Vec<Cell> {
    counts(cells).into_iter().map(|(cell, count)| Cell::List(vec![cell, Cell::Whole(count)])).collect()
}

fn entropy(cells: Vec<Cell>) -> Option<f64> {
    let total = cells.len() as f64;
    let counts: Vec<i64> = counts(cells).into_values().collect();
    let mut sum = ExactSum::default();
    counts.iter().for_each(|count| sum.add(*count as f64 * (*count as f64).ln()));
    match counts.len() {
        0 => None,
        1 => Some(0.0),
        _ => Some(total.ln() - sum.value() / total),
    }
}

fn mean(values: &[i64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<i64>() as f64 / values.len() as f64)
}

/// The least value that a part of all are not above.
fn percentile(frame: &Frame<'_>, part: f64) -> Option<f64> {
    let mut values = frame.wholes();
    values.sort_by(f64::total_cmp);
    let rank = (part * values.len() as f64).ceil() as usize;
    values.get(rank.max(1) - 1).copied()
}

/// Lengths of the runs of equal values.
fn runs<T: PartialEq>(values: &[T]) -> Vec<i64> {
    values.chunk_by(|a, b| a == b).map(|run| run.len() as i64).collect()
}

fn power_sum(values: &[f64], power: i32) -> f64 {
    values.iter().map(|value| value.powi(power)).sum()
}

/// With values that are small whole numbers, all but the last division is exact.
fn skewness(values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    let [s1, s2, s3] = [1, 2, 3].map(|power| power_sum(values, power));
    let spread = n * s2 - s1 * s1;
    let third = n * n * s3 - 3.0 * n * s1 * s2 + 2.0 * s1 * s1 * s1;
    (spread > 0.0).then(|| third / (spread * spread.sqrt()))
}

fn kurtosis(values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    let [s1, s2, s3, s4] = [1, 2, 3, 4].map(|power| power_sum(values, power));
    let spread = n * s2 - s1 * s1;
    let fourth = n * n * n * s4 - 4.0 * n * n * s1 * s3 + 6.0 * n * s1 * s1 * s2 - 3.0 * s1 * s1 * s1 * s1;
    (spread > 0.0).then(|| (fourth - 3.0 * spread * spread) / (spread * spread))
}

impl Frame<'_> {
    fn wholes(&self) -> Vec<f64> {
        self.rows.iter().filter_map(|row| row.whole.map(|it| it as f64)).collect()
    }

    fn doubles(&self) -> Vec<f64> {
        self.rows.iter().filter_map(|row| row.double).collect()
    }

    fn whole_cells(&self) -> Vec<Cell> {
        self.rows.iter().filter_map(|row| row.whole.map(Cell::Whole)).collect()
    }

    fn texts(&self) -> Vec<Cell> {
        self.rows.iter().filter_map(|row| row.text.clone().map(Cell::Text)).collect()
    }

    fn flags(&self) -> Vec<bool> {
        self.rows.iter().filter_map(|row| row.flag).collect()
    }

    fn bits(&self) -> impl Iterator<Item = i64> {
        self.rows.iter().filter_map(|row| row.whole)
    }

    fn times(&self) -> Vec<i64> {
        self.rows.iter().map(|row| row.time).collect()
    }

    fn gaps(&self) -> Vec<i64> {
        self.times().windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    /// Doubles are quarters, so that only the last division rounds.
    fn variance(&self, values: &[f64], less: usize) -> Option<f64> {
        let n = values.len();
        let spread = n as f64 * power_sum(values, 2) - power_sum(values, 1) * power_sum(values, 1);
        let is_finite = values.iter().all(|value| value.is_finite());
        let value = || if is_finite { spread / (n * (n - less)) as f64 } else { f64::NAN };
        (n > less).then(value)
    }

    fn pairs(&self) -> Vec<(f64, f64)> {
        self.rows.iter().filter_map(|row| Some((row.whole? as f64, row.double?))).collect()
    }

    /// n times the sum of products less the product of sums, of x and y, x and x, y and y.
    fn spreads(&self) -> [f64; 3] {
        let pairs = self.pairs();
        let n = pairs.len() as f64;
        let sum = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>();
        let (x, y) = (sum(|it| it.0), sum(|it| it.1));
        [
            n * sum(|it| it.0 * it.1) - x * y,
            n * sum(|it| it.0 * it.0) - x * x,
            n * sum(|it| it.1 * it.1) - y * y,
        ]
    }

    fn has_strange_pairs(&self) -> bool {
        self.pairs().iter().any(|(_, y)| !y.is_finite())
    }

    fn covariance(&self) -> Option<f64> {
        let n = self.pairs().len();
        let value = || self.spreads()[0] / (n * (n - 1)) as f64;
        (n > 1).then(|| if self.has_strange_pairs() { f64::NAN } else { value() })
    }

    fn correlation(&self) -> Option<f64> {
        let [xy, xx, yy] = self.spreads();
        if self.has_strange_pairs() {
            return Some(f64::NAN);
        }
        (xx * yy > 0.0).then(|| (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0))
    }

    fn last_rows(&self, count: usize) -> Vec<Cell> {
        let row = |row: &&Row| {
            let text = row.text.clone().map_or(Cell::Null, Cell::Text);
            Cell::List(vec![text, row.whole.map_or(Cell::Null, Cell::Whole)])
        };
        let kept: Vec<Cell> =
            self.rows.iter().filter(|it| it.text.is_some() || it.whole.is_some()).map(row).collect();
        kept[kept.len().saturating_sub(count)..].to_vec()
    }

    fn last_distinct(&self, count: usize) -> Vec<Cell> {
        let mut seen: Vec<Cell> = Vec::new();
        for cell in self.whole_cells().into_iter().rev() {
            if !seen.contains(&cell) {
                seen.push(cell);
            }
        }
        reversed(first(count, seen))
    }

    /// The text of the first row whose whole number no other row's beats.
    fn text_where(&self, beats: fn(i64, i64) -> bool) -> Option<Cell> {
        let mut best: Option<(i64, &Row)> = None;
        for row in &self.rows {
            if let Some(whole) = row.whole
                && best.is_none_or(|(best, _)| beats(best, whole))
            {
                best = Some((whole, row));
            }
        }
        Some(best.and_then(|(_, row)| row.text.clone()).map_or(Cell::Null, Cell::Text))
    }

    fn by_text(&self) -> BTreeMap<String, Vec<i64>> {
        let mut groups: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for row in &self.rows {
            if let Some(text) = &row.text {
                groups.entry(text.clone()).or_default().extend(row.whole);
            }
        }
        groups
    }

    fn sums_by_text(&self) -> Vec<Cell> {
        let sum =
            |values: &[i64]| if values.is_empty() { Cell::Null } else { Cell::Whole(values.iter().sum()) };
        self.by_text()
            .into_iter()
            .map(|(text, values)| Cell::List(vec![Cell::Text(text), sum(&values)]))
            .collect()
    }

    fn greatest_by_text(&self) -> Vec<Cell> {
        let greatest = |values: &[i64]| values.iter().max().map_or(Cell::Null, |it| Cell::Whole(*it));
        self.by_text()
            .into_iter()
            .map(|(text, values)| Cell::List(vec![Cell::Text(text), greatest(&values)]))
            .collect()
    }
}
