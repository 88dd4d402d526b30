//! Functions that a version of a plugin no longer has as they were, and the running jobs that call them.
//!
//! Knows signatures as the registry lists them and how plans name a plugin's functions. Must not know what any function
//! computes.

use std::collections::BTreeMap;
use weir_plan::JobPlan;
use weir_plan::definition::FormatDefinition;
use weir_plugin::{PluginStatus, VersionStatus};

/// What the active version of a plugin has and another does not, or with other types.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) functions: Vec<String>,
    /// The other version's signatures, of those that it has with other types.
    changed: BTreeMap<String, String>,
    /// What stands behind their names in plans.
    mark: String,
    /// The plugin whose decoding is lost, where it decodes payloads.
    decoder: Option<String>,
}

/// What a plugin's decoding of payloads is called where functions have names.
const DECODE: &str = "decode";

impl Lost {
    /// What would be lost if this version became the active one.
    pub(crate) fn by(plugin: &PluginStatus, version: u32) -> Lost {
        let signatures = |version: Option<u32>| {
            let found = plugin.versions.iter().find(|known| Some(known.version) == version);
            found
                .into_iter()
                .flat_map(|found| found.functions().zip(&found.exports))
                .collect::<BTreeMap<_, _>>()
        };
        let (before, after) = (signatures(plugin.active), signatures(Some(version)));
        let mut lost = Lost::all(plugin, plugin.active);
        lost.functions.retain(|name| {
            let (before, after) = (before.get(name.as_str()), after.get(name.as_str()));
            before.map(|signature| types_of(signature)) != after.map(|signature| types_of(signature))
        });
        let decodes = |known: &VersionStatus| known.version == version && known.decodes();
        lost.decoder = lost.decoder.filter(|_| !plugin.versions.iter().any(decodes));
        let changed = |name: &String| Some((name.clone(), (*after.get(name.as_str())?).clone()));
        lost.changed = lost.functions.iter().filter_map(changed).collect();
        lost
    }

    /// What would be lost if the plugin were deleted, by version: a job may go on with one that is not active.
    pub(crate) fn of_versions(plugin: &PluginStatus) -> Vec<Lost> {
        plugin.versions.iter().map(|known| Lost::all(plugin, Some(known.version))).collect()
    }

    /// Everything that a version has.
    fn all(plugin: &PluginStatus, version: Option<u32>) -> Lost {
        let known = plugin.versions.iter().find(|known| Some(known.version) == version);
        let functions = known.into_iter().flat_map(VersionStatus::functions).map(str::to_owned).collect();
        let mark = known.map_or_else(String::new, |known| format!("@sha256:{}", known.sha256));
        let decoder = known.filter(|known| known.decodes()).map(|_| plugin.name.clone());
        Lost { functions, changed: BTreeMap::new(), mark, decoder }
    }

    /// What the version has under the name of a function, in words.
    pub(crate) fn in_its_place(&self, function: &str) -> String {
        match self.changed.get(function) {
            Some(signature) => format!("has `{signature}` in place of `{function}`"),
            None => format!("does not have `{function}`"),
        }
    }

    /// Those of them that a job calls.
    pub(crate) fn called_by(&self, plan: &JobPlan) -> Vec<&str> {
        let projections = plan.inputs.iter().map(|input| &input.projection);
        let of_rows = projections.flat_map(|it| it.columns.iter().chain(&it.filter));
        let rows = of_rows.chain(&plan.output.filter);
        let results = plan.output.columns.iter().map(|column| &column.expression);
        let derived = plan.transform.features.iter().map(|feature| &feature.expression);
        let scalars: Vec<&str> =
            rows.chain(results).chain(derived).map(|expression| expression.canonical()).collect();
        let aggregates = plan.stage.iter().flat_map(|stage| &stage.spec.aggregates);
        let aggregates = aggregates.map(|aggregate| aggregate.function.card().identity.as_str());
        let logic = plan.stage.iter().filter_map(|stage| stage.spec.process.as_ref());
        let logic = logic.map(|process| process.logic.card().identity.as_str());
        let bound: Vec<&str> = aggregates.chain(logic).collect();
        let is_called = |name: &str| {
            scalars.iter().any(|text| calls(text, name, &self.mark))
                || bound.iter().any(|identity| {
                    identity.strip_prefix(name).is_some_and(|rest| rest.starts_with('('))
                        && identity.ends_with(&self.mark)
                })
        };
        let called = self.functions.iter().map(String::as_str).filter(|name| is_called(name));
        called.chain(self.decodes_for(plan).then_some(DECODE)).collect()
    }

    /// Whether a job reads what the plugin decodes.
    fn decodes_for(&self, plan: &JobPlan) -> bool {
        let streams = plan.inputs.iter().map(|input| &input.stream);
        let formats = streams
            .flat_map(|stream| stream.archive.iter().map(|archive| &archive.format).chain([&stream.format]));
        let plugins = formats.filter_map(FormatDefinition::decoding_plugin);
        self.decoder.as_deref().is_some_and(|decoder| plugins.into_iter().any(|plugin| plugin == decoder))
    }
}

/// A signature without the names of its arguments, which mean nothing to a query; except where columns are found by them, or
/// may be.
fn types_of(signature: &str) -> Vec<&str> {
    if signature.starts_with("process ") || signature.starts_with("transform ") {
        return vec![signature];
    }
    let Some((function, rest)) = signature.split_once('(') else { return vec![signature] };
    let (arguments, result) = rest.split_once(')').unwrap_or((rest, ""));
    let types = arguments.split(", ").map(|argument| argument.split_once(' ').map_or(argument, |(_, it)| it));
    [function, result].into_iter().chain(types).collect()
}

/// Whether a canonical text names this function, and not one whose name ends like it.
fn calls(canonical: &str, name: &str, mark: &str) -> bool {
    let is_of_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    canonical.match_indices(&format!("{name}{mark}")).any(|(at, _)| !canonical[..at].ends_with(is_of_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_its_types_are() {
        let distance = "scalar distance(lat double, lon double) -> double";
        assert_eq!(types_of(distance), types_of("scalar distance(y double, x double) -> double"));
        for other in [
            "scalar distance(lat double) -> double",
            "scalar distance(lat double, lon bigint) -> double",
            "scalar distance(lat double, lon double) -> bigint",
            "aggregate distance(lat double, lon double) -> double",
        ] {
            assert_ne!(types_of(distance), types_of(other));
        }
    }

    #[test]
    fn functions_are_told_apart_by_their_whole_names() {
        assert!(calls("(add encode@sha256:aa(lat) 1)", "encode", "@sha256:aa"));
        assert!(!calls("geo_encode@sha256:aa(lat)", "encode", "@sha256:aa"));
        assert!(!calls("encode@sha256:bb(lat)", "encode", "@sha256:aa"));
    }
}
