//! How one feature's value looks in an answer: the value, its status, its event time, its window.
//!
//! Knows JSON and what the engine answered. Must not know requests or routes.

use crate::entity::push_json;
use crate::face::{FeatureFace, Frame};
use crate::status::Status;
use arrow_array::ArrayRef;
use weir_engine::{Answer, Looked, Outcome};
use weir_event::{EventTime, Span};
use weir_format::json::{self, push_time};

/// What a lookup of one job was, apart from its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// The time asked for, or the job's own, which it has not before any event.
    pub(crate) time: Option<EventTime>,
    /// The job stands still, or its source is further behind than the job declares.
    pub(crate) stale: bool,
    /// The job has not read much of its log.
    pub(crate) catching_up: bool,
    /// Since when the feature has all of its stream's rows; `None` is from the beginning.
    pub(crate) since: Option<EventTime>,
    /// Whether event times, windows and what is unfinished are left out.
    pub(crate) lean: bool,
}

impl Asked {
    /// How one feature was asked for; `begun` says by result column since when it has all rows, where that is later than for
    /// the job.
    pub(crate) fn of(self, feature: &FeatureFace, begun: &[Option<EventTime>]) -> Asked {
        let begun = begun.get(feature.served.column).copied().flatten();
        Asked { since: self.since.max(begun), ..self }
    }
}

/// The window that a value is over, `[start, end)`; a start of `None` is the beginning of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    start: Option<EventTime>,
    end: EventTime,
    complete: bool,
}

/// Appends the VALUE of a feature.
pub(crate) fn push_value(feature: &FeatureFace, answer: &Answer, asked: Asked, out: &mut Vec<u8>) {
    out.push(b'{');
    push_members(feature, &answer.settled, asked, out);
    if !answer.known {
        out.extend_from_slice(b",\"unknown\":true");
    }
    if let Some(current) = answer.current.as_ref().filter(|_| !asked.lean) {
        out.extend_from_slice(b",\"current\":{");
        push_members(feature, current, asked, out);
        out.push(b'}');
    }
    out.push(b'}');
}

/// Appends the VALUE of a feature that could not be computed.
pub(crate) fn push_failed(reason: &str, lean: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"value\":null,\"status\":\"error\"");
    if !lean {
        out.extend_from_slice(b",\"event_time\":null,\"window\":null");
    }
    out.extend_from_slice(b",\"reason\":");
    push_json(reason, out);
    out.push(b'}');
}

/// What is said beside a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told<'t> {
    pub(crate) standing: Standing,
    /// The newest event time behind it.
    pub(crate) newest: Option<EventTime>,
    pub(crate) window: Option<Window>,
    /// Why there is none.
    pub(crate) reason: Option<&'t str>,
    /// Whether its status and the reason are all that is said.
    pub(crate) lean: bool,
}

/// What a value is, and since when it has rows where it lacks some.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) status: Status,
    pub(crate) since: Option<EventTime>,
}

/// The window of a feature's value.
pub(crate) fn window(frame: Frame, looked: &Looked, asked: Asked) -> Option<Window> {
    let complete = looked.complete;
    match frame {
        Frame::Windows => looked.window.map(|(start, end)| Window { start: Some(start), end, complete }),
        Frame::Sliding { preceding, until } => {
            let time = asked.time?;
            let start = |span: Span| (span != Span::MAX).then(|| time - span);
            Some(Window { start: preceding.and_then(start), end: time - until, complete })
        }
        Frame::Mixed => None,
    }
}

/// What a stored feature's value is.
pub(crate) fn standing(feature: &FeatureFace, looked: &Looked, asked: Asked) -> Standing {
    let of_value = status_of(feature, looked);
    let lacks_rows = |since: &EventTime| feature.served.is_partial(*since, looked, asked.time);
    let since = asked.since.filter(|_| of_value != Status::Error).filter(lacks_rows);
    let status = match of_value {
        Status::Error => Status::Error,
        _ if asked.stale => Status::Stale,
        _ if asked.catching_up => Status::CatchingUp,
        _ if since.is_some() => Status::Partial,
        status => status,
    };
    Standing { status, since }
}

fn push_members(feature: &FeatureFace, looked: &Looked, asked: Asked, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"value\":");
    push_found(feature, looked, out);
    let told = Told {
        standing: standing(feature, looked, asked),
        newest: looked.newest(&feature.served.frames),
        window: window(feature.frame, looked, asked),
        reason: looked.failure_of(feature.served.column),
        lean: asked.lean,
    };
    push_told(&told, out);
}

/// Appends the members of a VALUE that stands in a row of this column, which is null where there is none.
pub(crate) fn push_computed(values: &ArrayRef, row: usize, told: &Told<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"value\":");
    json::push_cell(values, row, out);
    push_told(told, out);
}

