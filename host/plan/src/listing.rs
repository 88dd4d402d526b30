//! Features as whoever lists them shows them: one shape for every listing, of stored features and of derived ones.
//!
//! Must not know who lists them.

use crate::job_plan::{Feature, JobPlan};
use crate::transform::DerivedFeature;
use serde_json::{Value, json};

impl JobPlan {
    /// Its features, the stored ones first; derived ones are marked as such.
    pub fn features_as_json(&self) -> Vec<Value> {
        let stored = self.features.iter().map(stored);
        stored.chain(self.transform.features.iter().map(|feature| self.derived(feature))).collect()
    }

    fn derived(&self, feature: &DerivedFeature) -> Value {
        json!({
            "name": feature.name,
            "type": feature.data_type.to_string(),
            "version": feature.version,
            "definition": feature.definition,
            "description": feature.description,
            "owner": feature.owner,
            "default": feature.default,
            "derived": true,
            "expression": feature.text,
            "inputs": self.inputs_of(feature).collect::<Vec<_>>(),
            "request": self.requested_by(feature).collect::<Vec<_>>(),
        })
    }
}

fn stored(feature: &Feature) -> Value {
    json!({
        "name": feature.name,
        "type": feature.data_type.to_string(),
        "version": feature.version,
        "definition": feature.definition,
        "description": feature.description,
        "owner": feature.owner,
        "default": feature.default,
    })
}
