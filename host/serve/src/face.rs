//! A job as lookups see it: what would otherwise be worked out for every request, worked out once per plan.
//!
//! Knows plans. Must not know HTTP or where values come from.

use crate::entity::{KeyColumn, key_columns};
use crate::value::push_time_or_null;
use arrow_array::types::{Decimal128Type, DecimalType as _};
use serde_json::Value;
use std::sync::Arc;
use weir_engine::Served;
use weir_event::{DataType, EventTime, Span};
use weir_plan::{Feature, JobPlan, KeyedStage};
use weir_timeline::{Bounds, Frames};

/// What a value of a job is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A window of GROUP BY, which the answer names.
    Windows,
    /// From so far back of the time asked, `None` is from the beginning, to so far before it.
    Sliding { preceding: Option<Span>, until: Span },
    /// Several frames, or one that no two times bound.
    Mixed,
}

/// A job's keys and features, ready to be asked for.
#[derive(Debug)]
pub(crate) struct Face {
    pub(crate) plan: Arc<JobPlan>,
    /// The key columns; none for a job without entity, whose lookup the engine refuses.
    pub(crate) keys: Vec<KeyColumn>,
    pub(crate) features: Vec<FeatureFace>,
    /// Whether its lookups may take as long as a guest's fuel lasts.
    pub(crate) calls_guests: bool,
    /// The member of `jobs` up to the watermark.
    meta: Vec<u8>,
}

/// A feature, ready to be written.
#[derive(Debug)]
pub(crate) struct FeatureFace {
    pub(crate) name: String,
    /// `"feature":`, for answers of one job.
    pub(crate) label: Vec<u8>,
    /// `"job:feature":`, for answers of several.
    pub(crate) full_label: Vec<u8>,
    /// Where its value is found.
    pub(crate) served: Served,
    /// What these are, where they are one.
    pub(crate) frame: Frame,
    /// JSON of the declared default.
    pub(crate) default: Option<Vec<u8>>,
}

impl Face {
    pub(crate) fn new(plan: &Arc<JobPlan>) -> Face {
        let text = |text: &str| Value::from(text).to_string();
        let meta = format!(
            "{}:{{\"version\":{},\"definition\":{},\"watermark\":",
            text(&plan.name),
            plan.version,
            text(&plan.definition)
        );
        Face {
            keys: plan.stage.as_ref().map(key_columns).unwrap_or_default(),
            features: plan.features.iter().map(|feature| FeatureFace::new(plan, feature)).collect(),
            calls_guests: plan.calls_components(),
            meta: meta.into_bytes(),
            plan: plan.clone(),
        }
    }

    /// Appends the job's member of `jobs`; `extra` is what else it says, each member after a comma.
    pub(crate) fn push_meta(
        &self,
        watermark: Option<EventTime>,
        as_of: Option<EventTime>,
        extra: &[u8],
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(&self.meta);
        push_time_or_null(watermark, out);
        out.extend_from_slice(b",\"as_of\":");
        push_time_or_null(as_of, out);
        out.extend_from_slice(extra);
        out.push(b'}');
    }
}

impl FeatureFace {
    fn new(plan: &JobPlan, feature: &Feature) -> FeatureFace {
        let label = |name: &str| format!("{}:", Value::from(name)).into_bytes();
        let served = Served::of(plan, feature);
        let of_stage = |stage: &KeyedStage| {
            frame(
                &stage.spec.frames,
                &window_frames(&stage.spec.frames, stage.spec.results_below.is_some(), &served.frames),
            )
        };
        let frame = plan.stage.as_ref().map_or(Frame::Mixed, of_stage);
        FeatureFace {
            name: feature.name.clone(),
            label: label(&feature.name),
            full_label: label(&format!("{}:{}", plan.name, feature.name)),
            served,
            frame,
            default: feature.default.as_ref().map(|value| written(value, &feature.data_type).into_bytes()),
        }
    }
}

/// A default as its feature's values are written: a decimal has the digits of its scale.
fn written(default: &Value, data_type: &DataType) -> String {
    let decimal = match (data_type, default) {
        (DataType::Decimal(of), Value::Number(number)) => Some((of, number.to_string())),
        (DataType::Decimal(of), Value::String(text)) => Some((of, text.clone())),
        _ => None,
    };
    let exact = decimal.and_then(|(of, text)| {
        let value = of.parse(text.as_bytes()).ok()?;
        Some(Decimal128Type::format_decimal(value, of.precision(), of.scale() as i8))
    });
    exact.unwrap_or_else(|| default.to_string())
}

/// Those of them that are its window. An event by itself is found by all frames, except on the left side of a join, which
/// frames are not over.
fn window_frames(frames: &Frames, is_join: bool, read: &[usize]) -> Vec<usize> {
    let all = 0..frames.count();
    let own: Vec<usize> = read.iter().copied().filter(|frame| all.contains(frame)).collect();
    if own.is_empty() && !is_join { all.collect() } else { own }
}

/// What these of a stage's frames are.
fn frame(frames: &Frames, read: &[usize]) -> Frame {
    match frames {
        Frames::Grid(_) | Frames::Cumulate(_) | Frames::Table(_) | Frames::Session(_) => Frame::Windows,
        Frames::Lifetime => Frame::Sliding { preceding: None, until: Span::ZERO },
        Frames::Over(frames) => match read.split_first() {
            Some((first, rest)) if rest.iter().all(|other| frames[*other] == frames[*first]) => {
                match frames[*first].bounds {
                    Bounds::Range { preceding, until } => Frame::Sliding { preceding, until },
                    Bounds::Rows { .. } => Frame::Mixed,
                }
            }
            _ => Frame::Mixed,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_timeline::OverFrame;

    #[test]
    fn a_default_is_written_as_its_type_is() {
        let decimal = "decimal(10, 2)".parse().unwrap();
        for value in [serde_json::json!(1.5), serde_json::json!("1.5")] {
            assert_eq!(written(&value, &decimal), "1.50");
        }
        assert_eq!(written(&serde_json::json!(0), &decimal), "0.00");
        assert_eq!(written(&serde_json::json!(0), &DataType::Bigint), "0");
        assert_eq!(written(&Value::Null, &decimal), "null");
    }

    #[test]
    fn the_left_side_of_a_join_has_no_window() {
        let frames = Frames::Over(vec![OverFrame::range(Some(Span::from_millis(5)))]);
        for is_join in [false, true] {
            let over = |read: &[usize]| window_frames(&frames, is_join, read);
            let of_event = if is_join { vec![] } else { vec![0] };
            assert_eq!([over(&[0]), over(&[1]), over(&[0, 1])], [vec![0], of_event, vec![0]]);
        }
    }

    #[test]
    fn frames_of_one_length_are_one() {
        let over = |spans: &[i64]| {
            let frames = spans.iter().map(|span| OverFrame::range(Some(Span::from_millis(*span))));
            let read: Vec<usize> = (0..spans.len()).collect();
            frame(&Frames::Over(frames.collect()), &read)
        };
        let five = Frame::Sliding { preceding: Some(Span::from_millis(5)), until: Span::ZERO };
        assert_eq!(over(&[5, 5]), five);
        assert_eq!(over(&[5, 7]), Frame::Mixed);
        assert_eq!(over(&[]), Frame::Mixed);
        let several =
            Frames::Over([5, 7].map(|span| OverFrame::range(Some(Span::from_millis(span)))).to_vec());
        assert_eq!(frame(&several, &[0]), five);
    }
}
