//! A job as lookups see it: what would otherwise be worked out for every request, worked out once per plan.
//!
//! Knows plans. Must not know HTTP or where values come from.

use crate::entity::key_columns;
use crate::request_fields::FieldColumn;
use crate::scalar::ScalarColumn;
use crate::value::push_time_or_null;
use arrow_array::ArrayRef;
use arrow_array::types::{Decimal128Type, DecimalType as _};
use serde_json::Value;
use std::sync::Arc;
use weir_core::{Deriving, of_type};
use weir_engine::Served;
use weir_event::{DataType, EventTime, Span};
use weir_format::json::read_single;
use weir_plan::{DerivedFeature, Feature, JobPlan, KeyedStage};
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
    pub(crate) keys: Vec<ScalarColumn>,
    /// The stored features.
    pub(crate) features: Vec<FeatureFace>,
    /// The fields that a request brings.
    pub(crate) request: Vec<FieldColumn>,
    /// The derived features.
    pub(crate) derived: Vec<DerivedFace>,
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
    /// It as a column of one row, for what is derived of it.
    pub(crate) default_value: Option<ArrayRef>,
}

/// A derived feature, ready to be computed and written.
#[derive(Debug)]
pub(crate) struct DerivedFace {
    pub(crate) name: String,
    /// `"feature":`, for answers of one job.
    pub(crate) label: Vec<u8>,
    /// `"job:feature":`, for answers of several.
    pub(crate) full_label: Vec<u8>,
    pub(crate) deriving: Deriving,
    /// The stored features that it is computed of, by number.
    pub(crate) stored: Vec<usize>,
    /// The fields of the request that it is computed of, by number.
    pub(crate) requested: Vec<usize>,
}

/// A feature of a job, by number: the stored ones come first.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OneFeature<'f> {
    Stored(&'f FeatureFace),
    /// With its number among the derived ones.
    Derived(usize, &'f DerivedFace),
}

impl<'f> OneFeature<'f> {
    pub(crate) fn name(self) -> &'f str {
        match self {
            OneFeature::Stored(feature) => &feature.name,
            OneFeature::Derived(_, feature) => &feature.name,
        }
    }

    /// Its label in an answer of one job.
    pub(crate) fn label(self) -> &'f [u8] {
        match self {
            OneFeature::Stored(feature) => &feature.label,
            OneFeature::Derived(_, feature) => &feature.label,
        }
    }

    /// Its label in an answer of several.
    pub(crate) fn full_label(self) -> &'f [u8] {
        match self {
            OneFeature::Stored(feature) => &feature.full_label,
            OneFeature::Derived(_, feature) => &feature.full_label,
        }
    }
}

impl Face {
    pub(crate) fn new(plan: &Arc<JobPlan>) -> Face {
        let text = |text: &str| Value::from(text).to_string();
        let transform = &plan.transform;
        // What is stored and what is derived change apart from each other.
        let derived = match transform.features.as_slice() {
            [] => String::new(),
            _ => format!("\"transform\":{},", text(&transform.definition)),
        };
        let meta = format!(
            "{}:{{\"version\":{},\"definition\":{},{derived}\"watermark\":",
            text(&plan.name),
            plan.version,
            text(&plan.definition)
        );
        Face {
            keys: plan.stage.as_ref().map(key_columns).unwrap_or_default(),
            features: plan.features.iter().map(|feature| FeatureFace::new(plan, feature)).collect(),
            request: transform.request.iter().map(FieldColumn::new).collect(),
            derived: transform.features.iter().map(|feature| DerivedFace::new(plan, feature)).collect(),
            calls_guests: plan.calls_components() || transform.calls_components(),
            meta: meta.into_bytes(),
            plan: plan.clone(),
        }
    }

    /// How many features it has.
    pub(crate) fn count(&self) -> usize {
        self.features.len() + self.derived.len()
    }

    /// Its features, the stored ones first.
    pub(crate) fn all(&self) -> impl Iterator<Item = OneFeature<'_>> {
        let derived = self.derived.iter().enumerate();
        let derived = derived.map(|(at, feature)| OneFeature::Derived(at, feature));
        self.features.iter().map(OneFeature::Stored).chain(derived)
    }

    /// The feature of this number.
    pub(crate) fn feature(&self, number: usize) -> Option<OneFeature<'_>> {
        match number.checked_sub(self.features.len()) {
            None => self.features.get(number).map(OneFeature::Stored),
            Some(at) => self.derived.get(at).map(|feature| OneFeature::Derived(at, feature)),
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
            default_value: default_value(feature.default.as_ref(), &feature.data_type),
        }
    }
}

impl DerivedFace {
    fn new(plan: &JobPlan, feature: &DerivedFeature) -> DerivedFace {
        let default = default_value(feature.default.as_ref(), &feature.data_type);
        let default = default.and_then(|value| of_type(&value, feature.expression.data_type()).ok());
        DerivedFace {
            name: feature.name.clone(),
            label: label(&feature.name),
            full_label: label(&format!("{}:{}", plan.name, feature.name)),
            deriving: Deriving::of(plan, feature, default),
            stored: feature.stored().collect(),
            requested: feature.requested().collect(),
        }
    }
}

/// A name as a member's.
fn label(name: &str) -> Vec<u8> {
    format!("{}:", Value::from(name)).into_bytes()
}

/// A default as a column of one row: that it is of its type was checked with the definition.
fn default_value(default: Option<&Value>, data_type: &DataType) -> Option<ArrayRef> {
    default.and_then(|value| read_single(value, data_type).ok())
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
        Frames::Process => Frame::Mixed,
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
