//! The jobs that one lookup asks: which features of each are wanted, and what the request brings for those that are derived.
//!
//! Must not know any entity.

use crate::app::App;
use crate::face::{Face, OneFeature};
use crate::lookup::refuse_without_entity;
use crate::one_job::OneJob;
use crate::problem::{Kind, Problem};
use crate::request_fields::{self, Field};
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap, HashSet};
use weir_event::suggestion::{instead_of, shown};

/// A job with those of its features that are asked for.
pub(crate) struct AskedJob {
    pub(crate) one: OneJob,
    /// By number, in the order of the first mention.
    features: Vec<usize>,
    /// Of each of the job's features, whether it is among them.
    is_asked: Vec<bool>,
    /// Those of its derived features that are among them.
    pub(crate) derived: Vec<usize>,
    /// The fields that derived features want which are asked for by name: what is missing of them is a fault.
    wanted: BTreeSet<usize>,
    /// What the whole request has for its derived features.
    fields: Vec<Field>,
}

impl AskedJob {
    fn new(one: OneJob) -> AskedJob {
        AskedJob {
            fields: vec![Field::Missing; one.face.request.len()],
            is_asked: vec![false; one.face.count()],
            one,
            features: Vec::new(),
            derived: Vec::new(),
            wanted: BTreeSet::new(),
        }
    }

    /// Asks for one of its features, or for all.
    fn ask(&mut self, feature: Option<&str>) -> Result<(), Problem> {
        let face = self.one.face.clone();
        let numbers = match feature {
            None => (0..face.count()).collect(),
            Some(feature) => vec![feature_number(&face, feature)?],
        };
        for number in numbers {
            let is_new = !std::mem::replace(&mut self.is_asked[number], true);
            self.features.extend(is_new.then_some(number));
            let Some(OneFeature::Derived(at, derived)) = face.feature(number) else { continue };
            self.derived.extend(is_new.then_some(at));
            self.wanted.extend(derived.requested.iter().filter(|_| feature.is_some()));
        }
        Ok(())
    }

    pub(crate) fn features(&self) -> impl Iterator<Item = (OneFeature<'_>, &[u8])> {
        let features = self.features.iter().filter_map(|number| self.one.face.feature(*number));
        features.map(|feature| (feature, feature.full_label()))
    }

    /// Everything that an entity brings for its derived features, beside what the whole request has.
    pub(crate) fn fields_with(&self, own: Option<&Map<String, Value>>) -> Vec<Field> {
        let Some(own) = own else { return self.fields.clone() };
        let own = request_fields::of_members(&self.one.face.request, own);
        let with = |(own, whole): (Field, &Field)| if own.is_missing() { whole.clone() } else { own };
        own.into_iter().zip(&self.fields).map(with).collect()
    }

    /// What lacks of the fields that are wanted by name.
    pub(crate) fn lacks(&self, fields: &[Field]) -> Vec<String> {
        let lacking = self.wanted.iter().filter(|at| fields[**at].is_missing());
        lacking.map(|at| self.one.face.request[*at].missing()).collect()
    }
}

/// A job that could not be started: its features are not known, and what was asked for is all that is said.
pub(crate) struct RefusedJob {
    pub(crate) name: String,
    /// What was asked for, each with the colon.
    pub(crate) labels: Vec<Vec<u8>>,
    pub(crate) problem: Problem,
}

/// The jobs behind `job` and `job:feature`, each once, in the order of the first mention.
pub(crate) fn asked_jobs(
    app: &App,
    names: &[String],
    with_meta: bool,
) -> Result<(Vec<AskedJob>, Vec<RefusedJob>), Problem> {
    if names.is_empty() {
        return Err(Problem::malformed("`features` is empty; name a job, or `job:feature`"));
    }
    let (mut jobs, mut refused): (Vec<AskedJob>, Vec<RefusedJob>) = (Vec::new(), Vec::new());
    let mut at: HashMap<&str, usize> = HashMap::new();
    let mut seen = HashSet::new();
    for name in names.iter().filter(|name| seen.insert(name.as_str())) {
        let (asked, feature) =
            name.split_once(':').map_or((name.as_str(), None), |(asked, feature)| (asked, Some(feature)));
        if let Some(known) = at.get(asked) {
            jobs[*known].ask(feature)?;
            continue;
        }
        // A job that runs as it was before its file became wrong answers.
        match (app.job(asked), app.refusal(asked)) {
            (Ok((job, face)), _) => {
                refuse_without_entity(&face)?;
                let one = OneJob::new(job, face, app.served.clock.now(), !with_meta);
                let mut one = AskedJob::new(one);
                one.ask(feature)?;
                at.insert(asked, jobs.len());
                jobs.push(one);
            }
            (Err(_), Some(problem)) => {
                let label = format!("{}:", Value::from(name.as_str())).into_bytes();
                match refused.iter_mut().find(|known| known.name == asked) {
                    Some(known) => known.labels.push(label),
                    None => refused.push(RefusedJob { name: asked.to_owned(), labels: vec![label], problem }),
                }
            }
            (Err(problem), None) => return Err(problem),
        }
    }
    Ok((jobs, refused))
}

/// Takes what the request has for all entities. A field that no job has may be one of a job that could not be started.
pub(crate) fn take_request(jobs: &mut [AskedJob], request: &Value, all_known: bool) -> Result<(), Problem> {
    let request = match request {
        Value::Null => return Ok(()),
        Value::Object(request) => request,
        other => return Err(Problem::malformed(no_request(other))),
    };
    let mut reasons = if all_known { unknown_fields(jobs, request) } else { BTreeSet::new() };
    for asked in jobs {
        asked.fields = request_fields::of_members(&asked.one.face.request, request);
        reasons.extend(request_fields::wrong(&asked.fields));
    }
    match reasons.into_iter().collect::<Vec<_>>().as_slice() {
        [] => Ok(()),
        reasons => Err(Problem::of_reasons(Kind::Malformed, "`request`", reasons)),
    }
}

pub(crate) fn no_request(value: &Value) -> String {
    format!(
        "`request` is an object of fields, such as {{\"amount\": 12.5}}, not {}",
        shown(&value.to_string())
    )
}

/// So many unknown fields are named.
const UNKNOWN_NAMED: usize = 8;

/// What is said of fields that no job has.
pub(crate) fn unknown_fields(jobs: &[AskedJob], request: &Map<String, Value>) -> BTreeSet<String> {
    let known: BTreeSet<&str> =
        jobs.iter().flat_map(|asked| &asked.one.face.request).map(|field| field.name.as_str()).collect();
    let unknown = request.keys().filter(|name| !known.contains(name.as_str()));
    let said = |name: &String| {
        let instead = match known.is_empty() {
            true => "no job that is asked for takes any".to_owned(),
            false => instead_of(name, known.iter().copied()),
        };
        format!("unknown request field `{}`; {instead}", shown(name))
    };
    unknown.map(said).take(UNKNOWN_NAMED).collect()
}

fn feature_number(face: &Face, name: &str) -> Result<usize, Problem> {
    face.all().position(|feature| feature.name() == name).ok_or_else(|| {
        let known = instead_of(name, face.all().map(OneFeature::name));
        Problem::not_found(format!("job `{}` has no feature `{}`; {known}", face.plan.name, shown(name)))
    })
}
