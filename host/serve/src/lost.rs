//! Functions that a version of a plugin no longer has, and the running jobs that call them.
//!
//! Knows signatures as the registry lists them and how plans name a plugin's functions. Must not know what any function
//! computes.

use weir_plan::JobPlan;
use weir_plugin::{PluginStatus, VersionStatus};

/// What the active version of a plugin has and another does not.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) functions: Vec<String>,
    /// What stands behind their names in plans.
    mark: String,
}

impl Lost {
    /// What would be lost if this version became the active one.
    pub(crate) fn by(plugin: &PluginStatus, version: u32) -> Lost {
        let found = plugin.versions.iter().find(|known| known.version == version);
        let kept: Vec<&str> = found.into_iter().flat_map(VersionStatus::functions).collect();
        let mut lost = Lost::all(plugin);
        lost.functions.retain(|name| !kept.contains(&name.as_str()));
        lost
    }

    /// What would be lost if the plugin were deleted.
    pub(crate) fn all(plugin: &PluginStatus) -> Lost {
        let active = plugin.versions.iter().find(|known| Some(known.version) == plugin.active);
        let functions = active.into_iter().flat_map(VersionStatus::functions).map(str::to_owned).collect();
        let mark = active.map_or_else(String::new, |active| format!("@sha256:{}", active.sha256));
        Lost { functions, mark }
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
        let aggregates: Vec<&str> =
            aggregates.map(|aggregate| aggregate.function.card().identity.as_str()).collect();
        let is_called = |name: &str| {
            scalars.iter().any(|text| calls(text, name, &self.mark))
                || aggregates.iter().any(|identity| {
                    identity.strip_prefix(name).is_some_and(|rest| rest.starts_with('('))
                        && identity.ends_with(&self.mark)
                })
        };
        self.functions.iter().map(String::as_str).filter(|name| is_called(name)).collect()
    }
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
    fn functions_are_told_apart_by_their_whole_names() {
        assert!(calls("(add encode@sha256:aa(lat) 1)", "encode", "@sha256:aa"));
        assert!(!calls("geo_encode@sha256:aa(lat)", "encode", "@sha256:aa"));
        assert!(!calls("encode@sha256:bb(lat)", "encode", "@sha256:aa"));
    }
}