/// Appends what is said beside a value.
fn push_told(told: &Told<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"status\":\"");
    out.extend_from_slice(told.standing.status.word().as_bytes());
    out.push(b'"');
    if !told.lean {
        out.extend_from_slice(b",\"event_time\":");
        push_time_or_null(told.newest, out);
        out.extend_from_slice(b",\"window\":");
        push_window(told.window, out);
    }
    if let Some(since) = told.standing.since {
        out.extend_from_slice(b",\"since\":");
        push_time(since.millis(), out);
    }
    if let Some(reason) = told.reason {
        out.extend_from_slice(b",\"reason\":");
        push_json(reason, out);
    }
}

/// What a value is, the job apart.
fn status_of(feature: &FeatureFace, looked: &Looked) -> Status {
    match feature.served.outcome(looked) {
        Outcome::Failed => Status::Error,
        Outcome::Found => Status::Ok,
        Outcome::Default => Status::Default,
        Outcome::Nothing => Status::NotFound,
    }
}

/// Appends the value itself.
fn push_found(feature: &FeatureFace, looked: &Looked, out: &mut Vec<u8>) {
    match (status_of(feature, looked), &feature.default) {
        (Status::Default, Some(default)) => out.extend_from_slice(default),
        (Status::Ok | Status::NotFound, _) if looked.columns.num_rows() > 0 => {
            json::push_cell(looked.columns.column(feature.served.column), 0, out);
        }
        _ => out.extend_from_slice(b"null"),
    }
}

fn push_window(window: Option<Window>, out: &mut Vec<u8>) {
    let Some(window) = window else { return out.extend_from_slice(b"null") };
    out.extend_from_slice(b"{\"start\":");
    push_time_or_null(window.start, out);
    out.extend_from_slice(b",\"end\":");
    push_time(window.end.millis(), out);
    out.extend_from_slice(if window.complete { b",\"complete\":true}" } else { b",\"complete\":false}" });
}

