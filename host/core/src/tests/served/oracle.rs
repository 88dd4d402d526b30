//! What a lookup must find, in the most obvious way: a plain list of the rows that count, looked through anew for each
//! question.

use weir_event::Span;
use weir_timeline::{Bounds, Exclude, Frames, OverFrame, StageSpec};

/// All windows end between these times, and all rows lie there.
pub(super) const TIMES: std::ops::Range<i64> = -400..700;

/// A row that counts.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) key: u8,
    pub(super) time: i64,
    /// Its number in the log, which orders rows of one time.
    pub(super) offset: i64,
    pub(super) kind: i64,
    pub(super) flag: bool,
    /// What ended before this was final for good when it came.
    floor: i64,
}

/// The rows of each frame, and the window that they are in.
#[derive(Debug, Default)]
pub(super) struct Expected<'a> {
    pub(super) frames: Vec<Vec<&'a Row>>,
    pub(super) window: Option<(i64, i64)>,
}

#[derive(Debug)]
pub(super) struct Oracle {
    pub(super) rows: Vec<Row>,
    pub(super) settled: i64,
    /// The oldest time that can be asked for.
    pub(super) oldest: i64,
}

impl Oracle {
    pub(super) fn new() -> Oracle {
        Oracle { rows: Vec::new(), settled: i64::MIN, oldest: i64::MIN }
    }

    pub(super) fn settle(&mut self, spec: &StageSpec, to: i64) {
        self.settled = self.settled.max(to);
        self.oldest = self.oldest.max(self.settled.saturating_sub(spec.reach().millis()));
    }

    /// Takes a row in, if any result that it belongs to may still be written; tells whether.
    pub(super) fn insert(
        &mut self,
        spec: &StageSpec,
        row: (u8, i64, i64, bool),
        offset: i64,
        watermark: i64,
    ) -> bool {
        let (key, time, kind, flag) = row;
        let floor = self.floor(spec, watermark);
        let row = Row { key, time, offset, kind, flag, floor };
        let counts = match &spec.frames {
            Frames::Over(_) => time >= floor,
            Frames::Lifetime => time >= self.oldest,
            Frames::Session(session) => {
                let is_forgotten = spec.retention.is_some_and(|it| time + it.millis() <= floor);
                time + session.gap.millis() >= floor
                    || self.goes_on(key, time, session.gap.millis(), floor) && !is_forgotten
            }
            frames => {
                windows(frames).iter().any(|window| (window.0..window.1).contains(&time) && window.1 > floor)
            }
        };
        if counts {
            self.rows.push(row);
        }
        counts
    }

    /// Results that ended before this stay as they are, whatever comes behind a watermark.
    fn floor(&self, spec: &StageSpec, watermark: i64) -> i64 {
        let reach = spec.corrects.map_or(0, Span::millis);
        watermark.saturating_sub(reach).max(self.oldest)
    }

    /// Whether a row is of a session that late ones still come into, and of none that is out of their reach.
    fn goes_on(&self, key: u8, time: i64, gap: i64, floor: i64) -> bool {
        let rows = self.rows_of(key, i64::MAX);
        let sessions: Vec<&[&Row]> = rows.chunk_by(|one, next| next.time - one.time <= gap).collect();
        let bounds = sessions.iter().map(|rows| (rows[0].time, rows[rows.len() - 1].time + gap));
        let near: Vec<i64> =
            bounds.filter(|(start, end)| time + gap >= *start && time <= *end).map(|(_, end)| end).collect();
        near.iter().any(|end| *end >= floor) && near.iter().all(|end| *end + gap >= floor)
    }

    /// A key's rows up to a time, in order.
    fn rows_of(&self, key: u8, until: i64) -> Vec<&Row> {
        let mut rows: Vec<&Row> =
            self.rows.iter().filter(|row| row.key == key && row.time <= until).collect();
        rows.sort_by_key(|row| (row.time, row.offset));
        rows
    }

    pub(super) fn expected(&self, spec: &StageSpec, key: u8, as_of: i64) -> Expected<'_> {
        let rows = self.rows_of(key, as_of);
        match &spec.frames {
            Frames::Over(frames) => {
                let frames = frames.iter().map(|frame| over_rows(frame, spec, &rows, as_of)).collect();
                Expected { frames, window: None }
            }
            Frames::Lifetime => {
                let pause = spec.retention.unwrap_or(Span::MAX).millis();
                let run = last_run(rows, pause);
                let is_over = run.last().is_some_and(|last| last.time.saturating_add(pause) < as_of);
                Expected { frames: vec![if is_over { Vec::new() } else { run }], window: None }
            }
            Frames::Session(session) => {
                let run = last_run(rows, session.gap.millis());
                let Some(last) = run.last() else { return Expected { frames: vec![run], window: None } };
                let window = (run[0].time, last.time + session.gap.millis());
                let is_forgotten = spec.retention.is_some_and(|it| window.1 + it.millis() <= as_of);
                match is_forgotten {
                    true => Expected { frames: vec![Vec::new()], window: None },
                    false => Expected { frames: vec![run], window: Some(window) },
                }
            }
            frames => {
                let complete_by = as_of.saturating_add(1).min(self.settled);
                let complete = windows(frames).into_iter().filter(|window| window.1 <= complete_by);
                let window = complete.max_by_key(|window| window.1);
                let Some(window) = window else { return Expected { frames: vec![Vec::new()], window: None } };
                Expected { frames: vec![self.rows_in(key, window)], window: Some(window) }
            }
        }
    }

    /// The rows of a window on a grid.
    pub(super) fn rows_in(&self, key: u8, window: (i64, i64)) -> Vec<&Row> {
        let mut rows = self.rows_of(key, window.1 - 1);
        rows.retain(|row| row.time >= window.0 && window.1 > row.floor);
        rows
    }
}

