//! What of a job is computed when it is asked for: derived features, of the stored ones, of the entity and of what the
//! request says. Data, as the rest of the plan is.
//!
//! Nothing here is part of a job's state or of its results: a job's own `definition` says nothing of it. Must not know how
//! a request is written.

use crate::definition::RequestField;
use crate::expression::{COMPONENT_MARK, Expression, components_in};
use crate::job_plan::JobPlan;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a job derives.
#[derive(Debug, Clone, Default)]
pub struct Transform {
    /// The fields that a request brings, in the order of the definition.
    pub request: Vec<RequestField>,
    /// The derived features, in the order of the definition.
    pub features: Vec<DerivedFeature>,
    /// Calls of functions that give rows, of which features are parts: each is bound to the inputs of those features.
    pub calls: Vec<Arc<dyn Expression>>,
    /// `sha256:` and the hash of the features' hashes; empty where there are none.
    pub definition: String,
}

/// A feature that is computed when it is asked for.
#[derive(Debug, Clone)]
pub struct DerivedFeature {
    /// Its name in lookups.
    pub name: String,
    /// Its declared or inferred type.
    pub data_type: weir_event::DataType,
    /// Its version.
    pub version: u32,
    /// `sha256:` and the hash of what makes its value.
    pub definition: String,
    /// What it means.
    pub description: Option<String>,
    /// Who owns it.
    pub owner: Option<String>,
    /// Given where the expression is null.
    pub default: Option<serde_json::Value>,
    /// The expression as it was written.
    pub text: String,
    /// What it is computed of; the columns that the expression is bound to, in this order.
    pub inputs: Vec<DerivedInput>,
    /// The call that it is a part of, by its index: its expression is bound to what that gives, one column, in place of the
    /// inputs.
    pub call: Option<usize>,
    /// Its value.
    pub expression: Arc<dyn Expression>,
}

/// What a derived feature is computed of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DerivedInput {
    /// A column of the entity, by its index in the key.
    Key(usize),
    /// A stored feature, by its index in the plan.
    Stored(usize),
    /// A field of the request, by its index among the job's.
    Request(usize),
}

impl Transform {
    /// The name under which plugins are called for what a job of this name derives: what requests make a guest do must not
    /// stop the job's own calls.
    pub fn caller(job: &str) -> String {
        format!("{job}:transform")
    }

    /// Whether it calls functions of plugins, each of which may go on for as long as its fuel lasts.
    pub fn calls_components(&self) -> bool {
        self.texts().any(|text| text.contains(COMPONENT_MARK))
    }

    /// The hashes of the components that it calls functions of.
    pub(crate) fn components(&self) -> BTreeSet<String> {
        self.texts().flat_map(components_in).collect()
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.features.iter().map(|feature| feature.expression.canonical())
    }
}

impl JobPlan {
    /// The fields that a request brings, with their types.
    pub fn request_as_json(&self) -> Value {
        let fields = self.transform.request.iter();
        fields.map(|field| (field.name.clone(), Value::from(field.data_type.to_string()))).collect()
    }

    /// The names of what a derived feature is computed of.
    pub fn inputs_of<'p>(&'p self, feature: &'p DerivedFeature) -> impl Iterator<Item = &'p str> {
        feature.inputs.iter().map(|input| self.name_of(*input))
    }

    /// The names of the fields of a request that a derived feature is computed of.
    pub fn requested_by<'p>(&'p self, feature: &'p DerivedFeature) -> impl Iterator<Item = &'p str> {
        feature.requested().map(|at| self.name_of(DerivedInput::Request(at)))
    }

    /// The name of what derived features are computed of.
    pub fn name_of(&self, input: DerivedInput) -> &str {
        let key = |at: usize| self.stage.as_ref()?.key_names.get(at);
        let name = match input {
            DerivedInput::Key(at) => key(at),
            DerivedInput::Stored(at) => self.features.get(at).map(|feature| &feature.name),
            DerivedInput::Request(at) => self.transform.request.get(at).map(|field| &field.name),
        };
        name.map_or("", String::as_str)
    }
}

impl DerivedFeature {
    /// The stored features that it is computed of, by index.
    pub fn stored(&self) -> impl Iterator<Item = usize> {
        self.inputs.iter().filter_map(|input| match input {
            DerivedInput::Stored(at) => Some(*at),
            DerivedInput::Key(_) | DerivedInput::Request(_) => None,
        })
    }

    /// The fields of the request that it is computed of, by index.
    pub fn requested(&self) -> impl Iterator<Item = usize> {
        self.inputs.iter().filter_map(|input| match input {
            DerivedInput::Request(at) => Some(*at),
            DerivedInput::Key(_) | DerivedInput::Stored(_) => None,
        })
    }
}