pub(crate) fn push_time_or_null(time: Option<EventTime>, out: &mut Vec<u8>) {
    match time {
        Some(time) => push_time(time.millis(), out),
        None => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Int64Array, RecordBatch};
    use serde_json::{Value, json};
    use std::sync::Arc;
    use weir_engine::{FrameRows, Lookback, OverLookback, Served};
    use weir_timeline::{Bounds, Exclude, OverFrame};

    fn time(millis: i64) -> EventTime {
        EventTime::from_millis(millis)
    }

    fn looked(value: Option<i64>, rows: u64, window: Option<(i64, i64)>) -> Looked {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(value));
        Looked {
            columns: RecordBatch::try_from_iter([("rides", column)]).unwrap(),
            window: window.map(|(start, end)| (time(start), time(end))),
            complete: false,
            frames: vec![FrameRows {
                rows,
                newest: (rows > 0).then(|| time(900)),
                oldest: (rows > 0).then(|| time(700)),
            }],
            failures: Vec::new(),
        }
    }

    const SECOND: Frame = Frame::Sliding { preceding: Some(Span::from_millis(1000)), until: Span::ZERO };

    /// Frames without number: each is the first.
    fn over(bounds: &[Bounds]) -> Lookback {
        let frame = |bounds: &Bounds| (0, OverFrame { bounds: *bounds, exclude: Exclude::None });
        Lookback::Over(OverLookback { frames: bounds.iter().map(frame).collect(), ..OverLookback::default() })
    }

    fn feature(default: Option<&str>, frame: Frame) -> FeatureFace {
        FeatureFace {
            name: "rides".to_owned(),
            label: Vec::new(),
            full_label: Vec::new(),
            served: Served {
                column: 0,
                frames: vec![0],
                lookback: match frame {
                    Frame::Sliding { preceding, until } => over(&[Bounds::Range { preceding, until }]),
                    Frame::Windows | Frame::Mixed => Lookback::Window,
                },
                has_default: default.is_some(),
            },
            frame,
            default: default.map(|text| text.as_bytes().to_vec()),
            default_value: None,
        }
    }

    fn written(default: Option<&str>, frame: Frame, answer: &Answer, asked: Asked) -> Value {
        let mut out = Vec::new();
        push_value(&feature(default, frame), answer, asked, &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    const ASKED: Asked = Asked {
        time: Some(EventTime::from_millis(5000)),
        stale: false,
        catching_up: false,
        since: None,
        lean: false,
    };

    fn answer(settled: Looked, current: Option<Looked>) -> Answer {
        Answer { settled, current, known: true, as_of: time(5000) }
    }

    #[test]
    fn a_grid_shows_the_complete_window_and_the_one_that_ends_next() {
        let complete = Looked { complete: true, ..looked(Some(3), 3, Some((0, 1000))) };
        let answer = answer(complete, Some(looked(Some(1), 1, Some((1000, 2000)))));
        let second = |second: i64| time(second * 1000).to_string();
        let window =
            |start, end, complete| json!({"start": second(start), "end": second(end), "complete": complete});
        let newest = "1970-01-01T00:00:00.900Z";
        assert_eq!(
            written(None, Frame::Windows, &answer, ASKED),
            json!({
                "value": 3, "status": "ok", "event_time": newest, "window": window(0, 1, true),
                "current": {"value": 1, "status": "ok", "event_time": newest, "window": window(1, 2, false)}
            })
        );
        let lean = written(None, Frame::Windows, &answer, Asked { lean: true, ..ASKED });
        assert_eq!(lean, json!({"value": 3, "status": "ok"}));
    }

    #[test]
    fn no_row_gives_the_default_or_the_identity() {
        let absent = answer(looked(Some(0), 0, None), None);
        let value = written(None, SECOND, &absent, ASKED);
        assert_eq!((&value["value"], &value["status"]), (&json!(0), &json!("not_found")));
        assert_eq!(
            value["window"],
            json!({"start": "1970-01-01T00:00:04.000Z", "end": "1970-01-01T00:00:05.000Z", "complete": false})
        );
        let value = written(Some("7"), SECOND, &absent, ASKED);
        assert_eq!((&value["value"], &value["status"]), (&json!(7), &json!("default")));
        let unknown = Answer { known: false, ..absent };
        assert_eq!(written(Some("7"), SECOND, &unknown, ASKED)["unknown"], true);
        assert_eq!(value.get("unknown"), None, "a known one without rows");
        // HAVING was not true.
        let refused = answer(looked(None, 4, None), None);
        let value = written(None, Frame::Mixed, &refused, ASKED);
        assert_eq!((&value["value"], &value["status"]), (&Value::Null, &json!("not_found")));
        let value = written(Some("7"), Frame::Mixed, &refused, ASKED);
        assert_eq!((&value["value"], &value["status"]), (&json!(7), &json!("default")));
    }

    #[test]
    fn a_window_that_reaches_before_the_data_is_partial() {
        let answer = answer(looked(Some(3), 3, None), None);
        let asked = Asked { since: Some(time(4500)), ..ASKED };
        let of = |frame| written(None, frame, &answer, asked);
        let value = of(SECOND);
        assert_eq!((&value["value"], &value["status"]), (&json!(3), &json!("partial")));
        assert_eq!(value["since"], time(4500).to_string());
        let sliding = |preceding, until| Frame::Sliding { preceding, until: Span::from_millis(until) };
        assert_eq!(of(sliding(None, 0))["status"], "partial");
        assert_eq!(of(sliding(Some(Span::from_millis(500)), 0))["status"], "ok");
        let ends_before = of(sliding(None, 2000));
        assert_eq!(ends_before["window"]["end"], time(3000).to_string());
    }

    #[test]
    fn frames_of_several_kinds_are_partial_as_long_as_one_of_them_is() {
        let answer = answer(looked(Some(3), 3, None), None);
        let of = |bounds: &[Bounds], since: i64| {
            let face = feature(None, Frame::Mixed);
            let served =
                Served { frames: vec![0; bounds.len()], lookback: over(bounds), ..face.served.clone() };
            let mixed = FeatureFace { served, ..face };
            let mut out = Vec::new();
            push_value(&mixed, &answer, Asked { since: Some(time(since)), ..ASKED }, &mut out);
            serde_json::from_slice::<Value>(&out).unwrap()["status"].clone()
        };
        let rows = Bounds::Rows { preceding: Some(2), until: 0 };
        let range = |millis| Bounds::Range { preceding: Some(Span::from_millis(millis)), until: Span::ZERO };
        assert_eq!((of(&[rows], 701), of(&[rows], 700)), (json!("partial"), json!("ok")));
        assert_eq!(of(&[range(500), range(1000)], 4001), "partial");
        assert_eq!(of(&[range(500), range(1000)], 4000), "ok");
        assert_eq!(of(&[rows, range(1000)], 4001), "partial");
    }

    #[test]
    fn stale_and_error_are_said() {
        let answer = answer(looked(Some(3), 3, None), None);
        let stale = Asked { stale: true, ..ASKED };
        let value = written(None, Frame::Mixed, &answer, stale);
        assert_eq!((&value["value"], &value["status"]), (&json!(3), &json!("stale")));
        let behind = Asked { catching_up: true, since: Some(time(4500)), ..ASKED };
        assert_eq!(written(None, Frame::Mixed, &answer, behind)["status"], "catching_up");
        let both = Asked { stale: true, ..behind };
        assert_eq!(written(None, Frame::Mixed, &answer, both)["status"], "stale");
        let overflow =
            Looked { failures: vec![(Some(0), "overflow".to_owned())], ..looked(Some(3), 3, None) };
        let value = written(Some("0"), Frame::Mixed, &super::tests::answer(overflow, None), stale);
        assert_eq!(
            (&value["value"], &value["status"], &value["reason"]),
            (&Value::Null, &json!("error"), &json!("overflow"))
        );
        let mut out = Vec::new();
        push_failed("tr\"ap", false, &mut out);
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap()["reason"], "tr\"ap");
        out.clear();
        push_failed("trap", true, &mut out);
        assert_eq!(
            serde_json::from_slice::<Value>(&out).unwrap(),
            json!({"value": null, "status": "error", "reason": "trap"})
        );
    }
}
