//! Derived features of a job for the entities of one request: all of them computed at once, and told as other values are.
//!
//! What a value is computed of says what it is: it has the worst status of that, and its times. Knows what was found of
//! each entity and what the request has. Must not know how either is asked for.

use crate::face::{DerivedFace, Face, FeatureFace};
use crate::request_fields::Field;
use crate::status::Status;
use crate::value::{Asked, Standing, Told, push_computed, push_failed, standing, window};
use arrow_array::ArrayRef;
use std::collections::{BTreeMap, HashMap};
use weir_core::{Called, Derived, Given, input_type};
use weir_engine::{Answer, Looked};
use weir_event::EventTime;
use weir_plan::DerivedInput;

/// Said of what nobody has computed.
const NOT_COMPUTED: &str = "it was not computed; this is a fault of weir's own";

/// What there is of one entity.
#[derive(Clone, Copy)]
pub(crate) struct OfEntity<'e> {
    pub(crate) key: &'e [ArrayRef],
    pub(crate) answer: &'e Answer,
    pub(crate) asked: Asked,
    /// By result column, since when it has all rows, where that is later than for the job.
    pub(crate) begun: &'e [Option<EventTime>],
    pub(crate) fields: &'e [Field],
}

/// The values of some derived features for several entities.
#[derive(Default)]
pub(crate) struct Computed {
    /// By the feature's number.
    values: HashMap<usize, Derived>,
    /// Of each entity, the row of what is settled; what is not stands in the next.
    rows: Vec<usize>,
}

/// What is computed in one row: of an entity, and of what was found of it in a window.
#[derive(Clone, Copy)]
struct InWindow<'r> {
    entity: OfEntity<'r>,
    looked: &'r Looked,
}

impl Computed {
    /// Computes these of a job's derived features for each entity of which something was found.
    pub(crate) fn of(face: &Face, wanted: &[usize], entities: &[Option<OfEntity<'_>>]) -> Computed {
        if wanted.is_empty() {
            return Computed::default();
        }
        let (mut rows, mut first) = (Vec::new(), Vec::with_capacity(entities.len()));
        for entity in entities {
            first.push(rows.len());
            let Some(entity) = *entity else { continue };
            let unfinished = entity.answer.current.as_ref().filter(|_| !entity.asked.lean);
            let found = std::iter::once(&entity.answer.settled).chain(unfinished);
            rows.extend(found.map(|looked| InWindow { entity, looked }));
        }
        let mut given: HashMap<DerivedInput, Given> = HashMap::new();
        let (mut values, mut called) = (HashMap::new(), Called::default());
        for at in wanted {
            let derived = &face.derived[*at];
            for input in derived.deriving.inputs() {
                given.entry(*input).or_insert_with(|| column(face, *input, &rows));
            }
            let inputs: Vec<&Given> =
                derived.deriving.inputs().iter().filter_map(|input| given.get(input)).collect();
            let computed = derived.deriving.compute(&inputs, rows.len(), BTreeMap::new(), &mut called);
            values.insert(*at, computed);
        }
        Computed { values, rows: first }
    }

    /// Appends the VALUE of one of them for an entity.
    pub(crate) fn push(
        &self,
        face: &Face,
        at: usize,
        (row, entity): (usize, OfEntity<'_>),
        out: &mut Vec<u8>,
    ) {
        let (Some(derived), Some(first)) = (self.values.get(&at), self.rows.get(row)) else {
            return push_failed(NOT_COMPUTED, entity.asked.lean, out);
        };
        let feature = &face.derived[at];
        let push = |row: usize, looked: &Looked, out: &mut Vec<u8>| {
            let told = told(face, feature, (derived, row), InWindow { entity, looked });
            push_computed(&derived.values, row, &told, out);
        };
        out.push(b'{');
        push(*first, &entity.answer.settled, out);
        if !entity.answer.known {
            out.extend_from_slice(b",\"unknown\":true");
        }
        // What is computed of the request alone is in no window.
        let is_of_rows = !feature.stored.is_empty();
        if let Some(current) = entity.answer.current.as_ref().filter(|_| is_of_rows && !entity.asked.lean) {
            out.extend_from_slice(b",\"current\":{");
            push(first + 1, current, out);
            out.push(b'}');
        }
        out.push(b'}');
    }
}

/// What is said of one value.
fn told<'d>(
    face: &Face,
    feature: &DerivedFace,
    (derived, row): (&'d Derived, usize),
    of: InWindow<'_>,
) -> Told<'d> {
    let stored = || {
        let stored = feature.stored.iter().map(|at| &face.features[*at]);
        stored.map(|feature| (feature, of.entity.asked.of(feature, of.entity.begun)))
    };
    let mut worst = Standing { status: Status::Ok, since: None };
    for standing in stored().map(|(feature, asked)| standing(feature, of.looked, asked)) {
        worst.status = worst.status.max(standing.status);
        worst.since = worst.since.max(standing.since);
    }
    let reason = derived.failed.get(&row).map(String::as_str);
    if reason.is_some() {
        worst = Standing { status: Status::Error, since: None };
    } else if derived.defaults[row] && worst.status <= Status::NotFound {
        worst.status = Status::Default;
    }
    let mut windows = stored().map(|(feature, asked)| window(feature.frame, of.looked, asked));
    let first = windows.next().flatten();
    Told {
        standing: worst,
        newest: stored().filter_map(|(feature, _)| of.looked.newest(&feature.served.frames)).max(),
        window: first.filter(|first| windows.all(|other| other.as_ref() == Some(first))),
        reason,
        lean: of.entity.asked.lean,
    }
}

/// What derived features are computed of, for these rows.
fn column(face: &Face, input: DerivedInput, rows: &[InWindow<'_>]) -> Given {
    let value = |row: &InWindow<'_>| match input {
        DerivedInput::Key(key) => Ok(row.entity.key.get(key).cloned()),
        DerivedInput::Stored(feature) => stored(&face.features[feature], row.looked),
        DerivedInput::Request(field) => match row.entity.fields.get(field) {
            Some(Field::Given(value)) => Ok(Some(value.clone())),
            Some(Field::Wrong(reason)) => Err(reason.to_string()),
            Some(Field::Missing) | None => Err(face.request[field].missing()),
        },
    };
    Given::of_each(&input_type(&face.plan, input), rows.iter().map(value))
}

/// The value of a stored feature as it is served.
fn stored(feature: &FeatureFace, looked: &Looked) -> Result<Option<ArrayRef>, String> {
    match looked.failure_of(feature.served.column) {
        Some(reason) => Err(format!("`{}`: {reason}", feature.name)),
        None => Ok(feature.served.value(looked, feature.default_value.as_ref())),
    }
}