/// All windows of a grid that any row may be in.
fn windows(frames: &Frames) -> Vec<(i64, i64)> {
    let mut windows = Vec::new();
    match frames {
        Frames::Grid(grid) => {
            let (size, slide, offset) = (grid.size.millis(), grid.slide.millis(), grid.offset.millis());
            let starts = TIMES.start.div_euclid(slide)..TIMES.end.div_euclid(slide);
            windows.extend(starts.map(|at| (at * slide + offset, at * slide + offset + size)));
        }
        Frames::Cumulate(cumulate) => {
            let (size, step) = (cumulate.size.millis(), cumulate.step.millis());
            for at in TIMES.start.div_euclid(size)..TIMES.end.div_euclid(size) {
                let start = at * size + cumulate.offset.millis();
                windows.extend((1..=size / step).map(|steps| (start, start + steps * step)));
            }
        }
        Frames::Table(table) => windows.extend(table.starts.windows(2).map(|pair| (pair[0], pair[1]))),
        Frames::Session(_) | Frames::Lifetime | Frames::Process | Frames::Over(_) => {}
    }
    windows
}

/// The last rows without a pause longer than this.
fn last_run(rows: Vec<&Row>, pause: i64) -> Vec<&Row> {
    let breaks = rows.windows(2).rposition(|pair| pair[1].time.saturating_sub(pair[0].time) > pause);
    rows[breaks.map_or(0, |at| at + 1)..].to_vec()
}

/// The rows of a frame of `OVER`, out of a key's rows up to the time asked for.
fn over_rows<'a>(frame: &OverFrame, spec: &StageSpec, rows: &[&'a Row], as_of: i64) -> Vec<&'a Row> {
    let Some(current) = rows.len().checked_sub(1) else { return Vec::new() };
    let step = spec.tail.map_or(1, Span::millis);
    let is_in = |at: usize| match frame.bounds {
        Bounds::Range { preceding, until } => {
            let begin =
                preceding.or(spec.retention).map(|reach| (as_of - reach.millis()).div_euclid(step) * step);
            as_of - rows[at].time >= until.millis() && begin.is_none_or(|begin| rows[at].time >= begin)
        }
        Bounds::Rows { preceding, until } => {
            let back = (current - at) as u64;
            let is_excluded = match frame.exclude {
                Exclude::None => false,
                Exclude::CurrentRow => at == current,
                Exclude::Ties => at != current && rows[at].time == rows[current].time,
            };
            let is_retained = spec.retention.is_none_or(|it| as_of - rows[at].time <= it.millis());
            back >= until
                && preceding.is_none_or(|preceding| back <= preceding)
                && is_retained
                && !is_excluded
        }
    };
    (0..rows.len()).filter(|at| is_in(*at)).map(|at| rows[at]).collect()
}

/// The values of the world's aggregates over rows in order; `window` is for those that are series.
pub(super) fn value(
    aggregate: usize,
    rows: &[&Row],
    window: Option<(i64, i64)>,
    step: Option<i64>,
) -> String {
    let of = |value: Option<i64>| value.map_or_else(|| "null".to_owned(), |value| value.to_string());
    let offsets = || rows.iter().map(|row| row.offset);
    match aggregate {
        0 => rows.len().to_string(),
        1 => of((!rows.is_empty()).then(|| offsets().sum())),
        2 => of(offsets().max()),
        3 => list(offsets().map(Some)),
        4 => {
            let mut runs: Vec<(i64, i64)> = vec![(0, 0)];
            for row in rows {
                match runs.last_mut().filter(|run| run.1 > 0 && run.0 == row.kind) {
                    Some(run) => run.1 += 1,
                    None => runs.push((row.kind, 1)),
                }
            }
            of(runs.iter().map(|run| run.1).max())
        }
        5 => rows.iter().filter(|row| row.flag).count().to_string(),
        _ => {
            let Some((window, step)) = window.zip(step) else { return list(std::iter::empty()) };
            let starts = (window.0..window.1).step_by(step as usize);
            let last = |start| {
                rows.iter().rfind(|row| (start..start + step).contains(&row.time)).map(|row| row.offset)
            };
            list(starts.map(last))
        }
    }
}

pub(super) fn list(items: impl Iterator<Item = Option<i64>>) -> String {
    let items: Vec<String> =
        items.map(|item| item.map_or_else(|| "null".to_owned(), |item| item.to_string())).collect();
    format!("[{}]", items.join(","))
}
